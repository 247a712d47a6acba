//! Who may call.

use crate::{caller::status, world::recording};

#[tokio::test]
async fn a_request_that_does_not_name_us_once_goes_nowhere() {
    let (world, arrived) = recording().await;
    for (head, code) in [
        (
            "GET /plain HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
            "bad_request",
        ),
        ("GET /plain HTTP/1.1\r\nX: y", "bad_request"),
        (
            "GET http://localhost/plain HTTP/1.1\r\nHost: evil.example",
            "bad_request",
        ),
        ("GET /plain HTTP/1.1\r\nHost: evil.example", "unknown_host"),
        (
            "GET http://evil.example/plain HTTP/1.1\r\nHost: evil.example",
            "unknown_host",
        ),
        (
            "GET /plain HTTP/1.1\r\nHost: ADDRESS\r\nOrigin: https://evil.example",
            "browser_refused",
        ),
        (
            "GET /plain HTTP/1.1\r\nHost: ADDRESS\r\nSec-Fetch-Site: cross-site",
            "browser_refused",
        ),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80", "bad_request"),
        ("GET /plain/..%2f..%2fetc HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("GET /plain/../../x HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("GET /plain%00 HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("GET * HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("GET /nowhere?secret=1 HTTP/1.1\r\nHost: localhost", "no_route"),
    ] {
        let answer = world.raw(&format!("{head}\r\nConnection: close\r\n\r\n")).await;
        assert!(
            answer.contains(&format!("x-bearerd-error: {code}\r\n")),
            "{head}: {answer}"
        );
        assert!(
            answer.contains("content-type: application/problem+json\r\n"),
            "{answer}"
        );
        assert!(!answer.contains("secret"), "{answer}");
    }
    assert!(arrived.lock().unwrap().is_empty());
    for head in [
        "GET http://ADDRESS/plain HTTP/1.1\r\nHost: ADDRESS",
        "GET /plain HTTP/1.0",
        "GET /plain HTTP/1.1\r\nHost: ADDRESS\r\nOrigin: http://ADDRESS\r\nSec-Fetch-Site: same-origin",
    ] {
        let answer = world.raw(&format!("{head}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), "200", "{head}: {answer}");
    }
}
