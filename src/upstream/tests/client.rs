//! The pooled client.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tokio::{io::AsyncWriteExt, sync::mpsc, task::coop::poll_proceed};

use super::{server::read_request, *};

fn full(bytes: &'static [u8]) -> Body {
    Full::from(bytes)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

fn get(uri: &Uri, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.uri_mut() = uri.clone();
    request
}

#[tokio::test]
async fn requests_share_connections_in_either_version() {
    for alpn in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let server = Server::http(Some(authority.localhost(&[alpn])), |request| async move {
            let version = format!("{:?}", request.version());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Response::new(Full::from([version.as_bytes(), b" ", &body].concat()))
        })
        .await;
        let client = Client::new(&trusting(&authority), &server.uri()).unwrap();
        for _ in 0..3 {
            let answer = client.send(get(&server.uri(), full(b"body"))).await.unwrap();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let version = if alpn == "h2" { "HTTP/2.0" } else { "HTTP/1.1" };
            assert_eq!(body, format!("{version} body"));
        }
        assert_eq!(server.connections(), 1, "{alpn}");
    }
}

#[tokio::test]
async fn connections_are_made_anew_now_and_then_however_busy_they_are() {
    for alpn in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let server = Server::http(Some(authority.localhost(&[alpn])), |_| async {
            Response::new(Full::from("{}"))
        })
        .await;
        let client = Client::new(&trusting(&authority), &server.uri()).unwrap();
        let ask = async |rounds| {
            let answer = client.send(get(&server.uri(), full(b""))).await.unwrap();
            answer.into_body().collect().await.unwrap();
            client.0.pool.pass(rounds);
            server.connections()
        };
        let mut made = Vec::new();
        for _ in 0..25 {
            made.push(ask(2).await);
        }
        // One of 40 rounds serves about 20 of these.
        assert_eq!((made[15], made[24]), (1, 2), "{alpn}: {made:?}");
        // What nobody asks for during four rounds is closed before.
        assert_eq!(ask(4).await, 2);
        assert_eq!(ask(0).await, 3, "{alpn}");
    }
}

#[tokio::test]
async fn heads_that_are_no_answer_put_off_nothing() {
    let server = Server::start(None, |mut stream| async move {
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        read_request(&mut stream).await;
        let flood = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(2000);
        while stream.write_all(&flood).await.is_ok() {}
    })
    .await;
    let settings = Settings {
        response_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let client = Client::new(&settings, &server.uri()).unwrap();
    let first = client.send(get(&server.uri(), full(b""))).await.unwrap();
    first.into_body().collect().await.unwrap();
    // Over the connection that is there.
    let second = client.send(get(&server.uri(), full(b""))).await;
    assert!(matches!(second, Err(UpstreamError::Timeout { .. })), "{second:?}");
}

#[tokio::test]
async fn a_task_whose_budget_is_used_up_gives_up_in_time() {
    // As it is by a server that sends faster than is read, such heads or anything: here from the moment on that the
    // server has the request.
    let arrived = Arc::new(AtomicBool::new(false));
    let server = {
        let arrived = arrived.clone();
        Server::start(None, move |mut stream| {
            let arrived = arrived.clone();
            async move {
                read_request(&mut stream).await;
                arrived.store(true, Ordering::SeqCst);
                std::future::pending().await
            }
        })
        .await
    };
    let settings = Settings {
        response_timeout: BRIEF,
        ..Settings::default()
    };
    let client = Client::new(&settings, &server.uri()).unwrap();
    let mut answer = Box::pin(client.send(get(&server.uri(), full(b""))));
    let asked = std::future::poll_fn(move |context| {
        while arrived.load(Ordering::SeqCst)
            && let Poll::Ready(unit) = poll_proceed(context)
        {
            unit.made_progress();
        }
        answer.as_mut().poll(context)
    });
    let answer = tokio::time::timeout(Duration::from_secs(10), tokio::spawn(asked)).await;
    let answer = answer.expect("it waits on past its time limit").unwrap();
    assert!(matches!(answer, Err(UpstreamError::Timeout { .. })), "{answer:?}");
}

#[tokio::test]
async fn redirects_and_errors_pass_through() {
    let server = Server::http(None, |_| async {
        let mut answer = Response::new(Full::from("elsewhere"));
        *answer.status_mut() = StatusCode::FOUND;
        answer
            .headers_mut()
            .insert("location", "http://127.0.0.1:1/".parse().unwrap());
        answer
    })
    .await;
    let client = Client::new(&Settings::default(), &server.uri()).unwrap();
    let answer = client.send(get(&server.uri(), full(b""))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_never_sent_again() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let server = {
        let arrived = arrived.clone();
        Server::start(None, move |mut stream| {
            let arrived = arrived.clone();
            async move {
                read_request(&mut stream).await;
                arrived.fetch_add(1, Ordering::SeqCst);
            }
        })
        .await
    };
    let client = Client::new(&Settings::default(), &server.uri()).unwrap();
    let error = client.send(get(&server.uri(), full(b""))).await.unwrap_err();
    assert!(
        matches!(error, UpstreamError::Broken { was_used: false, .. }),
        "{error}"
    );
    assert!(!error.to_string().contains("canary"));
    assert_eq!(arrived.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failures_to_connect_keep_their_kind() {
    let server = Server::answering(Some(Authority::new().localhost(&[])), "").await;
    let client = Client::new(&trusting(&Authority::new()), &server.uri()).unwrap();
    let error = client.send(get(&server.uri(), full(b""))).await.unwrap_err();
    assert!(
        matches!(&error, UpstreamError::Tls { reason, .. } if reason.contains("tls.ca")),
        "{error}"
    );
    assert_eq!(error.host(), format!("localhost:{}", server.port));
}

/// A body that a test feeds.
struct Fed(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0
            .poll_recv(context)
            .map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

#[tokio::test]
async fn a_get_keeps_a_body_of_unknown_length() {
    for alpn in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let server = Server::http(Some(authority.localhost(&[alpn])), |request| async move {
            Response::new(Full::from(request.into_body().collect().await.unwrap().to_bytes()))
        })
        .await;
        let (feed, fed) = mpsc::unbounded_channel();
        feed.send(Bytes::from_static(b"query")).unwrap();
        drop(feed);
        let mut request = get(&server.uri(), Fed(fed).boxed_unsync());
        *request.version_mut() = http::Version::HTTP_10;
        let client = Client::new(&trusting(&authority), &server.uri()).unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            "query",
            "{alpn}"
        );
    }
}

#[tokio::test]
async fn the_wait_for_an_answer_begins_when_the_body_has_ended() {
    let server = Server::start(None, |mut stream| async move {
        read_request(&mut stream).await;
        // The body is chunked: read on, and never answer.
        while !read_request(&mut stream).await.is_empty() {}
    })
    .await;
    let settings = Settings {
        response_timeout: BRIEF,
        ..trusting(&Authority::new())
    };
    let client = Client::new(&settings, &server.uri()).unwrap();
    let (feed, fed) = mpsc::unbounded_channel();
    let mut answer = Box::pin(client.send(get(&server.uri(), Fed(fed).boxed_unsync())));
    // Several times the limit pass while the body goes on.
    for _ in 0..5 {
        feed.send(Bytes::from_static(b"more")).unwrap();
        assert!(
            tokio::time::timeout(BRIEF, &mut answer).await.is_err(),
            "the upload was cut off"
        );
    }
    drop(feed);
    let error = answer.await.unwrap_err();
    assert!(
        matches!(&error, UpstreamError::Timeout { reason, .. } if reason.contains("response_timeout")),
        "{error}"
    );
}

#[tokio::test]
async fn an_upstream_that_stops_reading_is_given_up() {
    for alpn in ["http/1.1", "h2"] {
        let authority = Authority::new();
        let server = Server::start(Some(authority.localhost(&[alpn])), move |mut stream| async move {
            if alpn == "h2" {
                // An empty SETTINGS frame: the initial windows stay at 65,535 bytes.
                stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            }
            std::future::pending::<()>().await;
        })
        .await;
        let settings = Settings {
            response_timeout: BRIEF,
            ..trusting(&authority)
        };
        let client = Client::new(&settings, &server.uri()).unwrap();
        let (feed, fed) = mpsc::unbounded_channel();
        // More than both sockets hold, on any system; its frames share their bytes.
        let piece = Bytes::from(vec![0; 1 << 16]);
        for _ in 0..1024 {
            feed.send(piece.clone()).unwrap();
        }
        let answer = client.send(get(&server.uri(), Fed(fed).boxed_unsync()));
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("it waits for ever");
        let error = answer.unwrap_err();
        assert!(
            matches!(&error, UpstreamError::Timeout { reason, .. } if reason.contains("took nothing")),
            "{alpn}: {error}"
        );
        let gone = tokio::time::timeout(PATIENCE, feed.closed()).await;
        assert!(gone.is_ok(), "{alpn}: the caller's body is still held");
    }
}
