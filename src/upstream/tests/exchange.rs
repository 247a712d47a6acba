//! What becomes of one token request.

use std::{future::pending, sync::Arc};

use http::Response;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::AsyncWriteExt,
    sync::{Notify, mpsc},
};

use super::{server::read_request, *};

fn plain() -> Exchange {
    Exchange::new(&trusting(&Authority::new())).unwrap()
}

#[tokio::test]
async fn http_1_names_its_host_and_sends_the_rest_as_it_is() {
    let authority = Authority::new();
    let (heads, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(Some(authority.localhost(&["http/1.1"])), move |mut stream| {
        let heads = heads.clone();
        async move {
            heads.send(read_request(&mut stream).await).unwrap();
            let answer = b"HTTP/1.1 201 Created\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    let exchange = Exchange::new(&trusting(&authority)).unwrap();
    let reply = reply(send(&exchange, &server.uri()).await);
    assert_eq!(
        (reply.status.as_u16(), &reply.body[..], reply.cut),
        (201, b"abc".as_slice(), false)
    );
    assert_eq!(reply.headers["x-a"], "b");

    let head = seen.recv().await.unwrap();
    assert!(head.starts_with("POST /token?password=canary HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: localhost:{}", server.port)), "{head}");
    assert!(head.contains("content-length: 19"), "{head}");
}

#[tokio::test]
async fn http_2_is_spoken_where_the_server_has_it() {
    let authority = Authority::new();
    let server = Server::http(Some(authority.localhost(&["h2", "http/1.1"])), |request| async move {
        let said = format!("{:?} {}", request.version(), request.uri().authority().unwrap());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::from(format!("{said} {}", body.len())))
    })
    .await;
    let exchange = Exchange::new(&trusting(&authority)).unwrap();
    let reply = reply(send(&exchange, &server.uri()).await);
    assert_eq!(reply.body, format!("HTTP/2.0 localhost:{} 19", server.port));
}

#[tokio::test]
async fn a_cut_body_is_kept_and_called_cut() {
    let server = Server::answering(None, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access").await;
    let reply = reply(send(&plain(), &server.uri()).await);
    assert_eq!((&reply.body[..], reply.cut), (b"{\"access".as_slice(), true));
    assert!(!format!("{reply:?}").contains("access"));
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit() {
    let server = Server::answering(None, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
    for (limit, length, cut) in [(9, 9, true), (10, 10, false), (0, 0, true)] {
        let connection = plain().open(&server.uri()).await.unwrap();
        let reply = reply(connection.send(post(&server.uri()), PATIENCE, limit).await);
        assert_eq!((reply.body.len(), reply.cut), (length, cut), "limit {limit}");
    }
}

#[tokio::test]
async fn silence_is_in_doubt_and_half_an_answer_is_cut() {
    let silent = Server::start(None, |mut stream| async move {
        read_request(&mut stream).await;
        pending::<()>().await;
    })
    .await;
    let connection = plain().open(&silent.uri()).await.unwrap();
    let error = no_answer(connection.send(post(&silent.uri()), BRIEF, 100).await);
    assert!(matches!(error, UpstreamError::Timeout { .. }), "{error}");

    let stalling = Server::start(None, |mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .await;
        pending::<()>().await;
    })
    .await;
    let connection = plain().open(&stalling.uri()).await.unwrap();
    // Long enough for the head to arrive on a busy machine.
    let sent = connection
        .send(post(&stalling.uri()), Duration::from_millis(500), 100)
        .await;
    let reply = reply(sent);
    assert_eq!((&reply.body[..], reply.cut), (b"half".as_slice(), true));
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_leaves_doubt() {
    let server = Server::answering(None, "").await;
    let error = no_answer(send(&plain(), &server.uri()).await);
    assert!(matches!(error, UpstreamError::Broken { .. }), "{error}");
    let server = Server::answering(None, "220 smtp ready\r\n\r\n").await;
    no_answer(send(&plain(), &server.uri()).await);
}

#[tokio::test]
async fn law_1_a_request_on_a_closed_connection_provably_never_left() {
    let close = Arc::new(Notify::new());
    let server = {
        let close = close.clone();
        Server::start(None, move |stream| {
            let close = close.clone();
            async move {
                close.notified().await;
                drop(stream);
            }
        })
        .await
    };
    let connection = plain().open(&server.uri()).await.unwrap();
    close.notify_one();
    connection.closed().await;
    let error = never_left(connection.send(post(&server.uri()), PATIENCE, 100).await);
    assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn opening_sends_nothing_of_a_request_and_dropping_closes() {
    let (heads, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(None, move |mut stream| {
        let heads = heads.clone();
        async move { heads.send(read_request(&mut stream).await).unwrap() }
    })
    .await;
    drop(plain().open(&server.uri()).await.unwrap());
    assert_eq!(seen.recv().await.unwrap(), "");
}
