//! Bodies, both ways.

use std::sync::{Arc, Mutex};

use bearerd::upstream::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    caller::{send, status, streamed, text},
    world::{TOKEN, listen, world},
};

#[tokio::test]
async fn an_early_401_does_not_wait_for_the_rest_of_the_body() {
    let world = world(|_| async { Response::builder().status(401).body(text("who?")).unwrap() }).await;
    let (sender, body) = streamed();
    sender.send(Frame::data("a beginning".into())).unwrap();
    let request = Request::post("/bearer").header("host", "localhost").body(body).unwrap();
    let answer = send(&world, request).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["x-bearerd-replayed"], "no");
    drop(sender);
}

#[tokio::test]
async fn a_refusal_of_a_large_upload_is_the_answer_even_if_the_upstream_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        let refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        stream.write_all(refusal).await.unwrap();
        stream.shutdown().await.unwrap();
        // A server that means its answer to arrive doesn't reset the connection under it (RFC 9112 §9.6).
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let world = listen(upstream).await;
    let (sender, body) = streamed();
    for _ in 0..64 {
        sender.send(Frame::data(vec![0; 65_536].into())).unwrap();
    }
    let request = Request::post("/bearer").header("host", "localhost").body(body).unwrap();
    let answer = send(&world, request).await;
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    // The upstream sends back each frame as it arrives: nothing is held on the way, or this would stand still.
    let world = world(|request: Request<Incoming>| async move {
        Response::new(request.into_body().map_err(Into::into).boxed_unsync())
    })
    .await;
    let (sender, body) = streamed();
    let request = Request::post("/bearer/echo")
        .header("host", "localhost")
        .body(body)
        .unwrap();
    let mut answer = send(&world, request).await.into_body();
    for piece in ["one", "two", "three"] {
        sender.send(Frame::data(piece.into())).unwrap();
        let back = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(back, piece);
    }
    drop(sender);
    assert!(answer.frame().await.is_none());
}

#[tokio::test]
async fn a_large_body_arrives_byte_for_byte() {
    let world = world(|request: Request<Incoming>| async move {
        Response::new(request.into_body().map_err(Into::into).boxed_unsync())
    })
    .await;
    let (sender, body) = streamed();
    // A prime, so that no two pieces look alike.
    let piece = |at: usize| Bytes::from((0..65_521).map(|byte| (byte * 31 + at) as u8).collect::<Vec<_>>());
    const PIECES: usize = 256;
    for at in 0..PIECES {
        sender.send(Frame::data(piece(at))).unwrap();
    }
    drop(sender);
    let request = Request::put("/bearer").header("host", "localhost").body(body).unwrap();
    let back = send(&world, request)
        .await
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let whole: Vec<u8> = (0..PIECES).flat_map(piece).collect();
    assert!(back == whole);
}

#[tokio::test]
async fn lengths_stay_and_head_has_no_body() {
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let record = lengths.clone();
    let world = world(move |request: Request<Incoming>| {
        let record = record.clone();
        async move {
            let of = |name: &str| {
                request
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            record
                .lock()
                .unwrap()
                .push((of("content-length"), of("transfer-encoding")));
            Response::builder()
                .header("content-length", "5")
                .body(text("hello"))
                .unwrap()
        }
    })
    .await;
    let answer = world
        .raw("HEAD /bearer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("content-length: 5\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let post = "POST /bearer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    assert!(world.raw(post).await.ends_with("hello"));
    assert_eq!(*lengths.lock().unwrap(), [(None, None), (Some("3".into()), None)]);
}

#[tokio::test]
async fn a_form_gets_its_field_and_its_length() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let record = bodies.clone();
    let world = world(move |request: Request<Incoming>| {
        let record = record.clone();
        async move {
            let length = request.headers()["content-length"].to_str().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(length, body.len().to_string());
            record.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
            Response::new(Body::default())
        }
    })
    .await;
    let answer = world
        .raw(
            "POST /form/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 22\r\nConnection: close\r\n\r\na=%20&api%5Fkey=mine&b",
        )
        .await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(*bodies.lock().unwrap(), [format!("a=%20&b&api_key={TOKEN}")]);
}
