//! The program as its token managers see it.

use std::{sync::Arc, time::Duration};

use secrecy::ExposeSecret;

use super::{
    flow::{FlowAnswer, FlowAsk, FlowTold},
    status::{CredentialStatus, Moment, Readiness, Ready, RouteStatus, Status, StoreStatus},
    watched::{ActionError, Answers, Done, Watched},
};
use crate::{
    assemble::{Program, Routes},
    clock::{Clock, Now},
    credential::browser::RedirectError,
    manager::{Answer, LoginError, Manager, Managers, RenewalError, StoreHealth},
    metrics::Metrics,
    name::{CredentialName, StepName},
};

/// How long one answer to "what came of it" is held back: well below what clients and proxies wait for one.
const FLOW_WAIT: Duration = Duration::from_secs(20);

/// How long a renewal's outcome is waited for: longer than a token request may take by default.
const RENEWAL_WAIT: Duration = Duration::from_secs(20);

/// What a program's managers and metrics show, and the actions on its credentials.
pub struct Overview {
    managers: Managers,
    metrics: Arc<Metrics>,
    clock: Clock,
    started: Now,
    store: Option<(&'static str, StoreHealth)>,
    routes: Routes,
}

impl Overview {
    /// An overview of these managers; the program's uptime counts from here.
    pub fn new(managers: impl Into<Managers>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self {
            managers: managers.into(),
            metrics,
            started: clock.now(),
            clock,
            store: None,
            routes: Routes::default(),
        }
    }

    /// Tells of this program's store and routes too.
    pub fn of(self, program: &Program) -> Self {
        Self {
            store: Some(program.store()),
            routes: program.routes(),
            ..self
        }
    }

    fn store(&self) -> Option<StoreStatus> {
        let (kind, health) = self.store.as_ref()?;
        let trouble = health.trouble();
        Some(StoreStatus {
            kind: (*kind).into(),
            failing_since: trouble.as_ref().map(|trouble| Moment(trouble.since)),
            text: trouble.map(|trouble| trouble.text),
        })
    }

    fn credentials(&self) -> Vec<CredentialStatus> {
        let managers = self.managers.now();
        managers.values().map(|manager| manager.status().into()).collect()
    }

    fn manager(&self, name: &CredentialName) -> Result<Manager, ActionError> {
        let manager = self.managers.now().get(name).cloned();
        manager.ok_or_else(|| ActionError::UnknownCredential(name.clone()))
    }
}

impl Watched for Overview {
    fn readiness(&self) -> Readiness {
        readiness(&self.credentials())
    }

    fn status(&self) -> Status {
        let credentials = self.credentials();
        // The boot clock: a stepped wall clock doesn't make a program older.
        let now = self.clock.now();
        let uptime = now.boot.saturating_sub(self.started.boot);
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            uptime_seconds: Duration::from_millis(uptime).as_secs(),
            now: Moment(now.wall),
            readiness: readiness(&credentials),
            config: None,
            store: self.store(),
            log: None,
            credentials,
            routes: self.routes.load().iter().map(RouteStatus::from).collect(),
        }
    }

    fn metrics_page(&self) -> String {
        self.metrics.page()
    }

    async fn login(
        &self,
        credential: &CredentialName,
        step: Option<&StepName>,
        answers: Answers,
    ) -> Result<Done, ActionError> {
        let manager = self.manager(credential)?;
        match manager.login(step.map(StepName::as_str), &answers).await {
            Ok(done) => Ok(Done { detail: done.detail }),
            Err(error) => Err(why(credential, &error)),
        }
    }

    async fn flow(&self, credential: &CredentialName, ask: FlowAsk) -> Result<FlowTold, ActionError> {
        let manager = self.manager(credential)?;
        let told = match ask {
            FlowAsk::Begin { redirect_uri } => manager
                .begin_flow(redirect_uri.as_deref())
                .await
                .map(|begun| FlowTold::Begun(begun.into())),
            FlowAsk::Finish { flow, answer } => {
                let answer = match &answer {
                    FlowAnswer::Redirected(target) => Answer::Redirected(target.expose_secret()),
                    FlowAnswer::Pasted(text) => Answer::Pasted(text.expose_secret()),
                };
                let done = manager.finish_flow(&flow, answer).await;
                done.map(|done| FlowTold::Done(done.detail))
            }
            FlowAsk::Wait { flow } => {
                let known = manager.wait_for_flow(&flow, FLOW_WAIT).await;
                known.map(|known| known.map_or(FlowTold::Pending, |done| FlowTold::Done(done.detail)))
            }
        };
        told.map_err(|error| why(credential, &error))
    }

    async fn refresh(&self, credential: &CredentialName) -> Result<Done, ActionError> {
        match self.manager(credential)?.renew(RENEWAL_WAIT).await {
            Ok(Some(detail)) => Ok(Done { detail }),
            Ok(None) => Ok(Done {
                detail: format!(
                    "credential '{credential}' is still being renewed after {} s; `bearerd status` shows how it goes",
                    RENEWAL_WAIT.as_secs()
                ),
            }),
            Err(RenewalError::NotNow(why)) => Err(ActionError::NotPossible(why)),
            Err(RenewalError::Failed(why)) => Err(ActionError::Failed(why)),
        }
    }
}

/// Why a sign-in by hand failed, for the person who tried.
fn why(credential: &CredentialName, error: &LoginError) -> ActionError {
    let text = format!("credential '{credential}': {error}");
    match error {
        LoginError::HasSubjects
        | LoginError::Static
        | LoginError::NeedsBrowser
        | LoginError::NoBrowser
        | LoginError::OtherRedirect(_)
        | LoginError::NoFlow
        | LoginError::NoSignIn { .. }
        | LoginError::NoStep { .. } => ActionError::NotPossible(text),
        LoginError::Unanswered { .. } => ActionError::MissingAnswer(text),
        LoginError::Redirect(RedirectError::NotThisAttempt | RedirectError::NoCode) => ActionError::NotThisFlow(text),
        LoginError::Redirect(RedirectError::Refused(_)) | LoginError::Failed(_) | LoginError::NoToken(_) => {
            ActionError::Failed(text)
        }
    }
}

/// Not ready only for want of a token that is required; whatever else is wrong is a reason to look, not to send
/// requests elsewhere.
fn readiness(credentials: &[CredentialStatus]) -> Readiness {
    let mut status = Ready::Ready;
    let mut reasons = Vec::new();
    for credential in credentials {
        let name = &credential.name;
        let what = credential.last_error.as_ref().map_or("", |error| &error.text);
        let (worse, reason) = if credential.required && !credential.usable {
            match &credential.last_error {
                None if credential.chain.is_none() => (Ready::Starting, format!("{name}: the first token is awaited")),
                _ => (
                    Ready::NotReady,
                    format!("{name}: no usable token, which is required: {what}"),
                ),
            }
        } else if !credential.usable && credential.last_error.is_some() {
            (Ready::Degraded, format!("{name}: no usable token: {what}"))
        } else if credential.unsaved {
            (
                Ready::Degraded,
                format!("{name}: the token in use is not saved: {what}"),
            )
        } else if credential.last_error.is_some() {
            (Ready::Degraded, format!("{name}: the held token still works: {what}"))
        } else {
            continue;
        };
        if rank(worse) > rank(status) {
            status = worse;
        }
        reasons.push(reason.trim_end_matches([' ', ':']).to_owned());
    }
    Readiness { status, reasons }
}

/// The worst verdict is the whole program's.
fn rank(ready: Ready) -> u8 {
    match ready {
        Ready::Ready => 0,
        Ready::Degraded => 1,
        Ready::Starting => 2,
        Ready::NotReady => 3,
        Ready::Draining => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{LastError, Moment};

    fn live() -> CredentialStatus {
        CredentialStatus {
            name: "shop".into(),
            state: "live".into(),
            usable: true,
            required: true,
            subjects: None,
            chain: Some(1),
            generation: Some(1),
            obtained: None,
            expires: None,
            next_renewal: None,
            dies: None,
            last_error: None,
            what_to_do: None,
            unsaved: false,
            in_doubt: false,
            cooldown: None,
            next_try: None,
            events: Vec::new(),
        }
    }

    fn failed() -> Option<LastError> {
        Some(LastError {
            at: Moment(0),
            code: "refused".into(),
            text: "it said no".into(),
        })
    }

    fn verdict(credentials: &[CredentialStatus]) -> (Ready, Vec<String>) {
        let readiness = readiness(credentials);
        (readiness.status, readiness.reasons)
    }

    #[test]
    fn only_a_required_credential_without_a_token_stops_requests() {
        assert_eq!(verdict(&[]), (Ready::Ready, vec![]));
        assert_eq!(verdict(&[live()]), (Ready::Ready, vec![]));
        let idle = CredentialStatus {
            usable: false,
            required: false,
            chain: None,
            ..live()
        };
        assert_eq!(
            verdict(std::slice::from_ref(&idle)),
            (Ready::Ready, vec![]),
            "nobody asked yet"
        );
        let starting = CredentialStatus {
            required: true,
            ..idle.clone()
        };
        assert_eq!(verdict(std::slice::from_ref(&starting)).0, Ready::Starting);
        let dead = CredentialStatus {
            last_error: failed(),
            ..starting.clone()
        };
        let (status, reasons) = verdict(&[live(), starting, dead.clone()]);
        assert_eq!(status, Ready::NotReady);
        assert_eq!(
            reasons,
            [
                "shop: the first token is awaited",
                "shop: no usable token, which is required: it said no"
            ]
        );
        let unimportant = CredentialStatus {
            required: false,
            ..dead
        };
        assert_eq!(verdict(&[unimportant]).0, Ready::Degraded);
    }

    #[test]
    fn trouble_that_hurts_nobody_yet_is_told() {
        let failing = CredentialStatus {
            last_error: failed(),
            ..live()
        };
        let held = vec!["shop: the held token still works: it said no".to_owned()];
        assert_eq!(verdict(&[failing]), (Ready::Degraded, held));
        let unsaved = CredentialStatus {
            unsaved: true,
            ..live()
        };
        let told = vec!["shop: the token in use is not saved".to_owned()];
        assert_eq!(verdict(&[unsaved]), (Ready::Degraded, told));
    }
}
