use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret;

use super::super::*;
use crate::name::{CredentialName, StepName};

/// A program that says what it is told to say and notes what it is asked to do.
pub(super) struct Fake {
    pub(super) ready: Mutex<Ready>,
    asked: Mutex<Vec<String>>,
}

impl Fake {
    pub(super) fn new(ready: Ready) -> Arc<Self> {
        Arc::new(Self {
            ready: ready.into(),
            asked: Mutex::default(),
        })
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Watched for Fake {
    fn readiness(&self) -> Readiness {
        Readiness {
            status: *self.ready.lock().unwrap(),
            reasons: vec!["because".into()],
        }
    }

    fn status(&self) -> Status {
        Status {
            version: "1.2.3".into(),
            uptime_seconds: 7,
            now: Moment(1_750_000_009_000),
            config: None,
            store: None,
            log: Some(LogStatus {
                level: "info".into(),
                configured: "info".into(),
            }),
            readiness: self.readiness(),
            credentials: vec![CredentialStatus {
                name: "pos".into(),
                state: "login_required".into(),
                usable: false,
                required: true,
                subjects: None,
                chain: Some(2),
                generation: Some(5),
                obtained: Some(Moment(1_750_000_000_000)),
                expires: None,
                next_renewal: None,
                dies: None,
                last_error: Some(LastError {
                    at: Moment(1_750_000_001_999),
                    code: "refused".into(),
                    text: "invalid_grant".into(),
                }),
                what_to_do: Some("bearerd login pos".into()),
                unsaved: true,
                in_doubt: true,
                cooldown: None,
                next_try: Some(Moment(1_750_000_060_000)),
                events: vec![TokenEvent {
                    at: Moment(1_750_000_000_000),
                    what: "refused".into(),
                    why: Some("refresh_token_refused".into()),
                    chain: Some(2),
                    generation: Some(5),
                    times: 1,
                }],
            }],
            routes: vec![RouteStatus {
                name: "pos".into(),
                upstream: "pos".into(),
                credential: None,
            }],
        }
    }

    fn metrics_page(&self) -> String {
        "# EOF\n".into()
    }

    async fn login(
        &self,
        credential: &CredentialName,
        step: Option<&StepName>,
        answers: Answers,
    ) -> Result<Done, ActionError> {
        if credential.as_str() != "pos" {
            return Err(ActionError::UnknownCredential(credential.clone()));
        }
        let code = answers.get("code").ok_or(ActionError::MissingAnswer("code".into()))?;
        let note = format!("login {credential} {step:?} {}", code.expose_secret());
        self.asked.lock().unwrap().push(note);
        Ok(Done {
            detail: "signed in".into(),
        })
    }

    async fn flow(&self, credential: &CredentialName, ask: FlowAsk) -> Result<FlowTold, ActionError> {
        match ask {
            FlowAsk::Begin { redirect_uri } => {
                self.asked
                    .lock()
                    .unwrap()
                    .push(format!("begin {credential} {redirect_uri:?}"));
                Ok(FlowTold::Begun(FlowBegun {
                    flow: "f".into(),
                    expires_in: 60,
                    url: Some("https://idp.example/".into()),
                    user_code: None,
                    verification_uri: None,
                    verification_uri_complete: None,
                }))
            }
            FlowAsk::Finish {
                answer: FlowAnswer::Redirected(target),
                ..
            } => Err(ActionError::NotThisFlow(format!(
                "{} bytes",
                target.expose_secret().len()
            ))),
            FlowAsk::Finish { flow, answer } => {
                self.asked.lock().unwrap().push(format!("finish {flow} {answer:?}"));
                Ok(FlowTold::Done("signed in".into()))
            }
            FlowAsk::Wait { .. } => Ok(FlowTold::Pending),
        }
    }

    fn set_log(&self, level: &str) -> Result<LogStatus, ActionError> {
        if level == "loud" {
            return Err(ActionError::Nonsense("'loud' is no level".into()));
        }
        self.asked.lock().unwrap().push(format!("log {level}"));
        Ok(LogStatus {
            level: level.into(),
            configured: "info".into(),
        })
    }

    async fn refresh(&self, credential: &CredentialName) -> Result<Done, ActionError> {
        self.asked.lock().unwrap().push(format!("refresh {credential}"));
        Err(ActionError::Failed("the provider said no".into()))
    }
}
