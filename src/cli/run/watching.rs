//! The running program as its probes and its admin listener see it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot};

use crate::{
    admin::{
        ActionError, Answers, ConfigStatus, Done, FlowAsk, FlowTold, LogStatus, Overview, Readiness, Ready, Status,
        Watched,
    },
    log,
    name::{CredentialName, StepName},
};

/// Asks for a reload: what came of it is sent back, in words.
pub(super) type Wish = oneshot::Sender<Result<String, String>>;

/// The program, whether it is ending, and whether its config is the one on disk.
pub(super) struct Watching {
    overview: Overview,
    /// Why it gets no more requests.
    leaving: AtomicBool,
    /// Why the config on disk is not in use, if it isn't.
    stale: ArcSwapOption<String>,
    /// Where reloads are asked for; none where there is nothing to read again.
    wishes: Option<mpsc::Sender<Wish>>,
    log: log::Control,
}

impl Watching {
    pub(super) fn new(overview: Overview, wishes: Option<mpsc::Sender<Wish>>, log: log::Control) -> Self {
        Self {
            overview,
            leaving: AtomicBool::new(false),
            stale: ArcSwapOption::empty(),
            wishes,
            log,
        }
    }

    fn log(&self) -> LogStatus {
        LogStatus {
            level: self.log.text(),
            configured: self.log.configured().into(),
        }
    }

    /// From now on the program says that it is ending.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// The config on disk is in use, or isn't for this reason.
    pub(super) fn set_stale(&self, why: Option<String>) {
        self.stale.store(why.map(Arc::new));
    }

    fn over(&self, mut readiness: Readiness) -> Readiness {
        if self.leaving.load(Ordering::Relaxed) {
            return Readiness {
                status: Ready::Draining,
                reasons: vec!["bearerd is ending".into()],
            };
        }
        if let Some(why) = &*self.stale.load() {
            if readiness.status == Ready::Ready {
                readiness.status = Ready::Degraded;
            }
            readiness
                .reasons
                .push(format!("the config on disk is not in use, the one before it is: {why}"));
        }
        readiness
    }
}

impl Watched for Watching {
    fn readiness(&self) -> Readiness {
        self.over(self.overview.readiness())
    }

    fn status(&self) -> Status {
        let status = self.overview.status();
        Status {
            readiness: self.over(status.readiness),
            config: self.wishes.is_some().then(|| ConfigStatus {
                stale: self.stale.load().as_deref().cloned(),
            }),
            log: Some(self.log()),
            ..status
        }
    }

    fn metrics_page(&self) -> String {
        self.overview.metrics_page()
    }

    async fn login(
        &self,
        credential: &CredentialName,
        step: Option<&StepName>,
        answers: Answers,
    ) -> Result<Done, ActionError> {
        self.overview.login(credential, step, answers).await
    }

    async fn flow(&self, credential: &CredentialName, ask: FlowAsk) -> Result<FlowTold, ActionError> {
        self.overview.flow(credential, ask).await
    }

    async fn refresh(&self, credential: &CredentialName) -> Result<Done, ActionError> {
        self.overview.refresh(credential).await
    }

    fn set_log(&self, level: &str) -> Result<LogStatus, ActionError> {
        let before = self.log.text();
        self.log
            .set(level)
            .map_err(|error| ActionError::Nonsense(error.to_string()))?;
        // As loud as can be: who changes what is written should be found in what is written.
        tracing::error!(
            before,
            now = level,
            "the log's filter was changed at the admin listener"
        );
        Ok(self.log())
    }

    async fn reload(&self) -> Result<Done, ActionError> {
        let Some(wishes) = &self.wishes else {
            return Err(ActionError::NotPossible(
                "this bearerd made its config itself: there is nothing to read again".into(),
            ));
        };
        let (wish, outcome) = oneshot::channel();
        let ending = || ActionError::NotPossible("bearerd is ending and reads no config any more".into());
        wishes.send(wish).await.map_err(|_| ending())?;
        match outcome.await {
            Ok(Ok(detail)) => Ok(Done { detail }),
            Ok(Err(why)) => Err(ActionError::Refused(why)),
            Err(_) => Err(ending()),
        }
    }

    async fn drain(&self) -> Result<Done, ActionError> {
        self.leave();
        tracing::info!("draining: /readyz says so from now on, and requests are answered until the end");
        Ok(Done {
            detail: "/readyz says draining from now on, so that no new requests are sent here; those that come are \
                     answered until bearerd is ended"
                .into(),
        })
    }
}
