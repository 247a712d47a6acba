//! An upstream that speaks HTTP/2: streams that are open both ways, as gRPC has them, and callers of any age.

use std::{
    convert::Infallible,
    io::{BufReader, Write},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    client::{PATIENCE, connect},
    message::Message,
    program::{HEAD, Place, Program},
    recorder::identity,
};

/// A body of frames as they are sent.
struct Live(mpsc::Receiver<Frame<Bytes>>);

impl Body for Live {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

fn trailers(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
}

/// What the upstream saw of a request.
#[derive(Debug, Clone, Default)]
struct Seen {
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// Answers each piece of a body with itself at once, and the body's end with trailers. `/status` has nothing but those,
/// in its head; `/text` has a length.
async fn answer(request: Request<Incoming>, log: Log) -> Response<Live> {
    let (sender, receiver) = mpsc::channel(1);
    let mut response = Response::new(Live(receiver));
    let (head, mut body) = request.into_parts();
    response
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    match head.uri.path() {
        "/status" => {
            log.lock().unwrap().push(Seen {
                headers: head.headers,
                trailers: None,
            });
            response.headers_mut().insert("grpc-status", "9".parse().unwrap());
        }
        "/text" => {
            response.headers_mut().insert("content-length", "4".parse().unwrap());
            if head.method != "HEAD" {
                sender.send(Frame::data("text".into())).await.unwrap();
            }
        }
        _ => {
            tokio::spawn(async move {
                let mut seen = Seen {
                    headers: head.headers,
                    trailers: None,
                };
                while let Some(Ok(frame)) = body.frame().await {
                    match frame.into_data() {
                        Ok(data) => drop(sender.send(Frame::data(data)).await),
                        Err(frame) => seen.trailers = frame.into_trailers().ok(),
                    }
                }
                log.lock().unwrap().push(seen);
                let _ = sender.send(Frame::trailers(trailers("grpc-status", "0"))).await;
            });
        }
    }
    response
}

/// The upstream, what it saw, and a program with a route to it.
async fn stage() -> (Log, Program) {
    let (mut tls, ca) = identity();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = Log::default();
    let shared = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, log) = (tls.clone(), shared.clone());
            tokio::spawn(async move {
                let stream = TokioIo::new(tls.accept(stream).await.unwrap());
                let service = service_fn(move |request| {
                    let log = log.clone();
                    async move { Ok::<_, Infallible>(answer(request, log).await) }
                });
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, service)
                    .await
            });
        }
    });
    let place = Place::new();
    std::fs::write(place.path("ca.pem"), ca).unwrap();
    place.configure(&format!(
        "{HEAD}credentials: {{ api: {{ grant: {{ type: static, token: t0ken }} }} }}\n\
         upstreams: {{ api: {{ url: \"https://localhost:{port}\", credential: api }} }}\n\
         routes: {{ api: {{ upstream: api }} }}\n"
    ));
    (log, tokio::task::spawn_blocking(|| place.run()).await.unwrap())
}

async fn client(program: &Program) -> http2::SendRequest<Live> {
    let stream = TcpStream::connect(program.address).await.unwrap();
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// As gRPC asks.
fn call(path: &str) -> (mpsc::Sender<Frame<Bytes>>, Request<Live>) {
    let (sender, receiver) = mpsc::channel(1);
    let request = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "30S")
        .header("authorization", "Bearer callers");
    (sender, request.body(Live(receiver)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_open_both_ways_waits_for_nothing() {
    let (log, program) = stage().await;
    let mut client = client(&program).await;
    let (sender, request) = call("/echo.Echo/Bidi");
    // The answer's head comes before anything of the body was sent.
    let answer = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    for nth in 0..200 {
        let message = Bytes::from(format!("message {nth}"));
        sender.send(Frame::data(message.clone())).await.unwrap();
        let back = timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(back.into_data().unwrap(), message);
    }
    sender.send(Frame::trailers(trailers("x-last", "words"))).await.unwrap();
    drop(sender);
    let end = timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(end.into_trailers().unwrap()["grpc-status"], "0");
    assert!(body.frame().await.is_none());

    let seen = log.lock().unwrap().pop().unwrap();
    assert_eq!(seen.headers["authorization"], "Bearer t0ken");
    assert_eq!(
        (&seen.headers["te"], &seen.headers["grpc-timeout"]),
        (&"trailers".parse().unwrap(), &"30S".parse().unwrap())
    );
    assert_eq!(seen.trailers.unwrap()["x-last"], "words");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_be_all_head() {
    let (_log, program) = stage().await;
    let mut client = client(&program).await;
    let (sender, request) = call("/status");
    drop(sender);
    let answer = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.headers()["grpc-status"], "9");
    assert!(answer.body().is_end_stream(), "with the head ends the stream");
}

/// What a caller gives up ends upstream too, and takes no other stream with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cancelled_ends_upstream() {
    let (log, program) = stage().await;
    let mut client = client(&program).await;
    let (cancelled, request) = call("/cancelled");
    let answer = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
    let (sender, request) = call("/other");
    let mut other = timeout(PATIENCE, client.send_request(request))
        .await
        .unwrap()
        .unwrap()
        .into_body();
    drop((answer, cancelled));
    let ended = async {
        while log.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("the upstream is told");
    sender.send(Frame::data("on".into())).await.unwrap();
    let back = timeout(PATIENCE, other.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(back.into_data().unwrap(), "on");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_keeps_its_connection_as_it_would_with_any_upstream() {
    let (_log, program) = stage().await;
    let old = move || {
        let mut stream = BufReader::new(connect(program.address));
        for method in ["GET", "HEAD", "GET"] {
            let request = format!("{method} /text HTTP/1.0\r\nhost: localhost\r\nconnection: Keep-Alive\r\n\r\n");
            stream.get_mut().write_all(request.as_bytes()).unwrap();
            let answer = Message::answer(&mut stream, method == "HEAD").expect("an answer");
            assert_eq!(answer.start, "HTTP/1.0 200 OK");
            assert_eq!(answer.header("connection").as_deref(), Some("keep-alive"), "{method}");
            assert_eq!(answer.header("content-length").as_deref(), Some("4"));
        }
    };
    tokio::task::spawn_blocking(old).await.unwrap();
}
