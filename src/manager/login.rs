//! Signing in by hand, and a vendor's own steps: run while the proxy runs, beside the lifecycle.

pub(super) mod exchange;
pub(super) mod flow;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;

use self::exchange::{Brought, send};
use super::{TokenError, TokenHandle};
use crate::credential::{Spec, browser::RedirectError, reply::Purpose, spec::Then};

/// How long a person waits for the token that follows a step.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// The credential is signed in to with a browser.
    #[error("a person signs in to it with a browser: `bearerd login` shows where")]
    NeedsBrowser,
    /// The credential is not signed in to with a browser.
    #[error("nobody signs in to it with a browser; `bearerd login` knows how")]
    NoBrowser,
    /// The browser was to be redirected to somewhere else than the config says.
    #[error("the redirect is to be {0}; run `bearerd login` with the config that the running one has")]
    OtherRedirect(String),
    /// There is no such sign-in under way.
    #[error("no such sign-in is under way (any more); begin again with `bearerd login`")]
    NoFlow,
    /// What came back from the browser brings no code.
    #[error("{0}")]
    Redirect(#[from] RedirectError),
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

impl LoginError {
    fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }
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
        if spec.browser.is_some() {
            return Err(LoginError::NeedsBrowser);
        }
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
    let sent = send(handle, Purpose::Step, &step.grant, answers).await;
    let brought = sent.map_err(LoginError::failed)?;
    match step.then {
        Then::Nothing => {}
        // An access token is as good as the one that a refresh would bring.
        Then::Refresh if brought == Brought::Access => {}
        Then::Refresh => {
            if brought == Brought::Nothing && !handle.holds_tokens() {
                return Err(LoginError::Failed(format!(
                    "the step's answer brought no refresh token; if it has another name there, say so in \
                     credentials.{}.steps.{name}.reply.refresh_token",
                    spec.name
                )));
            }
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
    let sent = send(handle, Purpose::SignIn, grant, answers).await;
    match sent.map_err(LoginError::failed)? {
        Brought::Access | Brought::Refresh => Ok(()),
        Brought::Nothing => Err(LoginError::Failed("the sign-in brought no tokens".into())),
    }
}
