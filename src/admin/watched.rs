//! What the listeners of this room ask of the program.

use std::{collections::BTreeMap, future::Future};

use secrecy::SecretString;

use super::{
    flow::{FlowAsk, FlowTold},
    status::{LogStatus, Readiness, Status},
};
use crate::name::{CredentialName, StepName};

/// The running program, as far as it can be watched and acted on.
///
/// Nothing that it returns may hold a secret.
pub trait Watched: Send + Sync + 'static {
    /// Whether it should get requests.
    fn readiness(&self) -> Readiness;

    /// Its credentials, in the config's order of names.
    fn status(&self) -> Status;

    /// The metrics, in the OpenMetrics text format.
    fn metrics_page(&self) -> String;

    /// Signs in by hand, or runs one of the credential's steps, with a person's answers.
    fn login(
        &self,
        credential: &CredentialName,
        step: Option<&StepName>,
        answers: Answers,
    ) -> impl Future<Output = Result<Done, ActionError>> + Send;

    /// Signs in with a browser: begins, finishes, or tells what came of it.
    fn flow(
        &self,
        credential: &CredentialName,
        ask: FlowAsk,
    ) -> impl Future<Output = Result<FlowTold, ActionError>> + Send;

    /// Renews the credential's token now, though it may still be good, if nothing that binds everybody speaks against
    /// it; and tells what came of it.
    fn refresh(&self, credential: &CredentialName) -> impl Future<Output = Result<Done, ActionError>> + Send;

    /// Changes the log's filter, from the next line on.
    ///
    /// # Errors
    /// It is no filter, or the log can't be changed.
    fn set_log(&self, _level: &str) -> Result<LogStatus, ActionError> {
        Err(ActionError::NotPossible("this bearerd's log can't be changed".into()))
    }

    /// Reads the config again and puts it over the running one.
    fn reload(&self) -> impl Future<Output = Result<Done, ActionError>> + Send {
        std::future::ready(Err(ActionError::NotPossible("there is no config to read again".into())))
    }

    /// Has `/readyz` say that the program is ending, while it goes on answering.
    fn drain(&self) -> impl Future<Output = Result<Done, ActionError>> + Send {
        std::future::ready(Err(ActionError::NotPossible("there is nothing to drain".into())))
    }
}

/// A person's answers, by the names of the questions.
pub type Answers = BTreeMap<String, SecretString>;

/// An action that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What is true now, in a sentence.
    pub detail: String,
}

/// Why an action failed; each holds a sentence for the person at the terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The config has no such credential.
    #[error("there is no credential '{0}'; `bearerd status` lists them")]
    UnknownCredential(CredentialName),
    /// The credential can't do this: it has no such step or grant, a fixed token, or one token for each subject.
    #[error("{0}")]
    NotPossible(String),
    /// An answer is missing.
    #[error("{0}; `bearerd login` asks for it")]
    MissingAnswer(String),
    /// What came back from the browser is no answer to the sign-in under way, which goes on.
    #[error("{0}")]
    NotThisFlow(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Nonsense(String),
    /// The new config can't be used; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The provider refused, could not be reached, or nobody knows what it did.
    #[error("{0}")]
    Failed(String),
}
