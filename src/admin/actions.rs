//! The admin listener: the page at `/` and its `/events`, `/status`, `/log`, `/credentials/{name}/login`, its flows with a
//! browser below that (`begin`, `finish`, `wait`), `/credentials/{name}/refresh`, `/reload` and `/drain`.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use tokio::sync::watch;
use tower::Service;

use super::{
    answer::{self, Body, Problem},
    flow::{self, FlowTold},
    guard,
    live::Live,
    page,
    watched::{ActionError, Done, Watched},
};
use crate::{
    name::{CredentialName, StepName},
    proxy::{Address, Connection},
};

/// The largest body of an action, in bytes: a handful of answers.
const LARGEST_BODY: usize = 64 * 1024;

/// The code of a problem that leaves the sign-in under way: somebody else's redirect came by, or no code was pasted.
pub const NOT_THIS_FLOW: &str = "not_this_flow";

/// The admin listener as a service. Clones share those who watch.
pub struct Admin<W> {
    watched: Arc<W>,
    live: Live<W>,
    /// The address that the client connected to, where that is known.
    local: Option<IpAddr>,
}

impl<W: Watched> Admin<W> {
    /// The admin listener of a program.
    pub fn new(watched: Arc<W>) -> Self {
        Self {
            live: Live::new(watched.clone()),
            watched,
            local: None,
        }
    }

    /// Ends every stream of events when this becomes true, or its sender is gone: a listener that ends waits for its
    /// answers' ends.
    pub fn until(self, ending: watch::Receiver<bool>) -> Self {
        Self {
            live: self.live.until(ending),
            ..self
        }
    }

    /// For the requests of this connection, which may name its own address as their host.
    pub fn of(&self, connection: &Connection) -> Self {
        let local = match connection.local {
            Address::Tcp(local) => Some(local.ip()),
            Address::Unix => None,
        };
        Self { local, ..self.clone() }
    }
}

impl<W> Clone for Admin<W> {
    fn clone(&self) -> Self {
        Self {
            watched: self.watched.clone(),
            live: self.live.clone(),
            local: self.local,
        }
    }
}

impl<W, B> Service<Request<B>> for Admin<W>
where
    W: Watched,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { watched, live, local } = self.clone();
        Box::pin(async move {
            let answered = match guard::check(&request, local) {
                Ok(()) => route(&*watched, &live, request).await,
                Err(refused) => Err(refused),
            };
            Ok(answered.unwrap_or_else(|problem| problem.answer()))
        })
    }
}

async fn route<W, B>(watched: &W, live: &Live<W>, request: Request<B>) -> Result<Response<Body>, Problem>
where
    W: Watched,
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (request.method(), &*segments) {
        (&Method::GET | &Method::HEAD, [""]) => Ok(page::answer()),
        (&Method::GET, ["events"]) => live.watch().map(answer::events).ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "too many watch already: close another status page",
            )
        }),
        (&Method::GET | &Method::HEAD, ["log"]) => {
            let log = watched.status().log.ok_or(ActionError::NotPossible(
                "this bearerd's log is not its own to tell of".into(),
            ));
            log.map(|log| answer::json(StatusCode::OK, &log)).map_err(failed)
        }
        (&Method::PUT, ["log"]) => {
            let ask: Level = read(request, LEVEL).await?;
            let log = watched.set_log(&ask.level).map_err(failed)?;
            Ok(answer::json(StatusCode::OK, &log))
        }
        (&Method::GET | &Method::HEAD, ["status"]) => Ok(answer::json(StatusCode::OK, &watched.status())),
        (&Method::POST, ["credentials", name, "login"]) => {
            let name = credential(name)?;
            let ask: Login = read(request, LOGIN).await?;
            let answers = ask.answers.into_iter().map(|(name, answer)| (name, answer.0)).collect();
            let step = ask.step.map(|step| step.parse::<StepName>());
            let step = step
                .transpose()
                .map_err(|error| Problem::bad_request(format!("the step is no name: {error}")))?;
            finish(watched.login(&name, step.as_ref(), answers).await)
        }
        (&Method::POST, ["credentials", name, "login", verb @ ("begin" | "finish" | "wait")]) => {
            let name = credential(name)?;
            let ask = match *verb {
                "begin" => read::<flow::Begin, _>(request, BEGIN).await?.into(),
                "finish" => {
                    let body: flow::Finish = read(request, FINISH).await?;
                    body.ask()
                        .ok_or_else(|| Problem::bad_request(format!("the body is not {FINISH}")))?
                }
                _ => read::<flow::Wait, _>(request, WAIT).await?.into(),
            };
            told(watched.flow(&name, ask).await)
        }
        (&Method::POST, ["credentials", name, "refresh"]) => finish(watched.refresh(&credential(name)?).await),
        (&Method::POST, ["reload"]) => finish(watched.reload().await),
        (&Method::POST, ["drain"]) => finish(watched.drain().await),
        _ => Err(Problem::no_route(
            "this listener answers GET /, /events, /status and /log, PUT /log, POST /reload, POST /drain and POST \
             /credentials/NAME/login, login/begin, login/finish, login/wait and refresh",
        )),
    }
}

/// The bodies of actions, as their errors show them.
const LOGIN: &str = r#"{"step": NAME or null, "answers": {NAME: TEXT}}"#;
const BEGIN: &str = r#"{"redirect_uri": TEXT or null}"#;
const FINISH: &str = r#"{"flow": TEXT, and "redirected": TEXT or "pasted": TEXT}"#;
const WAIT: &str = r#"{"flow": TEXT}"#;
const LEVEL: &str = r#"{"level": TEXT}"#;

/// The body of a change of the log's filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Level {
    level: String,
}

/// The body of a login.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    step: Option<String>,
    #[serde(default)]
    answers: BTreeMap<String, Answer>,
}

/// An answer that is hidden from the moment it is read.
struct Answer(SecretString);

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

fn credential(name: &str) -> Result<CredentialName, Problem> {
    name.parse().map_err(|error| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_credential",
            format!("the path names no credential: {error}"),
        )
    })
}

async fn read<T, B>(request: Request<B>, shape: &str) -> Result<T, Problem>
where
    T: DeserializeOwned,
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(request.into_body(), LARGEST_BODY).collect().await;
    let body = body
        .map_err(|_| Problem::bad_request("the body was cut short or is over 64 KiB"))?
        .to_bytes();
    // serde_json's own words may quote the body, and the body holds passwords.
    serde_json::from_slice(&body).map_err(|error| {
        Problem::bad_request(format!(
            "the body is not {shape}; look at line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

#[derive(Serialize)]
struct Page<'a> {
    detail: &'a str,
}

fn finish(outcome: Result<Done, ActionError>) -> Result<Response<Body>, Problem> {
    let done = outcome.map_err(failed)?;
    Ok(answer::json(StatusCode::OK, &Page { detail: &done.detail }))
}

fn told(outcome: Result<FlowTold, ActionError>) -> Result<Response<Body>, Problem> {
    Ok(match outcome.map_err(failed)? {
        FlowTold::Begun(begun) => answer::json(StatusCode::OK, &begun),
        FlowTold::Pending => answer::json(
            StatusCode::ACCEPTED,
            &Page {
                detail: "nobody has agreed yet; ask again",
            },
        ),
        FlowTold::Done(detail) => answer::json(StatusCode::OK, &Page { detail: &detail }),
    })
}

fn failed(error: ActionError) -> Problem {
    let (status, code) = match &error {
        ActionError::UnknownCredential(_) => (StatusCode::NOT_FOUND, "unknown_credential"),
        ActionError::MissingAnswer(_) => (StatusCode::BAD_REQUEST, "missing_answer"),
        ActionError::NotThisFlow(_) => (StatusCode::BAD_REQUEST, NOT_THIS_FLOW),
        ActionError::NotPossible(_) => (StatusCode::CONFLICT, "not_possible"),
        ActionError::Nonsense(_) => (StatusCode::BAD_REQUEST, "bad_request"),
        ActionError::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "config_refused"),
        ActionError::Failed(_) => (StatusCode::BAD_GATEWAY, "action_failed"),
    };
    Problem::new(status, code, error.to_string())
}
