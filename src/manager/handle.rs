//! What the request path holds: the published token, and a way to ask for one.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    TokenError,
    login::exchange::Login,
    renewal::{RenewalError, Renewed},
    status::{Snapshot, Status},
};
use crate::{
    clock::{Clock, Deadline, Now},
    credential::{Spec, placement::Injection, record::Record, token::Position},
};

/// The most callers that wait for one credential and subject at a time; a waiter costs about a kibibyte.
const MOST_WAITERS: usize = 20_000;

/// A token that is ready to go into requests.
pub struct Ready {
    /// What to put into a request.
    pub injection: Injection,
    /// Which tokens these are: a rejection speaks of this position only.
    pub position: Position,
    /// When it expires.
    pub expires: Option<Deadline>,
    /// From then on its use is worth telling: it makes a renewal due.
    pub(super) renew_at: Option<Deadline>,
    /// Its use has been told.
    pub(super) told: AtomicBool,
    /// Whether the first success is worth telling.
    pub(super) on_trial: AtomicBool,
}

impl Ready {
    /// A token that nobody needs to hear about.
    pub fn new(injection: Injection, position: Position, expires: Option<Deadline>) -> Self {
        Self {
            injection,
            position,
            expires,
            renew_at: None,
            told: AtomicBool::new(true),
            on_trial: AtomicBool::new(false),
        }
    }

    /// Whether it may still be sent.
    pub fn is_usable(&self, now: Now) -> bool {
        self.expires.is_none_or(|expires| !expires.has_passed(now))
    }
}

/// What a task has published.
#[derive(Clone)]
pub(super) enum Published {
    /// This token.
    Token(Arc<Ready>),
    /// One is on its way, or will be once somebody wants it.
    Wait,
    /// None.
    Refused(Arc<Refused>),
}

/// Why a task has published none.
#[derive(PartialEq, Eq)]
pub(super) struct Refused {
    /// The reason.
    pub(super) error: TokenError,
    /// When the task tries again by itself, if somebody still wants it.
    pub(super) until: Option<Deadline>,
    /// Whether that is worth waiting for.
    pub(super) may_pass: bool,
}

impl Refused {
    /// For a caller that doesn't wait, or no longer.
    fn error(&self, now: Now) -> TokenError {
        self.error.until(self.until, now)
    }
}

/// What a task is told.
pub(super) enum Command {
    Wanted,
    Used,
    Accepted(Position),
    Rejected(Position, oneshot::Sender<()>),
    RejectedAgain(Position),
    Force(oneshot::Sender<()>),
    Renew(oneshot::Sender<Renewed>),
    Login(Box<Login>),
    SignedIn(Box<Record>, oneshot::Sender<()>),
}

impl Published {
    /// Whether waiters would learn nothing from this after `self`.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token(one), Self::Token(two)) => Arc::ptr_eq(one, two),
            (Self::Wait, Self::Wait) => true,
            (Self::Refused(one), Self::Refused(two)) => one == two,
            _ => false,
        }
    }
}

/// What a task and its handles share.
pub(super) struct Shared {
    /// The published token, for the fast path.
    pub(super) ready: ArcSwapOption<Ready>,
    pub(super) published: watch::Sender<Published>,
    /// How it stands; nobody asks that of a subject.
    pub(super) snapshot: ArcSwapOption<Snapshot>,
    pub(super) clock: Clock,
    waiters: AtomicUsize,
}

impl Shared {
    /// Whether anybody waits for a token just now.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) > 0
    }

    pub(super) fn new(clock: Clock) -> Self {
        Self {
            ready: ArcSwapOption::empty(),
            published: watch::Sender::new(Published::Wait),
            snapshot: ArcSwapOption::empty(),
            clock,
            waiters: AtomicUsize::new(0),
        }
    }
}

/// A cloneable handle to the task of one credential and subject. The task ends after its last handle.
#[derive(Clone)]
pub struct TokenHandle(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Arc<Ready>),
    Task {
        shared: Arc<Shared>,
        commands: mpsc::UnboundedSender<Command>,
    },
}

/// Counts a waiter for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TokenHandle {
    /// A handle that always has this.
    pub fn fixed(injection: Injection) -> Self {
        Self(Kind::Fixed(Arc::new(Ready::new(injection, Position::default(), None))))
    }

    pub(super) fn of_task(shared: Arc<Shared>, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self(Kind::Task { shared, commands })
    }

    /// The published token, if it is usable.
    pub fn token_at_once(&self) -> Option<Arc<Ready>> {
        match &self.0 {
            Kind::Fixed(ready) => Some(ready.clone()),
            Kind::Task { shared, commands } => {
                let now = shared.clock.now();
                let ready = shared.ready.load_full().filter(|ready| ready.is_usable(now))?;
                note_use(&ready, commands, now);
                Some(ready)
            }
        }
    }

    /// A usable token: the published one at once, else the one that comes within `patience`.
    ///
    /// # Errors
    /// Each [`TokenError`]; a failure that is over within `patience` is waited out.
    pub async fn token(&self, patience: Duration) -> Result<Arc<Ready>, TokenError> {
        if let Some(ready) = self.token_at_once() {
            return Ok(ready);
        }
        match &self.0 {
            Kind::Fixed(ready) => Ok(ready.clone()),
            Kind::Task { shared, commands } => wait(shared, commands, patience).await,
        }
    }

    /// After the API rejected `rejected`: a later token, or `None` where a renewal is of no use now (a fixed token,
    /// a cooldown), so that the rejection passes through.
    ///
    /// # Errors
    /// As [`TokenHandle::token`].
    pub async fn renewed(&self, rejected: &Ready, patience: Duration) -> Result<Option<Arc<Ready>>, TokenError> {
        let Kind::Task { shared, commands } = &self.0 else {
            return Ok(None);
        };
        let newer = shared
            .ready
            .load_full()
            .filter(|ready| ready.position != rejected.position);
        if newer.is_none() {
            tell(commands, |taken_in| Command::Rejected(rejected.position, taken_in)).await;
        }
        if let Published::Token(ready) = &*shared.published.borrow() {
            if ready.position == rejected.position {
                return Ok(None);
            }
            // What was published to an idle subject may have expired since.
            if ready.is_usable(shared.clock.now()) {
                return Ok(Some(ready.clone()));
            }
        }
        wait(shared, commands, patience).await.map(Some)
    }

    /// The API rejected `ready` too, in a request that was sent again because the token before it was rejected.
    pub fn rejected_again(&self, ready: &Ready) {
        if let Kind::Task { commands, .. } = &self.0 {
            let _ = commands.send(Command::RejectedAgain(ready.position));
        }
    }

    /// The API accepted a request with this token.
    pub fn accepted(&self, ready: &Ready) {
        if ready.on_trial.load(Ordering::Relaxed)
            && ready.on_trial.swap(false, Ordering::Relaxed)
            && let Kind::Task { commands, .. } = &self.0
        {
            let _ = commands.send(Command::Accepted(ready.position));
        }
    }

    /// Asks for a renewal now; returns once the task has taken it in. Whether there is anything to renew.
    pub(super) async fn force(&self) -> bool {
        match &self.0 {
            Kind::Fixed(_) => false,
            Kind::Task { commands, .. } => tell(commands, Command::Force).await,
        }
    }

    /// Asks for a renewal as a person may, and waits for what comes of it; `None` if that isn't known within `patience`.
    pub(super) async fn renew(&self, patience: Duration) -> Option<Renewed> {
        let Kind::Task { commands, .. } = &self.0 else {
            return Some(Err(RenewalError::NotNow(
                "this credential's token is fixed in the config: there is nothing to renew".into(),
            )));
        };
        let (wish, outcome) = oneshot::channel();
        let _ = commands.send(Command::Renew(wish));
        match tokio::time::timeout(patience, outcome).await {
            Ok(Ok(outcome)) => Some(outcome),
            Ok(Err(_)) => Some(Err(RenewalError::NotNow(
                "this credential's task has ended, as it does when bearerd ends".into(),
            ))),
            Err(_) => None,
        }
    }

    /// Whether there are tokens of any kind, usable or not.
    pub(super) fn holds_tokens(&self) -> bool {
        match &self.0 {
            Kind::Fixed(_) => true,
            Kind::Task { shared, .. } => shared
                .snapshot
                .load()
                .as_ref()
                .is_some_and(|snapshot| snapshot.position.is_some()),
        }
    }

    pub(super) fn send_login(&self, make: impl FnOnce(mpsc::UnboundedSender<Command>) -> Login) -> bool {
        match &self.0 {
            Kind::Fixed(_) => false,
            Kind::Task { commands, .. } => commands.send(Command::Login(Box::new(make(commands.clone())))).is_ok(),
        }
    }

    pub(super) fn status(&self, spec: &Spec) -> Status {
        match &self.0 {
            Kind::Fixed(_) => Status::fixed(spec),
            Kind::Task { shared, .. } => {
                let snapshot = shared.snapshot.load_full().unwrap_or_default();
                Status::of(spec, &snapshot)
            }
        }
    }
}

/// Tells the task something, and waits until it is visible in what the task has published. A task that has ended
/// takes nothing in.
pub(super) async fn tell(
    commands: &mpsc::UnboundedSender<Command>,
    command: impl FnOnce(oneshot::Sender<()>) -> Command,
) -> bool {
    let (taken_in, ack) = oneshot::channel();
    commands.send(command(taken_in)).is_ok() && ack.await.is_ok()
}

fn note_use(ready: &Ready, commands: &mpsc::UnboundedSender<Command>, now: Now) {
    if ready.renew_at.is_some_and(|at| at.has_passed(now))
        && !ready.told.load(Ordering::Relaxed)
        && !ready.told.swap(true, Ordering::Relaxed)
    {
        let _ = commands.send(Command::Used);
    }
}

async fn wait(
    shared: &Shared,
    commands: &mpsc::UnboundedSender<Command>,
    patience: Duration,
) -> Result<Arc<Ready>, TokenError> {
    if shared.waiters.fetch_add(1, Ordering::Relaxed) >= MOST_WAITERS {
        shared.waiters.fetch_sub(1, Ordering::Relaxed);
        return Err(TokenError::Overloaded {
            detail: format!("{MOST_WAITERS} requests wait for this token already"),
        });
    }
    let _waiting = Waiting(&shared.waiters);
    let end = Deadline::after(shared.clock.now(), patience);
    let mut patience_ends = pin!(tokio::time::sleep(patience));
    let mut published = shared.published.subscribe();
    loop {
        let seen = published.borrow_and_update().clone();
        let now = shared.clock.now();
        match seen {
            Published::Token(ready) if ready.is_usable(now) => return Ok(ready),
            // A failure that may be over before this caller's patience is waited out.
            Published::Refused(refused) => {
                // One that is over already is about to be tried again, whatever it was.
                let is_waited_for = refused.until.is_some_and(|until| {
                    until.has_passed(now) || (refused.may_pass && until.remaining(now) < end.remaining(now))
                });
                if !is_waited_for {
                    let _ = commands.send(Command::Wanted);
                    return Err(refused.error(now));
                }
            }
            Published::Token(_) | Published::Wait => {}
        }
        // Said again after each change: the task forgets wishes when it fails.
        if commands.send(Command::Wanted).is_err() {
            return Err(TokenError::Unavailable {
                detail: "this credential's task has ended: bearerd is shutting down, or has a fault that its log tells of and a restart mends".into(),
                retry_after: None,
            });
        }
        tokio::select! {
            biased;
            // The sender is in `shared`: waiting for a change cannot fail.
            _ = published.changed() => {}
            () = &mut patience_ends => return Err(timed_out(shared, patience)),
        }
    }
}

/// A caller whose patience ends while a failure is being waited out hears of the failure; and so does one whose
/// patience ends while a store that has failed is tried again, which takes seconds where its server is silent.
fn timed_out(shared: &Shared, waited: Duration) -> TokenError {
    if let Published::Refused(refused) = &*shared.published.borrow() {
        return refused.error(shared.clock.now());
    }
    let snapshot = shared.snapshot.load();
    let failing = snapshot.as_ref().and_then(|snapshot| snapshot.store_fails.clone());
    failing.unwrap_or(TokenError::Timeout { waited })
}
