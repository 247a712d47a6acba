//! Signing in by hand, and a vendor's own steps: run while the proxy runs, beside the lifecycle.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;

use super::{
    TokenError, TokenHandle,
    errands::{Context, outcome_word, within},
    handle::Command,
    words,
};
use crate::{
    clock::Deadline,
    credential::{
        Spec,
        record::{Claimed, Id, Kind, Record, SeedHash},
        reply::{Outcome, Purpose},
        spec::{Grant, Then},
        token::Tokens,
    },
    store::random_id,
};

/// How long a person waits for the token that follows a step.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often saving a sign-in by hand is tried: the tokens are in nobody's hands but this task's.
const SAVE_TRIES: u32 = 5;

/// A sign-in by hand that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// What was done, in a sentence.
    pub detail: String,
}

/// Why a sign-in by hand failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The credential's tokens belong to subjects that requests name.
    #[error("its tokens belong to the subjects that requests name; nobody signs in by hand")]
    HasSubjects,
    /// The credential has a fixed token.
    #[error("its token is given in the config; there is nothing to sign in to")]
    Static,
    /// There is no sign-in grant.
    #[error("it has no sign-in; its steps are: {steps}")]
    NoSignIn {
        /// Their names.
        steps: String,
    },
    /// There is no such step.
    #[error("it has no such step; its steps are: {steps}")]
    NoStep {
        /// Their names.
        steps: String,
    },
    /// A question has no answer.
    #[error("the answer to \"{question}\" ({name}) is missing")]
    Unanswered {
        /// The question's name.
        name: String,
        /// The question.
        question: String,
    },
    /// It was refused, or its outcome is unknown.
    #[error("{0}")]
    Failed(String),
    /// What follows the step failed.
    #[error("{0}")]
    NoToken(#[from] TokenError),
}

/// A login as its task gets it.
pub(super) struct Login {
    purpose: Purpose,
    grant: Grant,
    answers: BTreeMap<String, SecretString>,
    reply: oneshot::Sender<Result<Brought, String>>,
    commands: tokio::sync::mpsc::UnboundedSender<Command>,
}

/// What a login's reply brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brought {
    Tokens,
    Nothing,
}

/// Runs a login and what follows it.
pub(super) async fn run(
    spec: &Arc<Spec>,
    handle: &TokenHandle,
    step: Option<&str>,
    answers: &BTreeMap<String, SecretString>,
) -> Result<LoggedIn, LoginError> {
    if spec.fixed.is_some() {
        return Err(LoginError::Static);
    }
    let steps = || match spec.steps.as_slice() {
        [] => "none".to_owned(),
        steps => steps
            .iter()
            .map(|step| step.name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    };
    let Some(name) = step else {
        sign_in(spec, handle, answers, steps).await?;
        return Ok(LoggedIn {
            detail: format!("signed in with credential {}", spec.name),
        });
    };
    let step = spec
        .steps
        .iter()
        .find(|step| step.name.as_str() == name)
        .ok_or_else(|| LoginError::NoStep { steps: steps() })?;
    for ask in &step.ask {
        if !answers.contains_key(&ask.name) {
            return Err(LoginError::Unanswered {
                name: ask.name.clone(),
                question: ask.question.clone(),
            });
        }
    }
    send(handle, Purpose::Step, &step.grant, answers).await?;
    match step.then {
        Then::Nothing => {}
        Then::Refresh => {
            handle.force().await;
            handle.token(PATIENCE).await?;
        }
        Then::SignIn => {
            sign_in(spec, handle, answers, steps).await?;
        }
    }
    Ok(LoggedIn {
        detail: format!("step {name} of credential {} is done", spec.name),
    })
}

async fn sign_in(
    spec: &Arc<Spec>,
    handle: &TokenHandle,
    answers: &BTreeMap<String, SecretString>,
    steps: impl Fn() -> String,
) -> Result<(), LoginError> {
    let grant = spec
        .sign_in
        .as_ref()
        .ok_or_else(|| LoginError::NoSignIn { steps: steps() })?;
    for ask in &spec.ask {
        if !answers.contains_key(&ask.name) {
            return Err(LoginError::Unanswered {
                name: ask.name.clone(),
                question: ask.question.clone(),
            });
        }
    }
    match send(handle, Purpose::SignIn, grant, answers).await? {
        Brought::Tokens => Ok(()),
        Brought::Nothing => Err(LoginError::Failed("the sign-in brought no tokens".into())),
    }
}

async fn send(
    handle: &TokenHandle,
    purpose: Purpose,
    grant: &Grant,
    answers: &BTreeMap<String, SecretString>,
) -> Result<Brought, LoginError> {
    let closing = || LoginError::Failed("bearerd is shutting down".into());
    let (reply, answer) = oneshot::channel();
    let sent = handle.send_login(|commands| Login {
        purpose,
        grant: grant.clone(),
        answers: answers.clone(),
        reply,
        commands,
    });
    if !sent {
        return Err(closing());
    }
    answer.await.map_err(|_| closing())?.map_err(LoginError::Failed)
}

/// Runs in a task of its own, so that a person who goes away cancels nothing.
pub(super) fn spawn(context: Context, login: Login) {
    let running = context.environment.running();
    tokio::spawn(async move {
        let result = exchange(&context, &login).await;
        // Whoever asked may be gone; what was obtained is saved.
        let _ = login.reply.send(result);
        drop(running);
    });
}

async fn exchange(context: &Context, login: &Login) -> Result<Brought, String> {
    let store = &context.environment.store;
    let record = within(store.load(&context.key)).await?;
    let claim = claim(context, record.as_ref()).await?;
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
        context
            .environment
            .metrics
            .grant(&context.spec.name, word, outcome_word(outcome));
    }
    if let Ok(Outcome::Granted(tokens)) = result {
        // `replace` voids the claim.
        let record = save(context, complete(context, tokens)).await?;
        let _ = login.commands.send(Command::SignedIn(Box::new(record)));
        return Ok(Brought::Tokens);
    }
    if let Some(claim) = claim {
        let _ = within(store.release(&context.key, &claim, None, false)).await;
    }
    match result? {
        Outcome::Granted(_) | Outcome::Done => Ok(Brought::Nothing),
        Outcome::Refused(refusal) => {
            let hint = refusal.hint.as_ref().map_or(String::new(), |hint| format!("; {hint}"));
            Err(format!("refused: {}{hint}", words::refusal_words(&refusal)))
        }
        Outcome::Lost(lost) => Err(format!("the outcome is unknown: {}", words::lost_words(&lost))),
    }
}

/// Law 2: the claim proves that the store can be written. Another process's claim proves it too, and a sign-in by
/// hand voids that one in the end.
async fn claim(context: &Context, record: Option<&Record>) -> Result<Option<crate::credential::record::Claim>, String> {
    let on = record.map(|record| record.position).unwrap_or_default();
    let ask = context.ask_claim(draw_id()?, on, Kind::SignIn);
    match within(context.environment.store.claim(&context.key, ask)).await? {
        Claimed::Granted(claim) => Ok(Some(claim)),
        Claimed::Held(_) | Claimed::Moved(_) => Ok(None),
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

async fn save(context: &Context, tokens: Tokens) -> Result<Record, String> {
    let id = draw_id()?;
    let seeds: Vec<SeedHash> = context
        .spec
        .seed
        .iter()
        .map(|seed| SeedHash::of(seed.expose_secret()))
        .collect();
    let store = &context.environment.store;
    let mut tries = 0;
    loop {
        tries += 1;
        match within(store.replace(&context.key, id, &tokens, &seeds, &context.spec.fingerprint)).await {
            Ok(record) => return Ok(record),
            Err(fault) if tries == SAVE_TRIES => {
                return Err(format!("signed in, but the tokens could not be saved: {fault}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}
