//! Connections, forms and answers.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use super::Shared;

/// How long to wait before accepting again, when the machine is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until it is dropped, and its connections with it.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // The machine is out of something, for a while.
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(|request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            });
            // However it ends, there is nobody left to tell.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Parameters, the first of each name.
pub(super) type Form = HashMap<String, String>;

pub(super) fn form(encoded: &[u8]) -> Form {
    let mut form = Form::new();
    for (name, value) in form_urlencoded::parse(encoded) {
        form.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    form
}

pub(super) fn refused(status: StatusCode, error: &str) -> Response<Full<Bytes>> {
    json(status, &json!({ "error": error }))
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    whole(status, "application/json", value.to_string())
}

pub(super) fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    whole(status, "text/plain; charset=utf-8", text.to_owned())
}

fn whole(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
