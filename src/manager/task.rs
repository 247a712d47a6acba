//! The task of one credential and subject: it does what the lifecycle says, and publishes what callers get.

use std::{future::Future, pin::Pin, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    Environment, TokenError,
    errands::Context,
    handle::{Command, Published, Ready, Refused, Shared, TokenHandle},
    history::History,
    login,
    renewal::Wishes,
    status::Snapshot,
    words,
};
use crate::{
    clock::{Deadline, Now},
    credential::{
        Spec,
        lifecycle::{Event, Lifecycle, Offer, Rules, Step},
        record::SeedHash,
        token::{Position, Tokens},
    },
    store::{Hint, Key, StoreError, random_id},
    upstream::{Connection, Exchange},
};

/// A step under way: its event, and the connection where one is open afterwards.
type Doing = Pin<Box<dyn Future<Output = (Event, Option<Line>)> + Send>>;

pub(super) struct Task {
    context: Context,
    lifecycle: Lifecycle,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    line: Option<Line>,
    /// The tokens that were published last, as they were placed.
    placed: Option<(Arc<Tokens>, Arc<Ready>)>,
    unsaved: bool,
    /// What happened lately; nothing where there is a subject.
    history: History,
    /// Renewals that people asked for.
    wishes: Wishes,
    /// Nobody has a handle any more: the credential is gone from the config, or is another task's.
    is_retired: bool,
}

/// A connection to the token endpoint, in its turn.
pub(super) struct Line {
    pub(super) connection: Connection,
    /// Given back with the connection: after the answer, or when nothing is sent.
    pub(super) _turn: Option<OwnedSemaphorePermit>,
}

impl Task {
    /// Starts the task of a credential and subject; it ends after its last handle, or when the program closes.
    pub(super) fn spawn(
        spec: Arc<Spec>,
        exchange: Exchange,
        environment: Environment,
        key: Key,
        subject: Vec<(String, SecretString)>,
        turns: Option<Arc<Semaphore>>,
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
                turns,
            },
            lifecycle: Lifecycle::new(Arc::new(rules)),
            shared: shared.clone(),
            commands,
            line: None,
            placed: None,
            unsaved: false,
            history: History::default(),
            wishes: Wishes::default(),
            is_retired: false,
        };
        let running = task.context.environment.running();
        // On the heap once: as the future's own it would be kept twice, as its argument and as its local.
        let mut task = Box::new(task);
        tokio::spawn(async move {
            task.run().await;
            drop((task, running));
        });
        Ok(TokenHandle::of_task(shared, sender))
    }

    async fn run(&mut self) {
        let clock = self.context.environment.clock.clone();
        let mut closing = self.context.environment.closing.clone();
        let mut open = true;
        let mut doing: Option<Doing> = None;
        let mut changed: Option<Hint<'static>> = None;
        loop {
            self.publish();
            if !open && self.lifecycle.may_end() {
                return;
            }
            let mut wake: Option<Deadline> = None;
            if doing.is_none() {
                let now = clock.now();
                match self.lifecycle.step(now) {
                    Step::Rest(until) => {
                        // A connection that was opened for nothing isn't kept.
                        self.line = None;
                        wake = until.filter(|_| !self.is_idle_subject(now));
                    }
                    step => doing = Some(self.perform(step)),
                }
            }
            // Kept over its looks at the store, so that nothing is missed between them.
            match self.lifecycle.waits_for_others() {
                true => _ = changed.get_or_insert_with(|| self.context.changed()),
                false => changed = None,
            }
            let event = tokio::select! {
                biased;
                (event, line) = finish(&mut doing) => {
                    doing = None;
                    self.line = line;
                    Some(event)
                }
                command = self.commands.recv(), if open => match command {
                    Some(command) => self.command(command),
                    None => {
                        open = false;
                        self.is_retired = true;
                        None
                    }
                },
                () = closed(&mut closing), if open => { open = false; None }
                () = hinted(&mut changed), if doing.is_none() => {
                    changed = None;
                    Some(Event::Changed)
                }
                () = sleep_until(&clock, wake) => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.take(event);
            }
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.context.environment.clock.now();
        let by_hand = matches!(event, Event::SignedIn(_));
        for note in self.lifecycle.handle(event, now) {
            self.context.note(&note);
            if self.context.subject.is_empty() {
                self.history.add(&note, now.wall, self.lifecycle.position(), by_hand);
            }
        }
        if self.wishes.settle(&self.lifecycle, &self.context.spec, now) {
            self.take(Event::Forced);
        }
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        match command {
            Command::Wanted => Some(Event::Wanted),
            Command::Used => Some(Event::Used),
            Command::Accepted(position) => Some(Event::Accepted(position)),
            Command::RejectedAgain(position) => Some(Event::RejectedAgain(position)),
            Command::Force(taken_in) => self.take_in(Event::Forced, taken_in),
            Command::Renew(answer) => {
                let now = self.context.environment.clock.now();
                let asks = self.wishes.take(&self.lifecycle, &self.context.spec, now, answer);
                asks.then_some(Event::Forced)
            }
            Command::Login(request) => {
                login::exchange::spawn(self.context.clone(), *request);
                None
            }
            Command::Rejected(position, taken_in) => self.take_in(Event::Rejected(position), taken_in),
            Command::SignedIn(record, taken_in) => self.take_in(Event::SignedIn(record), taken_in),
        }
    }

    /// Takes an event in, and tells whoever waits for that once it is visible.
    fn take_in(&mut self, event: Event, taken_in: oneshot::Sender<()>) -> Option<Event> {
        self.take(event);
        self.publish();
        // A caller that went away needs no answer.
        let _ = taken_in.send(());
        None
    }

    /// Makes what the lifecycle offers visible, if it changed.
    fn publish(&mut self) {
        let now = self.context.environment.clock.now();
        let spec = &self.context.spec;
        let published = match self.lifecycle.offer(now) {
            Offer::Token(position) => self.ready(position),
            Offer::Wait => Published::Wait,
            Offer::Refused(trouble, until) => Published::Refused(Arc::new(Refused {
                error: words::token_error(spec, &trouble),
                until,
                may_pass: trouble.may_pass(),
            })),
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

    /// The published token, made once for the same tokens.
    fn ready(&mut self, position: Position) -> Published {
        let Some(tokens) = self.lifecycle.tokens().cloned() else {
            return Published::Wait;
        };
        if let Some((placed, ready)) = &self.placed
            && Arc::ptr_eq(placed, &tokens)
        {
            return Published::Token(ready.clone());
        }
        let Some(access) = &tokens.access else {
            return Published::Wait;
        };
        match self.context.spec.placement.inject_from(access) {
            Ok(injection) => {
                let ready = Arc::new(Ready {
                    injection,
                    position,
                    expires: tokens.expires,
                    renew_at: self.lifecycle.renew_at(),
                    told: false.into(),
                    on_trial: false.into(),
                });
                self.placed = Some((tokens, ready.clone()));
                Published::Token(ready)
            }
            Err(error) => Published::Refused(Arc::new(Refused {
                error: TokenError::Unavailable {
                    detail: format!(
                        "the access token of credential {} can't be placed: {error}",
                        self.context.spec.name
                    ),
                    retry_after: None,
                },
                until: None,
                may_pass: false,
            })),
        }
    }

    fn report(&mut self, now: Now) {
        let Context {
            spec,
            environment,
            subject,
            ..
        } = &self.context;
        let unsaved = self.lifecycle.is_unsaved();
        if unsaved != self.unsaved {
            self.unsaved = unsaved;
            environment.metrics.unsaved(&spec.name, if unsaved { 1 } else { -1 });
        }
        // Of subjects only their number is told: a page of ten thousand helps nobody, and costs memory.
        if subject.is_empty() && !self.is_retired {
            let before = self.shared.snapshot.load_full().unwrap_or_default();
            let snapshot = Snapshot::take(spec, &self.lifecycle, &self.history, &before, now);
            let generation = snapshot.position.map_or(0, |position| position.generation);
            environment
                .metrics
                .token(&spec.name, snapshot.usable, generation, snapshot.expires);
            environment.metrics.grant_dies(&spec.name, snapshot.dies);
            self.shared.snapshot.store(Some(Arc::new(snapshot)));
        }
    }

    /// Starts a step; the future owns what it needs, so that nothing can cancel it but the end of the process.
    fn perform(&mut self, step: Step) -> Doing {
        let context = self.context.clone();
        let line = self.line.take();
        let held = self.lifecycle.tokens().cloned();
        let shared = self.shared.clone();
        let is_unborn = self.lifecycle.is_unborn();
        Box::pin(async move {
            match step {
                Step::Rest(_) => (Event::Tick, None),
                Step::Connect(kind) => match context.turn(&shared, held.is_some()).await {
                    Ok(turn) => context.connect(kind, held, turn).await,
                    Err(nobody) => (Event::NeverLeft(nobody), None),
                },
                Step::Send { claim, held, .. } => (context.send(claim, held, line).await, None),
                Step::Release { .. } if is_unborn => (context.release_unborn(step).await, line),
                step => (context.ask_store(step).await, line),
            }
        })
    }

    /// Whether this is a subject that nobody uses: its timers would only cost.
    fn is_idle_subject(&self, now: Now) -> bool {
        !self.context.subject.is_empty() && self.lifecycle.waits_for_use(now)
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

async fn finish(doing: &mut Option<Doing>) -> (Event, Option<Line>) {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}

async fn hinted(changed: &mut Option<Hint<'static>>) {
    match changed {
        Some(changed) => changed.await,
        None => std::future::pending().await,
    }
}

async fn closed(closing: &mut tokio::sync::watch::Receiver<bool>) {
    // The program that is gone is as good as one that closes.
    let _ = closing.wait_for(|closing| *closing).await;
}

async fn sleep_until(clock: &crate::clock::Clock, wake: Option<Deadline>) {
    match wake {
        // In a box: an idle subject's task has no timer, and no room for one.
        Some(wake) => Box::pin(clock.sleep_until(wake)).await,
        None => std::future::pending().await,
    }
}
