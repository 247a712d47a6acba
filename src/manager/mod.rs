//! The token manager: an owned task per credential and subject, and a handle that callers clone.
//!
//! A caller never runs a token request in its own future: it reads what the task has published, or waits for it.
//! So a caller that hangs up, a deadline or an eviction never cancels a spend (law 4).

mod current;
mod errands;
mod error;
mod handle;
mod history;
mod login;
mod notes;
mod renewal;
mod status;
mod store_health;
mod subjects;
mod task;
mod words;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::sync::watch;

pub use self::{
    current::Managers,
    errands::STORE_DEADLINE,
    error::TokenError,
    handle::{Ready, TokenHandle},
    history::{TokenEvent, What},
    login::{
        LoggedIn, LoginError,
        flow::{Answer, Begun, Show},
    },
    renewal::RenewalError,
    status::{LastError, Status},
    store_health::{StoreHealth, StoreTrouble},
};
use self::{login::flow::Flows, subjects::Subjects, task::Task};
use crate::{
    clock::Clock,
    credential::{Spec, placement::PlacementError},
    metrics::Metrics,
    store::{Key, StoreError, TokenStore},
    upstream::Exchange,
};

/// What all managers of a program share.
#[derive(Clone)]
pub struct Environment {
    /// Where chains live.
    pub store: Arc<dyn TokenStore>,
    /// The program's clock.
    pub clock: Clock,
    /// The program's metrics.
    pub metrics: Arc<Metrics>,
    /// How the store answered last.
    pub store_health: StoreHealth,
    closing: watch::Receiver<bool>,
    /// How many tasks run.
    tasks: Arc<watch::Sender<usize>>,
}

/// Counts a task for as long as it runs.
struct Running(Arc<watch::Sender<usize>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Ends the tasks of an [`Environment`].
#[derive(Debug)]
pub struct Closing {
    closing: watch::Sender<bool>,
    tasks: watch::Receiver<usize>,
}

impl Environment {
    /// An environment, and the means to end its tasks.
    pub fn new(store: Arc<dyn TokenStore>, clock: Clock, metrics: Arc<Metrics>) -> (Self, Closing) {
        let (closing, seen) = watch::channel(false);
        let (tasks, count) = watch::channel(0);
        let environment = Self {
            store,
            clock,
            metrics,
            store_health: StoreHealth::default(),
            closing: seen,
            tasks: Arc::new(tasks),
        };
        let closing = Closing { closing, tasks: count };
        (environment, closing)
    }

    fn running(&self) -> Running {
        self.tasks.send_modify(|count| *count += 1);
        Running(self.tasks.clone())
    }
}

impl Closing {
    /// Tells all tasks to end once nothing is under way, and waits for that: whether it came within `patience`.
    /// A task whose tokens are not saved keeps trying until then.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.closing.send_replace(true);
        let mut tasks = self.tasks.clone();
        let ended = tasks.wait_for(|count| *count == 0);
        tokio::time::timeout(patience, ended).await.is_ok()
    }
}

/// Why a manager can't start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A `static` token that its placement can't hold.
    #[error("the token can't be placed: {0}")]
    Token(#[from] PlacementError),
    /// No random id.
    #[error(transparent)]
    Random(#[from] StoreError),
}

/// The manager of one credential: hands out the handle of each subject. Clones share it.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    spec: Arc<Spec>,
    tokens: Handles,
    /// Sign-ins with a browser, where the credential has such.
    flows: Option<Flows>,
}

enum Handles {
    /// One, for ever the same or with a task of its own.
    One(TokenHandle),
    /// One per subject, made when it is first asked for.
    PerSubject(Box<Subjects>),
}

impl Manager {
    /// The manager of this credential, with the endpoint that its requests go to. Must be called within a runtime.
    ///
    /// # Errors
    /// A `static` token that can't stand where the placement puts it; no randomness to be had.
    pub fn start(spec: Arc<Spec>, exchange: Exchange, environment: Environment) -> Result<Self, StartError> {
        let flows = spec
            .browser
            .is_some()
            .then(|| Flows::new(exchange.clone(), environment.clone()));
        let tokens = if let Some(token) = &spec.fixed {
            Handles::One(TokenHandle::fixed(spec.placement.inject_from(token)?))
        } else if spec.subject.is_empty() {
            let key = Key::of(&spec.name);
            Handles::One(Task::spawn(spec.clone(), exchange, environment, key, Vec::new(), None)?)
        } else {
            Handles::PerSubject(Box::new(Subjects::new(spec.clone(), exchange, environment)))
        };
        Ok(Self(Arc::new(Inner { spec, tokens, flows })))
    }

    /// A manager whose token is always this one.
    pub fn fixed(spec: Arc<Spec>, handle: TokenHandle) -> Self {
        Self(Arc::new(Inner {
            spec,
            tokens: Handles::One(handle),
            flows: None,
        }))
    }

    /// What it manages.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.0.spec
    }

    /// The handle of a subject: its parts by name, in the spec's order; empty where the credential has none.
    ///
    /// # Errors
    /// The store can't be asked for the key that subjects' records are kept under, or doesn't answer within `patience`.
    pub async fn handle(
        &self,
        subject: &[(String, SecretString)],
        patience: Duration,
    ) -> Result<TokenHandle, TokenError> {
        match &self.0.tokens {
            Handles::One(handle) => Ok(handle.clone()),
            Handles::PerSubject(subjects) => subjects.handle(subject, patience).await,
        }
    }

    /// The one handle of a credential without subjects.
    pub fn one_handle(&self) -> Option<&TokenHandle> {
        match &self.0.tokens {
            Handles::One(handle) => Some(handle),
            Handles::PerSubject(_) => None,
        }
    }

    /// How it stands; of subjects, how many are in use.
    pub fn status(&self) -> Status {
        match &self.0.tokens {
            Handles::One(handle) => handle.status(&self.0.spec),
            Handles::PerSubject(subjects) => Status::of_subjects(&self.0.spec, subjects.count()),
        }
    }

    /// Asks for a renewal now, as a person may, and waits for what comes of it: a sentence, or `None` if that isn't
    /// known within `patience`. It goes by what binds everybody: `min_age`, back-offs, cooldowns, doubt.
    ///
    /// # Errors
    /// There is nothing to renew, it isn't time, or it failed.
    pub async fn renew(&self, patience: Duration) -> Result<Option<String>, RenewalError> {
        match &self.0.tokens {
            Handles::One(handle) => handle.renew(patience).await.transpose(),
            Handles::PerSubject(_) => Err(RenewalError::NotNow(format!(
                "credential '{}' has a token for each subject, which is renewed when its subject's requests need it",
                self.0.spec.name
            ))),
        }
    }

    /// Signs in by hand, or runs a vendor's step: what a person answered goes into the request, and the tokens that
    /// come back start a new chain.
    pub async fn login(
        &self,
        step: Option<&str>,
        answers: &BTreeMap<String, SecretString>,
    ) -> Result<LoggedIn, LoginError> {
        match &self.0.tokens {
            Handles::One(handle) => login::run(&self.0.spec, handle, step, answers).await,
            Handles::PerSubject(_) => Err(LoginError::HasSubjects),
        }
    }

    /// Begins a sign-in with a browser: what to show. A code's redirect is to go to `redirect_uri`.
    ///
    /// # Errors
    /// The credential has no such sign-in, or the device authorization endpoint gives no code.
    pub async fn begin_flow(&self, redirect_uri: Option<&str>) -> Result<Begun, LoginError> {
        let (flows, handle) = self.flows()?;
        flows.begin(&self.0.spec, handle, redirect_uri).await
    }

    /// Finishes one with what came back from the browser: the tokens that its code is exchanged for start a new chain.
    ///
    /// # Errors
    /// The answer is not this attempt's ([`LoginError::Redirect`]; it stays under way), or the exchange fails.
    pub async fn finish_flow(&self, flow: &str, answer: Answer<'_>) -> Result<LoggedIn, LoginError> {
        let (flows, handle) = self.flows()?;
        flows.finish(&self.0.spec, handle, flow, answer).await
    }

    /// What came of one that a person finishes on another device: `None` if that isn't known within `patience`.
    ///
    /// # Errors
    /// It was refused, or its time is over.
    pub async fn wait_for_flow(&self, flow: &str, patience: Duration) -> Result<Option<LoggedIn>, LoginError> {
        let (flows, _) = self.flows()?;
        flows.wait(flow, patience).await
    }

    fn flows(&self) -> Result<(&Flows, &TokenHandle), LoginError> {
        match (&self.0.flows, &self.0.tokens) {
            (Some(flows), Handles::One(handle)) => Ok((flows, handle)),
            _ => Err(LoginError::NoBrowser),
        }
    }
}
