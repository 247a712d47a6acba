//! What a step of the lifecycle asks to be done: a connection, a token request, a verb of the store.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Environment, handle::Shared, task::Line};
use crate::{
    credential::{
        Spec,
        lifecycle::{Event, Step},
        record::{Checked, Claim, Id, Kind},
        reply::{self, Lost, Outcome, Purpose},
        spec::Grant,
        token::{Position, Tokens},
    },
    log,
    store::{AskClaim, Hint, Key, Pending},
    template::Scope,
    upstream::{Connection, Exchange, Sent},
};

/// A store that takes longer than this for a verb counts as failing; the verb may still have happened.
pub const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// What a step's IO needs; clones share it.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) spec: Arc<Spec>,
    pub(super) exchange: Exchange,
    pub(super) environment: Environment,
    pub(super) key: Key,
    pub(super) subject: Arc<[(String, SecretString)]>,
    /// How many token requests a credential's subjects may make at a time.
    pub(super) turns: Option<Arc<Semaphore>>,
}

/// A fixed word, for logs and metrics.
pub(super) fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Refresh => "refresh",
        Kind::SignIn => "sign_in",
        Kind::Restore(_) => "restore",
    }
}

/// A verb within [`STORE_DEADLINE`], its failure in words.
pub(super) async fn within<T>(verb: Pending<'_, T>) -> Result<T, String> {
    match timeout(STORE_DEADLINE, verb).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "the store did not answer within {} s",
            STORE_DEADLINE.as_secs()
        )),
    }
}

impl Context {
    fn grant(&self, kind: Kind) -> Option<&Grant> {
        match kind {
            Kind::Refresh => self.spec.refresh.as_ref(),
            Kind::SignIn => self.spec.sign_in.as_ref(),
            Kind::Restore(_) => None,
        }
    }

    /// What a grant's templates may refer to.
    pub(super) fn values<'a>(
        &'a self,
        held: Option<&'a Tokens>,
        answers: impl Fn(&str) -> Option<String> + 'a,
    ) -> impl Fn(Scope, &str) -> Option<String> + 'a {
        move |scope, name| match (scope, name) {
            (Scope::Subject, name) => {
                let (_, value) = self.subject.iter().find(|(part, _)| part == name)?;
                Some(value.expose_secret().to_owned())
            }
            (Scope::Token, "refresh") => Some(held?.refresh.as_ref()?.expose_secret().to_owned()),
            (Scope::Token, "access") => Some(held?.access.as_ref()?.expose_secret().to_owned()),
            (Scope::Ask, name) => answers(name),
            _ => None,
        }
    }

    /// Waits for its turn at the token endpoint; an error says that nobody needs it any more. A subject that holds
    /// tokens was accepted once, and is renewed beside the traffic: nobody waits for that.
    pub(super) async fn turn(
        &self,
        shared: &Shared,
        holds_tokens: bool,
    ) -> Result<Option<OwnedSemaphorePermit>, String> {
        let Some(turns) = &self.turns else { return Ok(None) };
        if let Ok(turn) = turns.clone().try_acquire_owned() {
            return Ok(Some(turn));
        }
        // The semaphore is never closed.
        let turn = turns.clone().acquire_owned().await.ok();
        match holds_tokens || shared.is_waited_for() {
            true => Ok(turn),
            // Others behind it have somebody who waits.
            false => Err("every caller gave up before its turn came".into()),
        }
    }

    pub(super) async fn connect(
        &self,
        kind: Kind,
        held: Option<Arc<Tokens>>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> (Event, Option<Line>) {
        let Some(grant) = self.grant(kind) else {
            return (Event::NeverLeft("there is no such grant".into()), None);
        };
        let request = match grant.request.build(&self.values(held.as_deref(), |_| None)) {
            Ok(request) => request,
            Err(error) => return (Event::NeverLeft(error.to_string()), None),
        };
        match self.exchange.open(request.uri()).await {
            Ok(connection) => {
                let line = Line {
                    connection,
                    _turn: turn,
                };
                (Event::Connected, Some(line))
            }
            Err(error) => {
                self.count(kind, "never_left");
                (Event::NeverLeft(error.to_string()), None)
            }
        }
    }

    pub(super) async fn send(&self, claim: Claim, held: Option<Arc<Tokens>>, line: Option<Line>) -> Event {
        let (Some(grant), Some(Line { connection, _turn })) = (self.grant(claim.kind), line) else {
            return Event::NeverLeft("the connection was not kept".into());
        };
        let purpose = if claim.kind == Kind::Refresh {
            self.environment.metrics.spend(&self.spec.name);
            Purpose::Refresh
        } else {
            Purpose::SignIn
        };
        let values = self.values(held.as_deref(), |_| None);
        match self.exchange(grant, purpose, &values, connection).await {
            Ok(outcome) => {
                self.count(claim.kind, outcome_word(&outcome));
                Event::Answered(outcome)
            }
            Err(never_left) => {
                self.count(claim.kind, "never_left");
                Event::NeverLeft(never_left)
            }
        }
    }

    /// Sends a grant's request and reads the answer; an error says that nothing was sent, and why.
    pub(super) async fn exchange(
        &self,
        grant: &Grant,
        purpose: Purpose,
        values: &(dyn Fn(Scope, &str) -> Option<String> + Sync),
        connection: Connection,
    ) -> Result<Outcome, String> {
        let request = grant.request.build(&values).map_err(|error| error.to_string())?;
        let secrets = grant.request.secrets(&values).map_err(|error| error.to_string())?;
        // Lifetimes count from before the request: the server began to count before its answer was read here.
        let now = self.environment.clock.now();
        let answer = match connection
            .send(request, self.spec.policy.spend_deadline, reply::REPLY_LIMIT)
            .await
        {
            Sent::Answered(answer) => answer,
            Sent::NoAnswer(why) => {
                tracing::debug!(target: log::TOKEN, credential = self.spec.name.as_str(), error = %why, "no answer");
                return Ok(Outcome::Lost(Lost::NoAnswer));
            }
            Sent::NeverLeft(why) => return Err(why.to_string()),
        };
        Ok(reply::read(
            &answer.answer(),
            purpose,
            &grant.reply,
            &self.spec.errors,
            &secrets,
            now,
        ))
    }

    fn count(&self, kind: Kind, outcome: &'static str) {
        self.environment
            .metrics
            .grant(&self.spec.name, kind_word(kind), outcome);
    }

    /// A release after a first sign-in that brought nothing: the record of a subject that the provider never
    /// accepted goes too, or whoever makes up subjects fills the store. Another process may have claimed it since, or
    /// signed in: then it stays.
    pub(super) async fn release_unborn(&self, step: Step) -> Event {
        let released = self.ask_store(step).await;
        if !self.subject.is_empty() && matches!(released, Event::Released(Ok(()))) {
            // An empty record that stays behind does no harm.
            let _ = within(self.environment.store.forget(&self.key)).await;
        }
        released
    }

    pub(super) async fn ask_store(&self, step: Step) -> Event {
        let Self {
            environment, key, spec, ..
        } = self;
        let store = &environment.store;
        match step {
            Step::Load => Event::Loaded(self.ask(store.load(key)).await.map(|record| record.map(Box::new))),
            Step::Seed { id, hash, tokens } => {
                Event::Seeded(self.ask(store.seed(key, id, hash, &tokens, &spec.fingerprint)).await)
            }
            Step::Claim { id, on, kind } => {
                Event::Claimed(self.ask(store.claim(key, self.ask_claim(id, on, kind))).await)
            }
            Step::Check(claim) => self.check(&claim).await,
            Step::Commit { claim, tokens, lineage } => {
                Event::Committed(self.ask(store.commit(key, &claim, &tokens, &lineage)).await)
            }
            Step::Release {
                claim,
                back_off,
                in_doubt,
            } => Event::Released(self.ask(store.release(key, &claim, back_off, in_doubt)).await),
            Step::MarkDead(claim) => Event::MarkedDead(self.ask(store.mark_dead(key, &claim)).await),
            Step::Rest(_) | Step::Connect(_) | Step::Send { .. } => Event::Tick,
        }
    }

    /// A verb, whose answer is also how the store is.
    pub(super) async fn ask<T>(&self, verb: Pending<'_, T>) -> Result<T, String> {
        let answer = within(verb).await;
        let Environment {
            store_health, clock, ..
        } = &self.environment;
        store_health.heard(&answer, clock.now().wall);
        answer
    }

    /// Ends when another process may have changed the record.
    pub(super) fn changed(&self) -> Hint<'static> {
        let (store, key) = (self.environment.store.clone(), self.key.clone());
        Box::pin(async move { store.changed(&key).await })
    }

    /// Whether the claim stands, as of now: an answer that took so long that too little of the lease is left says
    /// nothing, and the store is asked again.
    async fn check(&self, claim: &Claim) -> Event {
        let at_least = self.spec.policy.spend_deadline;
        let clock = &self.environment.clock;
        loop {
            let asked = clock.now().boot;
            let answer = self.ask(self.environment.store.check(&self.key, claim, at_least)).await;
            // On the boot clock, which goes on while a process is stopped and a machine is suspended.
            let took = Duration::from_millis(clock.now().boot.saturating_sub(asked));
            match answer {
                Ok(Checked::Standing(left)) if left.saturating_sub(took) < at_least => {
                    tracing::warn!(
                        target: log::TOKEN,
                        credential = self.spec.name.as_str(),
                        "the store took {} ms to say that the claim stands, and too little of its lease is left: nothing \
                         was sent; if this happens often, make `lease` longer",
                        took.as_millis()
                    );
                }
                answer => return Event::Checked(answer),
            }
        }
    }

    pub(super) fn ask_claim(&self, id: Id, on: Position, kind: Kind) -> AskClaim {
        AskClaim {
            id,
            on,
            kind,
            lease: self.spec.policy.lease,
            fingerprint: self.spec.fingerprint.clone(),
        }
    }
}

/// A fixed word, for metrics.
pub(super) fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Granted(_) => "granted",
        Outcome::Done => "done",
        Outcome::Refused(_) => "refused",
        Outcome::Lost(_) => "in_doubt",
    }
}
