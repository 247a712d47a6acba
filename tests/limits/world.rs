//! The pipeline of a config in front of upstreams.

use std::{net::SocketAddr, time::Duration};

use bearerd::{assemble::Program, clock::Clock, proxy::Stack, upstream::BoxError};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::ServiceExt;

use crate::config_fixture::loaded;

/// Long enough for a slow machine, and never waited for where all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The pipeline of one listener, and the program that it is part of.
pub(crate) struct World {
    pub(crate) stack: Stack,
    _program: Program,
}

/// An answer that was read as far as it came.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) code: Option<String>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
    /// Whether it ended before its end.
    pub(crate) cut: bool,
}

impl World {
    /// A world with an upstream `api` at this address and with these settings, and two routes to it: `/held` with a
    /// credential, and `/bare` without.
    pub(crate) async fn new(address: SocketAddr, settings: &str) -> Self {
        Self::of(&format!(
            "upstreams:\n  api: {{ url: \"http://{address}\", credential: held{settings} }}\n\
             routes:\n  held: {{ prefix: /held, upstream: api }}\n  \
             bare: {{ prefix: /bare, upstream: api, credential: none }}\n"
        ))
        .await
    }

    /// A world of these upstreams and routes, and a credential `held`.
    pub(crate) async fn of(text: &str) -> Self {
        let text = format!(
            "state: {{ store: memory }}\n\
             credentials:\n  held: {{ grant: {{ type: static, token: t }} }}\n{text}"
        );
        let config = loaded(&text, &[]).config;
        let program = Program::build(config, Clock::system()).await.unwrap();
        Self {
            stack: program.listeners[0].2.clone(),
            _program: program,
        }
    }

    /// Sends a request and returns when the answer's head is there.
    pub(crate) async fn send<B>(&self, mut request: Request<B>) -> Response<bearerd::upstream::Body>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        let answer = tokio::time::timeout(PATIENCE, self.stack.clone().oneshot(request));
        answer.await.expect("no answer at all").unwrap()
    }

    pub(crate) async fn ask<B>(&self, request: Request<B>) -> Read
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        read(self.send(request).await).await
    }

    pub(crate) async fn get(&self, path: &str) -> Read {
        self.ask(get(path)).await
    }
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

pub(crate) fn with_body(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) async fn read(answer: Response<bearerd::upstream::Body>) -> Read {
    let (head, mut body) = answer.into_parts();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (mut text, mut cut) = (Vec::new(), false);
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame())
        .await
        .expect("no end at all")
    {
        match frame {
            Ok(frame) => text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(_) => {
                cut = true;
                break;
            }
        }
    }
    Read {
        status: head.status.as_u16(),
        code: header("x-bearerd-error"),
        retry_after: header("retry-after").map(|seconds| seconds.parse().unwrap()),
        body: String::from_utf8(text).unwrap(),
        cut,
    }
}
