//! The task of one credential and subject: it does what the lifecycle says, and publishes what callers get.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::mpsc, time::timeout};

use super::{
    Environment,
    handle::{Command, Published, Ready, Shared, TokenHandle},
    login,
    status::Snapshot,
    words,
};
use crate::{
    clock::Deadline,
    credential::{
        Spec,
        lifecycle::{Event, Lifecycle, Note, Offer, Rules, Step},
        record::{Claim, Id, Kind, SeedHash},
        reply::{self, Lost, Outcome, Purpose},
        spec::Grant,
        token::{Position, Tokens},
    },
    store::{AskClaim, Key, Pending, StoreError, random_id},
    template::Scope,
    upstream::{Connection, Exchange, Sent},
};

/// A store that takes longer than this for a verb counts as failing; the verb may still have happened.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// The longest token reply that is read, in bytes.
const LONGEST_REPLY: usize = 1 << 20;

/// What a step's IO needs; clones share it.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) spec: Arc<Spec>,
    pub(super) exchange: Exchange,
    pub(super) environment: Environment,
    pub(super) key: Key,
    pub(super) subject: Arc<[(String, SecretString)]>,
}

/// A step under way: its event, and the connection where one is open afterwards.
type Doing = Pin<Box<dyn Future<Output = (Event, Option<Connection>)> + Send>>;

pub(super) struct Task {
    context: Context,
    lifecycle: Lifecycle,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    connection: Option<Connection>,
    unsaved: bool,
}

impl Task {
    /// Starts the task of a credential and subject; it ends after its last handle, or when the program closes.
    pub(super) fn spawn(
        spec: Arc<Spec>,
        exchange: Exchange,
        environment: Environment,
        key: Key,
        subject: Vec<(String, SecretString)>,
    ) -> Result<TokenHandle, StoreError> {
        let first_id = random_id()?;
        let rules = Rules {
            policy: spec.policy.clone(),
            can_refresh: spec.refresh.is_some(),
            can_sign_in: spec.signs_in_alone(),
            fingerprint: spec.fingerprint.clone(),
            seed: spec
                .seed
                .as_ref()
                .map(|seed| seed_tokens(seed, environment.clock.now().wall)),
            first_id,
            chance: (first_id.0 % 1000) as u16,
        };
        let shared = Arc::new(Shared::new(environment.clock.clone()));
        let (sender, commands) = mpsc::unbounded_channel();
        let task = Self {
            context: Context {
                spec,
                exchange,
                environment,
                key,
                subject: subject.into(),
            },
            lifecycle: Lifecycle::new(Arc::new(rules)),
            shared: shared.clone(),
            commands,
            connection: None,
            unsaved: false,
        };
        let running = task.context.environment.running();
        tokio::spawn(async move {
            task.run().await;
            drop(running);
        });
        Ok(TokenHandle::of_task(shared, sender))
    }

    async fn run(mut self) {
        let clock = self.context.environment.clock.clone();
        let mut closing = self.context.environment.closing.clone();
        let mut open = true;
        let mut doing: Option<Doing> = None;
        loop {
            self.publish();
            if !open && doing.is_none() && self.lifecycle.is_quiet() {
                return;
            }
            let mut wake: Option<Deadline> = None;
            if doing.is_none() {
                match self.lifecycle.step(clock.now()) {
                    Step::Rest(until) => {
                        // A connection that was opened for nothing isn't kept.
                        self.connection = None;
                        wake = until;
                    }
                    step => doing = Some(self.perform(step)),
                }
            }
            let event = tokio::select! {
                biased;
                (event, connection) = finish(&mut doing) => {
                    doing = None;
                    self.connection = connection;
                    Some(event)
                }
                command = self.commands.recv(), if open => match command {
                    Some(command) => self.command(command),
                    None => { open = false; None }
                },
                () = closed(&mut closing), if open => { open = false; None }
                () = sleep_until(&clock, wake) => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        let was_release = matches!(event, Event::Released(_));
        let now = self.context.environment.clock.now();
        for note in self.lifecycle.handle(event, now) {
            self.note(&note);
        }
        // A subject's record is removed if its first sign-in is refused.
        if was_release && !self.context.subject.is_empty() && self.lifecycle.is_unborn() {
            let context = self.context.clone();
            tokio::spawn(async move {
                let _ = context.environment.store.forget(&context.key).await;
            });
        }
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Wanted => Some(Event::Wanted),
            Command::Used => Some(Event::Used),
            Command::Accepted(position) => Some(Event::Accepted(position)),
            Command::Force => Some(Event::Forced),
            Command::Login(request) => {
                login::spawn(self.context.clone(), *request);
                None
            }
            Command::Rejected(position, taken_in) => {
                self.take(Event::Rejected(position));
                self.publish();
                // A caller that went away needs no answer.
                let _ = taken_in.send(());
                None
            }
            Command::SignedIn(record) => Some(Event::SignedIn(record)),
        }
    }

    /// Makes what the lifecycle offers visible, if it changed.
    fn publish(&mut self) {
        let now = self.context.environment.clock.now();
        let spec = &self.context.spec;
        let published = match self.lifecycle.offer(now) {
            Offer::Token(position) => self.ready(position),
            Offer::Wait => Published::Wait,
            Offer::Refused(trouble, until) => Published::Refused(Arc::new(words::token_error(spec, &trouble)), until),
        };
        if let Published::Token(ready) = &published
            && self.lifecycle.watches_for_success()
        {
            ready.on_trial.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        self.shared.ready.store(match &published {
            Published::Token(ready) => Some(ready.clone()),
            _ => None,
        });
        self.shared.published.send_if_modified(|before| {
            let changed = !before.says_the_same(&published);
            if changed {
                *before = published;
            }
            changed
        });
        self.report(now);
    }

    /// The published token, made once per position.
    fn ready(&self, position: Position) -> Published {
        if let Some(ready) = self.shared.ready.load_full().filter(|ready| ready.position == position) {
            return Published::Token(ready);
        }
        let Some((tokens, access)) = self
            .lifecycle
            .tokens()
            .and_then(|tokens| tokens.access.as_ref().map(|access| (tokens, access)))
        else {
            return Published::Wait;
        };
        match self.context.spec.placement.inject_from(access) {
            Ok(injection) => Published::Token(Arc::new(Ready {
                injection,
                position,
                expires: tokens.expires,
                renew_at: self.lifecycle.renew_at(),
                told: false.into(),
                on_trial: false.into(),
            })),
            Err(error) => Published::Refused(
                Arc::new(super::TokenError::Unavailable {
                    detail: format!(
                        "the access token of credential {} can't be placed: {error}",
                        self.context.spec.name
                    ),
                    retry_after: None,
                }),
                None,
            ),
        }
    }

    fn report(&mut self, now: crate::clock::Now) {
        let Context {
            spec,
            environment,
            subject,
            ..
        } = &self.context;
        let before = self.shared.snapshot.borrow().clone();
        let snapshot = Snapshot::take(spec, &self.lifecycle, &before, now);
        if subject.is_empty() {
            let generation = snapshot.position.map_or(0, |position| position.generation);
            environment
                .metrics
                .token(&spec.name, snapshot.usable, generation, snapshot.expires);
        }
        if snapshot.unsaved != self.unsaved {
            self.unsaved = snapshot.unsaved;
            environment
                .metrics
                .unsaved(&spec.name, if self.unsaved { 1 } else { -1 });
        }
        self.shared.snapshot.send_replace(snapshot);
    }

    /// Starts a step; the future owns what it needs, so that nothing can cancel it but the end of the process.
    fn perform(&mut self, step: Step) -> Doing {
        let context = self.context.clone();
        let connection = self.connection.take();
        let held = self.lifecycle.tokens().cloned();
        Box::pin(async move {
            match step {
                Step::Rest(_) => (Event::Tick, None),
                Step::Connect(kind) => context.connect(kind, held).await,
                Step::Send { claim, held, .. } => (context.send(claim, held, connection).await, None),
                step => (context.ask_store(step).await, connection),
            }
        })
    }

    /// One log line for each token event, with its reason.
    fn note(&self, note: &Note) {
        let Context { spec, environment, .. } = &self.context;
        let (name, metrics) = (&spec.name, &environment.metrics);
        let credential = name.as_str();
        match note {
            Note::Asking(kind, why) => {
                tracing::info!(target: "bearerd::token", credential, grant = kind_word(*kind), why = why.as_str(), "asking for tokens");
            }
            Note::Obtained(position, why) => {
                tracing::info!(target: "bearerd::token", credential, %position, why = why.as_str(), "obtained tokens");
            }
            Note::Adopted(position) => {
                tracing::info!(target: "bearerd::token", credential, %position, "using stored tokens");
            }
            Note::NeverLeft(why) => {
                tracing::warn!(target: "bearerd::token", credential, error = %why, "a token request never left");
            }
            Note::Refused(refusal) => {
                tracing::warn!(target: "bearerd::token", credential, about = refusal.about.as_str(),
                    error = %words::refusal_words(refusal), hint = refusal.hint.as_deref(), "a token request was refused");
            }
            Note::InDoubt(lost) => {
                metrics.in_doubt(name);
                tracing::warn!(target: "bearerd::token", credential, error = %words::lost_words(lost),
                    "the outcome of a token request is unknown");
            }
            Note::TakenOver => {
                metrics.in_doubt(name);
                tracing::warn!(target: "bearerd::token", credential, "took over a spend that nobody finished");
            }
            Note::Dead(position) => {
                tracing::error!(target: "bearerd::token", credential, %position, "the refresh token is dead");
            }
            Note::Unsaved(fault) => {
                tracing::error!(target: "bearerd::token", credential, error = %fault, "new tokens are in use but not saved");
            }
            Note::Saved(position) => {
                tracing::info!(target: "bearerd::token", credential, %position, "saved the tokens in use");
            }
            Note::StoreTrouble(fault) => {
                tracing::error!(target: "bearerd::token", credential, error = %fault, "no claim, no token request");
            }
            Note::Foreign(position) => {
                tracing::warn!(target: "bearerd::token", credential, %position,
                    "stored tokens belong to other settings and are left alone");
            }
            Note::Cooldown => {
                tracing::warn!(target: "bearerd::token", credential,
                    "the API rejects fresh tokens too: its rejections pass through for a while");
            }
        }
    }
}

/// A fixed word, for logs and metrics.
fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Refresh => "refresh",
        Kind::SignIn => "sign_in",
        Kind::Restore(_) => "restore",
    }
}

fn seed_tokens(seed: &SecretString, obtained: u64) -> (SeedHash, Arc<Tokens>) {
    let tokens = Tokens {
        refresh: Some(seed.clone()),
        obtained,
        ..Tokens::default()
    };
    (SeedHash::of(seed.expose_secret()), Arc::new(tokens))
}

async fn finish(doing: &mut Option<Doing>) -> (Event, Option<Connection>) {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}

async fn closed(closing: &mut tokio::sync::watch::Receiver<bool>) {
    // The program that is gone is as good as one that closes.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn sleep_until(clock: &crate::clock::Clock, wake: Option<Deadline>) {
    match wake {
        Some(wake) => clock.sleep_until(wake).await,
        None => std::future::pending().await,
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

    async fn connect(&self, kind: Kind, held: Option<Arc<Tokens>>) -> (Event, Option<Connection>) {
        let Some(grant) = self.grant(kind) else {
            return (Event::NeverLeft("there is no such grant".into()), None);
        };
        let request = match grant.request.build(&self.values(held.as_deref(), |_| None)) {
            Ok(request) => request,
            Err(error) => return (Event::NeverLeft(error.to_string()), None),
        };
        match self.exchange.open(request.uri()).await {
            Ok(connection) => (Event::Connected, Some(connection)),
            Err(error) => {
                self.count(kind, "never_left");
                (Event::NeverLeft(error.to_string()), None)
            }
        }
    }

    async fn send(&self, claim: Claim, held: Option<Arc<Tokens>>, connection: Option<Connection>) -> Event {
        let (Some(grant), Some(connection)) = (self.grant(claim.kind), connection) else {
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
        let answer = match connection
            .send(request, self.spec.policy.spend_deadline, LONGEST_REPLY)
            .await
        {
            Sent::Answered(answer) => answer,
            Sent::NoAnswer(why) => {
                tracing::debug!(target: "bearerd::token", credential = self.spec.name.as_str(), error = %why, "no answer");
                return Ok(Outcome::Lost(Lost::NoAnswer));
            }
            Sent::NeverLeft(why) => return Err(why.to_string()),
        };
        let now = self.environment.clock.now();
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

    async fn ask_store(&self, step: Step) -> Event {
        let Self {
            environment, key, spec, ..
        } = self;
        let store = &environment.store;
        match step {
            Step::Load => Event::Loaded(within(store.load(key)).await.map(|record| record.map(Box::new))),
            Step::Seed { id, hash, tokens } => {
                Event::Seeded(within(store.seed(key, id, hash, &tokens, &spec.fingerprint)).await)
            }
            Step::Claim { id, on, kind } => {
                Event::Claimed(within(store.claim(key, self.ask_claim(id, on, kind))).await)
            }
            Step::Check(claim) => Event::Checked(within(store.check(key, &claim, spec.policy.spend_deadline)).await),
            Step::Commit { claim, tokens } => {
                Event::Committed(within(store.commit(key, &claim, &tokens, &spec.fingerprint)).await)
            }
            Step::Release {
                claim,
                back_off,
                in_doubt,
            } => Event::Released(within(store.release(key, &claim, back_off, in_doubt)).await),
            Step::MarkDead(claim) => Event::MarkedDead(within(store.mark_dead(key, &claim)).await),
            Step::Rest(_) | Step::Connect(_) | Step::Send { .. } => Event::Tick,
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
