//! Signing in with a browser, as the running program does it: it keeps what ties the browser's answer to the attempt,
//! polls for a device, and has the credential's task send the token request. Whoever shows the page only shows it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::rand;
use tokio::sync::watch;

use super::{
    LoggedIn, LoginError,
    exchange::{Failure, send},
};
use crate::{
    clock::Deadline,
    credential::{
        Spec,
        browser::{Attempt, Authorization, Browser, ENTROPY, Next, Pace, Redirect},
        grant::Request,
        reply::{Lost, Outcome, Purpose, REPLY_LIMIT, read},
        spec::Grant,
    },
    log,
    manager::{Environment, TokenHandle, words},
    store::random_id,
    template::Scope,
    upstream::{Exchange, Sent},
};

/// How long a person may take over the provider's pages.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// How many sign-ins of one credential are kept; the oldest makes room.
const MOST: usize = 8;

/// What a browser has to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Names the attempt.
    pub flow: String,
    /// What to show.
    pub show: Show,
    /// For how long it can be answered.
    pub expires_in: Duration,
}

/// What to show. Debug shows no address, whose parameters tie it to its attempt.
#[derive(Clone, PartialEq, Eq)]
pub enum Show {
    /// A page to open here; its answer goes to [`crate::manager::Manager::finish_flow`].
    Page {
        /// Its URL, in which nothing is secret that opening it would not tell.
        url: String,
    },
    /// A code to type elsewhere (RFC 8628 §3.3); what comes of it tells [`crate::manager::Manager::wait_for_flow`].
    Code {
        /// The code.
        user_code: String,
        /// Where.
        verification_uri: String,
        /// The same with the code in it.
        verification_uri_complete: Option<String>,
    },
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Page { .. } => "Page",
            Self::Code { .. } => "Code",
        })
    }
}

/// What came back from the browser.
pub enum Answer<'a> {
    /// Where it was redirected to.
    Redirected(&'a str),
    /// What a person pasted: that, or the code alone.
    Pasted(&'a str),
}

/// The sign-ins of one credential that are under way.
pub(in crate::manager) struct Flows {
    exchange: Exchange,
    environment: Environment,
    /// In the order they began.
    underway: Mutex<Vec<(String, Underway)>>,
}

enum Underway {
    Code(Arc<Attempt>, Deadline),
    Device(watch::Receiver<Option<Result<LoggedIn, LoginError>>>),
}

impl Flows {
    pub(in crate::manager) fn new(exchange: Exchange, environment: Environment) -> Self {
        Self {
            exchange,
            environment,
            underway: Mutex::default(),
        }
    }

    /// Begins one. A code's redirect goes to `redirect_uri`.
    pub(in crate::manager) async fn begin(
        &self,
        spec: &Arc<Spec>,
        handle: &TokenHandle,
        redirect_uri: Option<&str>,
    ) -> Result<Begun, LoginError> {
        let (Some(browser), Some(grant)) = (&spec.browser, &spec.sign_in) else {
            return Err(LoginError::NoBrowser);
        };
        let flow = random_id().map_err(LoginError::failed)?;
        let flow = format!("{:032x}", flow.0);
        let (underway, show, expires_in) = match browser {
            Browser::Code { authorize, redirect } => {
                let uri = redirect_uri.filter(|uri| redirect.allows(uri));
                let uri = uri.ok_or_else(|| LoginError::OtherRedirect(wanted(redirect)))?;
                let mut entropy = [0; ENTROPY];
                rand::fill(&mut entropy).map_err(|_| LoginError::failed("the system's random source failed"))?;
                let attempt = Attempt::new(&entropy, uri);
                let url = attempt.page(authorize).map_err(LoginError::failed)?;
                let until = Deadline::after(self.environment.clock.now(), PATIENCE);
                (Underway::Code(Arc::new(attempt), until), Show::Page { url }, PATIENCE)
            }
            Browser::Device(request) => {
                let authorization = self.authorize(spec, request, grant).await?;
                let show = Show::Code {
                    user_code: authorization.user_code.clone(),
                    verification_uri: authorization.verification_uri.clone(),
                    verification_uri_complete: authorization.verification_uri_complete.clone(),
                };
                let expires_in = authorization.expires_in;
                let told = self.poll(spec, handle, grant, authorization);
                (Underway::Device(told), show, expires_in)
            }
        };
        tracing::info!(target: log::TOKEN, credential = spec.name.as_str(), "a sign-in with a browser has begun");
        let mut all = self.underway();
        if all.len() == MOST {
            all.remove(0);
        }
        all.push((flow.clone(), underway));
        Ok(Begun { flow, show, expires_in })
    }

    /// Exchanges the code that came back. An answer that is not this attempt's leaves it under way.
    pub(in crate::manager) async fn finish(
        &self,
        spec: &Arc<Spec>,
        handle: &TokenHandle,
        flow: &str,
        answer: Answer<'_>,
    ) -> Result<LoggedIn, LoginError> {
        let grant = spec.sign_in.as_ref().ok_or(LoginError::NoBrowser)?;
        let attempt = self.attempt(flow)?;
        let code = match answer {
            Answer::Redirected(target) => attempt.code(target),
            Answer::Pasted(text) => attempt.pasted(text),
        }?;
        // A code is good once, and whoever has it already may not use it again here.
        if !self.remove(flow) {
            return Err(LoginError::NoFlow);
        }
        let sent = send(handle, Purpose::SignIn, grant, &attempt.answers(code)).await;
        sent.map(|_| signed_in(spec)).map_err(LoginError::failed)
    }

    /// What came of a device's sign-in, if that is known within `patience`.
    pub(in crate::manager) async fn wait(
        &self,
        flow: &str,
        patience: Duration,
    ) -> Result<Option<LoggedIn>, LoginError> {
        let mut told = {
            let all = self.underway();
            match all.iter().find(|(name, _)| name == flow) {
                Some((_, Underway::Device(told))) => told.clone(),
                Some((_, Underway::Code(..))) | None => return Err(LoginError::NoFlow),
            }
        };
        let known = tokio::time::timeout(patience, told.wait_for(Option::is_some)).await;
        match known {
            Err(_) => Ok(None),
            Ok(Ok(result)) => (*result).clone().transpose(),
            // Whoever polled is gone without a word: the program is ending.
            Ok(Err(_)) => Err(LoginError::failed(Failure::Closing)),
        }
    }

    /// The device authorization request (RFC 8628 §3.1). It asks for no tokens, so no claim goes before it.
    async fn authorize(&self, spec: &Spec, request: &Request, grant: &Grant) -> Result<Authorization, LoginError> {
        let nothing = |_: Scope, _: &str| None;
        let message = request.build(&nothing).map_err(LoginError::failed)?;
        let secrets = request.secrets(&nothing).map_err(LoginError::failed)?;
        let connection = self.exchange.open(message.uri()).await.map_err(LoginError::failed)?;
        let deadline = spec.policy.spend_deadline;
        let reply = match connection.send(message, deadline, REPLY_LIMIT).await {
            Sent::Answered(reply) => reply,
            Sent::NoAnswer(error) | Sent::NeverLeft(error) => return Err(LoginError::failed(error)),
        };
        if reply.status.is_success() {
            return Authorization::read(&reply.body).map_err(LoginError::failed);
        }
        let now = self.environment.clock.now();
        let read = read(
            &reply.answer(),
            Purpose::Step,
            &grant.reply,
            &spec.errors,
            &secrets,
            now,
        );
        Err(LoginError::failed(match read {
            Outcome::Refused(refusal) => Failure::Refused(refusal),
            Outcome::Lost(lost) => Failure::Lost(lost),
            Outcome::Granted(_) | Outcome::Done => Failure::Lost(Lost::NoToken),
        }))
    }

    /// Polls until there is an end, whether or not anybody still waits for it (RFC 8628 §3.4).
    fn poll(
        &self,
        spec: &Arc<Spec>,
        handle: &TokenHandle,
        grant: &Grant,
        authorization: Authorization,
    ) -> watch::Receiver<Option<Result<LoggedIn, LoginError>>> {
        let (tell, told) = watch::channel(None);
        let (spec, handle, grant) = (spec.clone(), handle.clone(), grant.clone());
        let clock = self.environment.clock.clone();
        let mut closing = self.environment.closing.clone();
        let expires = Deadline::after(clock.now(), authorization.expires_in);
        tokio::spawn(async move {
            let polling = async {
                let answers = authorization.answers();
                let mut pace = Pace::new(authorization.interval);
                let mut pause = pace.interval();
                loop {
                    tokio::time::sleep(pause).await;
                    let (next, failure) = match send(&handle, Purpose::SignIn, &grant, &answers).await {
                        Ok(_) => return Ok(signed_in(&spec)),
                        Err(Failure::Refused(refusal)) => (
                            pace.after(&Outcome::Refused(refusal.clone())),
                            Failure::Refused(refusal),
                        ),
                        Err(Failure::Lost(lost)) => (pace.after(&Outcome::Lost(lost.clone())), Failure::Lost(lost)),
                        Err(failure @ Failure::Closing) => return Err(LoginError::failed(failure)),
                        Err(failure) => (pace.after_never_left(), failure),
                    };
                    match next {
                        Next::Wait(_) if expires.has_passed(clock.now()) => {
                            return Err(LoginError::failed(over(&failure)));
                        }
                        Next::Wait(next) => pause = next,
                        Next::Over(words) => return Err(LoginError::Failed(words)),
                        Next::Refused => return Err(LoginError::failed(failure)),
                    }
                }
            };
            let result = tokio::select! {
                result = polling => result,
                _ = closing.wait_for(|closing| *closing) => Err(LoginError::failed(Failure::Closing)),
                // It made room for later ones. A token request under way is another task's, and goes on.
                () = tell.closed() => Err(LoginError::NoFlow),
            };
            if let Err(error) = &result {
                tracing::warn!(target: log::TOKEN, credential = spec.name.as_str(), %error,
                    "a sign-in with a browser brought nothing");
            }
            tell.send_replace(Some(result));
        });
        told
    }

    fn attempt(&self, flow: &str) -> Result<Arc<Attempt>, LoginError> {
        let now = self.environment.clock.now();
        let mut all = self.underway();
        all.retain(|(_, underway)| !matches!(underway, Underway::Code(_, until) if until.has_passed(now)));
        match all.iter().find(|(name, _)| name == flow) {
            Some((_, Underway::Code(attempt, _))) => Ok(attempt.clone()),
            Some((_, Underway::Device(_))) | None => Err(LoginError::NoFlow),
        }
    }

    /// Whether it was still there.
    fn remove(&self, flow: &str) -> bool {
        let mut all = self.underway();
        let before = all.len();
        all.retain(|(name, _)| name != flow);
        all.len() < before
    }

    fn underway(&self) -> MutexGuard<'_, Vec<(String, Underway)>> {
        self.underway.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signed_in(spec: &Spec) -> LoggedIn {
    LoggedIn {
        detail: format!("signed in with credential {}", spec.name),
    }
}

/// The code's time is over; what stood in the way, if it was not that nobody had agreed.
fn over(failure: &Failure) -> String {
    match failure {
        Failure::Refused(refusal) => format!(
            "the code has expired before anybody agreed ({}); try again",
            words::refusal_words(refusal)
        ),
        failure => format!("the code has expired, and the token endpoint could not be asked: {failure}"),
    }
}

fn wanted(redirect: &Redirect) -> String {
    match redirect {
        Redirect::Registered(uri) => uri.clone(),
        Redirect::Loopback { port: Some(port) } => Redirect::loopback(*port),
        Redirect::Loopback { port: None } => "http://127.0.0.1:PORT/callback".into(),
    }
}
