//! A login's token request: claimed, sent and saved in a task of its own, beside the lifecycle.

use std::{collections::BTreeMap, fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::Deadline,
    credential::{
        browser::is_pending,
        record::{Claim, Claimed, Id, Kind, Record, SeedHash},
        reply::{Lost, Outcome, Purpose, Refusal},
        spec::Grant,
        token::Tokens,
    },
    log,
    manager::{
        TokenHandle,
        errands::{Context, outcome_word},
        handle::{Command, tell},
        words,
    },
    store::random_id,
};

/// Between two tries to save a sign-in by hand: the first pause, which doubles.
const SAVE_PAUSE: Duration = Duration::from_secs(1);
/// And the longest.
const LONGEST_SAVE_PAUSE: Duration = Duration::from_secs(15);

/// How long a claim of another request is waited for.
const PATIENCE_FOR_CLAIM: Duration = Duration::from_secs(10);
/// How often it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A login as its task gets it.
pub(in crate::manager) struct Login {
    purpose: Purpose,
    grant: Grant,
    answers: BTreeMap<String, SecretString>,
    reply: oneshot::Sender<Result<Brought, Failure>>,
    commands: mpsc::UnboundedSender<Command>,
}

/// What a login's reply brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::manager) enum Brought {
    /// An access token, whatever else.
    Access,
    /// A refresh token alone.
    Refresh,
    /// Neither.
    Nothing,
}

/// Why a login's request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::manager) enum Failure {
    /// It was refused.
    Refused(Refusal),
    /// Nobody knows.
    Lost(Lost),
    /// It never left, for this reason.
    NeverLeft(String),
    /// The store could not note the claim: nothing was sent.
    Store(String),
    /// The program is ending: nothing was sent.
    Closing,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => {
                write!(f, "refused: {}", words::refusal_words(refusal))?;
                refusal.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
            }
            Self::Lost(lost) => write!(f, "the outcome is unknown: {}", words::lost_words(lost)),
            Self::NeverLeft(why) | Self::Store(why) => f.write_str(why),
            Self::Closing => f.write_str("bearerd is shutting down"),
        }
    }
}

/// Has the credential's task send a grant's request, and waits for what it brings. Leaving cancels nothing.
pub(in crate::manager) async fn send(
    handle: &TokenHandle,
    purpose: Purpose,
    grant: &Grant,
    answers: &BTreeMap<String, SecretString>,
) -> Result<Brought, Failure> {
    let (reply, answer) = oneshot::channel();
    let sent = handle.send_login(|commands| Login {
        purpose,
        grant: grant.clone(),
        answers: answers.clone(),
        reply,
        commands,
    });
    if !sent {
        return Err(Failure::Closing);
    }
    answer.await.map_err(|_| Failure::Closing)?
}

/// Runs in a task of its own, so that a person who goes away cancels nothing.
pub(in crate::manager) fn spawn(context: Context, login: Login) {
    let running = context.environment.running();
    tokio::spawn(async move {
        let result = exchange(&context, &login).await;
        // Whoever asked may be gone; what was obtained is saved.
        let _ = login.reply.send(result);
        drop(running);
    });
}

async fn exchange(context: &Context, login: &Login) -> Result<Brought, Failure> {
    let store = &context.environment.store;
    let (record, claim) = claim(context).await.map_err(Failure::Store)?;
    let held = record.map(|record| record.tokens);
    let answers = |name: &str| login.answers.get(name).map(|answer| answer.expose_secret().to_owned());
    let values = context.values(held.as_ref(), answers);
    let result = async {
        let request = login.grant.request.build(&values).map_err(|error| error.to_string())?;
        let connection = context
            .exchange
            .open(request.uri())
            .await
            .map_err(|error| error.to_string())?;
        context.exchange(&login.grant, login.purpose, &values, connection).await
    }
    .await;
    if let Ok(outcome) = &result {
        let word = if login.purpose == Purpose::Step {
            "step"
        } else {
            "sign_in"
        };
        let metrics = &context.environment.metrics;
        metrics.grant(&context.spec.name, word, told(outcome));
    }
    if let Ok(Outcome::Granted(tokens)) = result {
        let brought = match tokens.access {
            Some(_) => Brought::Access,
            None => Brought::Refresh,
        };
        // `replace` voids the claim.
        let record = Box::new(save(context, complete(context, tokens)).await?);
        // Whoever is told of the sign-in must find its tokens in use.
        tell(&login.commands, |taken_in| Command::SignedIn(record, taken_in)).await;
        return Ok(brought);
    }
    if let Some(claim) = claim {
        let _ = context.ask(store.release(&context.key, &claim, None, false)).await;
    }
    match result.map_err(Failure::NeverLeft)? {
        Outcome::Granted(_) | Outcome::Done => Ok(Brought::Nothing),
        Outcome::Refused(refusal) => Err(Failure::Refused(refusal)),
        Outcome::Lost(lost) => Err(Failure::Lost(lost)),
    }
}

/// A fixed word, for metrics: that nobody has agreed yet is no refusal.
fn told(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Refused(refusal) if is_pending(refusal) => "pending",
        outcome => outcome_word(outcome),
    }
}

/// Law 2: the claim proves that the store can be written. A claim of another request is waited for, but not for
/// ever: one that is in doubt may stand for hours, proves as much, and is voided by the sign-in in the end.
async fn claim(context: &Context) -> Result<(Option<Record>, Option<Claim>), String> {
    let store = &context.environment.store;
    let id = draw_id()?;
    let patience = Deadline::after(context.environment.clock.now(), PATIENCE_FOR_CLAIM);
    loop {
        let record = context.ask(store.load(&context.key)).await?;
        let on = record.as_ref().map(|record| record.position).unwrap_or_default();
        let ask = context.ask_claim(id, on, Kind::SignIn);
        match context.ask(store.claim(&context.key, ask)).await? {
            Claimed::Granted(claim) => return Ok((record, Some(claim))),
            Claimed::Held(_) if patience.has_passed(context.environment.clock.now()) => return Ok((record, None)),
            Claimed::Held(left) => tokio::time::sleep(left.min(LOOK_AGAIN)).await,
            // Somebody saved in between: what stands now is claimed.
            Claimed::Moved(_) => {}
        }
    }
}

fn draw_id() -> Result<Id, String> {
    random_id().map_err(|error| error.to_string())
}

fn complete(context: &Context, mut tokens: Tokens) -> Tokens {
    let now = context.environment.clock.now();
    let policy = &context.spec.policy;
    if tokens.expires.is_none() && tokens.access.is_some() {
        tokens.expires = policy.assume_lifetime.map(|lifetime| Deadline::after(now, lifetime));
    }
    if tokens.dies.is_none() && tokens.refresh.is_some() {
        tokens.dies = policy.refresh_lifetime.map(|lifetime| Deadline::after(now, lifetime));
    }
    tokens
}

/// Law 3: saving is tried until it works, a shutdown's deadline aside: the tokens are in nobody's hands but this
/// task's, and a person would have to sign in once more.
async fn save(context: &Context, tokens: Tokens) -> Result<Record, Failure> {
    let id = draw_id().map_err(Failure::Store)?;
    let seeds: Vec<SeedHash> = context
        .spec
        .seed
        .iter()
        .map(|seed| SeedHash::of(seed.expose_secret()))
        .collect();
    let store = &context.environment.store;
    let credential = context.spec.name.as_str();
    let mut pause = SAVE_PAUSE;
    loop {
        match context
            .ask(store.replace(&context.key, id, &tokens, &seeds, &context.spec.fingerprint))
            .await
        {
            Ok(record) => {
                tracing::info!(target: log::TOKEN, credential, position = %record.position, "signed in by hand");
                return Ok(record);
            }
            Err(fault) => {
                tracing::error!(target: log::TOKEN, credential, error = %fault,
                    "signed in by hand, and the tokens are not saved yet");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_SAVE_PAUSE);
    }
}
