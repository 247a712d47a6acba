//! Whose answer it is.

use bearerd::upstream::Body;
use http::{Request, Response};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    caller::{status, text},
    world::{TOKEN, listen, recording, world},
};

#[tokio::test]
async fn an_upstreams_answer_passes_through_and_can_not_pass_for_ours() {
    let world = world(|_| async {
        Response::builder()
            .status(404)
            .header("x-bearerd-error", "no_route")
            .header("x-bearerd-replayed", "1")
            .header("x-own", "1")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .body(text("not here"))
            .unwrap()
    })
    .await;
    let answer = world
        .raw("GET /bearer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "404");
    assert!(answer.contains("x-own: 1") && answer.ends_with("not here"), "{answer}");
    assert!(!answer.contains("x-bearerd") && !answer.contains("x-hop"), "{answer}");
}

#[tokio::test]
async fn a_401_that_no_renewal_helps_passes_through_with_its_mark() {
    let world = world(|_| async { Response::builder().status(401).body(text("who?")).unwrap() }).await;
    let answer = world
        .raw("GET /bearer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "401");
    assert!(
        answer.contains("x-bearerd-replayed: no\r\n") && answer.ends_with("who?"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let world = listen(nobody).await;
    let answer = world
        .raw("GET /key?q=secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "502");
    assert!(answer.contains("x-bearerd-error: upstream_unreachable"), "{answer}");
    assert!(answer.contains(&nobody.to_string()), "{answer}");
    assert!(!answer.contains("secret") && !answer.contains(TOKEN), "{answer}");
}

#[tokio::test]
async fn a_caller_may_speak_http_2() {
    let (world, arrived) = recording().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    for (authority, status) in [("localhost", 200), ("evil.example", 421)] {
        let uri = format!("http://{authority}/bearer/a?b");
        let request = Request::get(uri)
            .header("authorization", "caller")
            .body(Body::default())
            .unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status);
    }
    let arrived = arrived.lock().unwrap();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].target, "/v2/a?b");
    assert_eq!(arrived[0].all("host"), [world.upstream.to_string()]);
    assert_eq!(arrived[0].all("authorization"), [format!("Bearer {TOKEN}")]);
}
