//! Real sockets on loopback, real certificates.

pub(super) mod authority;
mod client;
mod exchange;
mod handshake;
mod server;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri};

use super::*;
use authority::Authority;
use server::Server;

/// Long enough for a slow machine, and never waited for where all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Short enough to wait for.
const BRIEF: Duration = Duration::from_millis(50);

/// Settings that trust this authority.
fn trusting(authority: &Authority) -> Settings {
    Settings {
        proxy: None,
        tls: Tls {
            ca: vec![authority.der()],
            ..Tls::default()
        },
        connect_timeout: PATIENCE,
        response_timeout: PATIENCE,
        room: Room::default(),
    }
}

/// A token request whose query must not be told.
fn post(uri: &Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from_static(b"grant_type=password"));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    request
}

async fn send(exchange: &Exchange, uri: &Uri) -> Sent {
    match exchange.open(uri).await {
        Ok(connection) => connection.send(post(uri), PATIENCE, 1 << 20).await,
        Err(error) => Sent::NeverLeft(error),
    }
}

#[track_caller]
fn reply(sent: Sent) -> Reply {
    match sent {
        Sent::Answered(reply) => reply,
        other => panic!("no answer but {other:?}"),
    }
}

/// The error of a request that never left, after a look for what it must not say.
#[track_caller]
fn never_left(sent: Sent) -> UpstreamError {
    match sent {
        Sent::NeverLeft(error) => {
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
            error
        }
        other => panic!("it may have left: {other:?}"),
    }
}

#[track_caller]
fn no_answer(sent: Sent) -> UpstreamError {
    match sent {
        Sent::NoAnswer(error) => {
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
            error
        }
        other => panic!("not in doubt: {other:?}"),
    }
}
