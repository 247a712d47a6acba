use std::{convert::Infallible, os::unix::fs::PermissionsExt, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::Notify,
    task::JoinHandle,
};
use tower::service_fn;

use super::*;
use crate::{
    config::checked::{Access, Bind},
    proxy::{Address, Connection},
};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// Says over which version and from where it was asked.
async fn echo(version: Version, connection: Connection) -> Answer {
    let text = format!("{version:?} {}", matches!(connection.local, Address::Tcp(_)));
    Ok(Response::builder()
        .header("x-some-header", "1")
        .body(text.into_bytes().into())
        .unwrap())
}

async fn loopback() -> Bound {
    Bound::bind(&Bind::Tcp(([127, 0, 0, 1], 0).into())).await.unwrap()
}

async fn echo_on(bound: Bound, options: Options, drain: Drain) {
    let services = |connection: Connection| {
        service_fn(move |request: Request<Incoming>| echo(request.version(), connection.clone()))
    };
    serve(bound, services, options, drain).await;
}

fn echoing(bound: Bound, options: Options) -> (Switch, JoinHandle<()>) {
    let (switch, drain) = Switch::new();
    let server = tokio::spawn(echo_on(bound, options, drain));
    (switch, server)
}

const CLOSE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

async fn read_all(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn http1_and_http2_are_served_on_one_port() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let (_switch, _server) = echoing(bound, Options::default());

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(CLOSE).await.unwrap();
    let text = read_all(stream).await;
    assert!(text.ends_with("\r\n\r\nHTTP/1.1 true"), "{text}");

    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/").body(Empty::<Bytes>::new()).unwrap();
    let body = client
        .send_request(request)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert_eq!(body, "HTTP/2.0 true");
}

#[tokio::test]
async fn header_names_can_be_sent_in_title_case() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let options = Options {
        title_case_headers: true,
        ..Options::default()
    };
    let (_switch, _server) = echoing(bound, options);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(CLOSE).await.unwrap();
    let text = read_all(stream).await;
    assert!(text.contains("\r\nX-Some-Header: 1\r\n"), "{text}");
}

#[tokio::test]
async fn a_unix_socket_is_for_its_owner_alone_and_goes_away() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("main.sock");
    let bound = Bound::bind(&Bind::Unix(path.clone())).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (switch, server) = echoing(bound, Options::default());

    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(CLOSE).await.unwrap();
    assert!(read_all(stream).await.ends_with("HTTP/1.1 false"));

    switch.start();
    server.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_unix_socket_can_be_for_others_and_tells_who_they_are() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("main.sock");
    let access = |mode| Access {
        mode,
        ..Access::default()
    };
    let bound = Bound::bind_for(&Bind::Unix(path.clone()), access(0o666)).await.unwrap();
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o666);
    bound.set_access(access(0o640)).unwrap();
    assert_eq!(mode(), 0o640);
    // Who is named no more doesn't stay. (Only root may give a file to anybody.)
    if rustix::process::geteuid().is_root() {
        let group = || std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(&path).unwrap());
        let made = group();
        let given = Access {
            group: Some(made + 1),
            ..access(0o660)
        };
        bound.set_access(given).unwrap();
        assert_eq!(group(), made + 1);
        bound.set_access(access(0o640)).unwrap();
        assert_eq!(group(), made);
    }
    assert_eq!(
        std::fs::read_dir(place.path()).unwrap().count(),
        1,
        "nothing else is left"
    );

    let proof = |connection: Connection| {
        let user = connection.proof.process.unwrap().user;
        service_fn(move |_: Request<Incoming>| async move { Answer::Ok(Response::new(user.to_string().into())) })
    };
    let (_switch, drain) = Switch::new();
    tokio::spawn(serve(bound, proof, Options::default(), drain));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(CLOSE).await.unwrap();
    let user = rustix::process::geteuid().as_raw();
    assert!(read_all(stream).await.ends_with(&format!("\r\n\r\n{user}")));
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("main.sock");
    let bind = Bind::Unix(path.clone());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the file of a process that died stays");

    let bound = Bound::bind(&bind).await.unwrap();
    let second = Bound::bind(&bind).await.unwrap_err();
    assert!(matches!(second, BindError::InUse { .. }), "{second}");
    drop(bound);

    std::fs::write(&path, "notes").unwrap();
    let refused = Bound::bind(&bind).await.unwrap_err();
    assert!(matches!(refused, BindError::NotASocket { .. }), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "notes");
}

#[tokio::test]
async fn a_port_in_use_is_said_to_be() {
    let bound = loopback().await;
    let second = Bound::bind(bound.address()).await.unwrap_err();
    assert!(matches!(second, BindError::InUse { .. }), "{second}");
}

#[tokio::test]
async fn a_drain_answers_what_was_asked_and_closes_the_rest() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let (arrived, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (arrived, answer) = (arrived.clone(), answer.clone());
        service_fn(move |_: Request<Incoming>| {
            let (arrived, answer) = (arrived.clone(), answer.clone());
            async move {
                arrived.notify_one();
                answer.notified().await;
                Answer::Ok(Response::new("late".into()))
            }
        })
    };
    let (switch, drain) = Switch::new();
    let server = tokio::spawn(serve(bound, move |_| slow.clone(), Options::default(), drain.clone()));

    let silent = TcpStream::connect(address).await.unwrap();
    let mut asking = TcpStream::connect(address).await.unwrap();
    asking.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    arrived.notified().await;
    assert!(!drain.has_started());
    switch.start();
    assert!(drain.has_started());

    assert_eq!(read_all(silent).await, "", "nothing was asked, so it is closed");
    assert!(!server.is_finished(), "an answer is owed");
    answer.notify_one();
    assert!(
        read_all(asking).await.ends_with("late"),
        "and then closed, though it was kept alive"
    );
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "no more is accepted");
}

#[tokio::test]
async fn whoever_is_in_the_queue_when_a_drain_begins_is_answered() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        waiting.push(stream);
    }
    let (switch, drain) = Switch::new();
    switch.start();
    tokio::spawn(echo_on(bound, Options::default(), drain));
    for stream in waiting {
        let answer = read_all(stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_is_idle_when_a_drain_begins_is_answered_once_more() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let (switch, server) = echoing(bound, Options::default());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    switch.start();
    stream.write_all(ask).await.unwrap();
    let rest = read_all(stream).await;
    assert_eq!(rest.matches("HTTP/1.1 200").count(), 1, "{rest}");
    assert!(rest.contains("\r\nconnection: close\r\n"), "{rest}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_socket_is_handed_on_without_a_connection_refused() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let kept = bound.clone();
    let (switch, server) = echoing(bound, Options::default());
    switch.start();
    server.await.unwrap();
    let mut waiting = TcpStream::connect(address).await.expect("the socket is still there");
    let (_switch, _server) = echoing(kept, Options::default());
    waiting.write_all(CLOSE).await.unwrap();
    assert!(read_all(waiting).await.ends_with("HTTP/1.1 true"));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_hung_up_on() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let options = Options {
        first_byte_timeout: std::time::Duration::from_millis(20),
        header_timeout: std::time::Duration::from_millis(20),
        ..Options::default()
    };
    let (_switch, _server) = echoing(bound, options);
    let silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(silent).await, "");
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    read_all(slow).await;
}

#[tokio::test]
async fn a_request_takes_as_long_as_it_takes_and_the_connection_is_closed_after_it() {
    let bound = loopback().await;
    let address = bound.tcp_address().unwrap();
    let header_timeout = std::time::Duration::from_millis(40);
    let options = Options {
        header_timeout,
        ..Options::default()
    };
    // Longer than any head may take.
    let services = move |connection: Connection| {
        service_fn(move |request: Request<Incoming>| {
            let connection = connection.clone();
            async move {
                if request.uri() == "/slow" {
                    tokio::time::sleep(5 * header_timeout).await;
                }
                echo(request.version(), connection).await
            }
        })
    };
    let (_switch, drain) = Switch::new();
    let _server = tokio::spawn(serve(bound, services, options, drain));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let requests = ["/", "/slow", "/", "/slow"].map(|path| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    stream.write_all(requests.concat().as_bytes()).await.unwrap();
    // To its end, which nobody asked for.
    let text = read_all(stream).await;
    assert_eq!(text.matches("HTTP/1.1 true").count(), 4, "{text}");
}
