//! What a connection that can't be made says.

use std::future::pending;

use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn exchange(settings: &Settings) -> Exchange {
    Exchange::new(settings).unwrap()
}

#[track_caller]
fn tls_reason(error: UpstreamError) -> String {
    match error {
        UpstreamError::Tls { reason, .. } => reason,
        other => panic!("not of TLS: {other}"),
    }
}

#[tokio::test]
async fn an_unknown_authority_points_to_tls_ca() {
    let server = Server::answering(Some(Authority::new().localhost(&[])), OK).await;
    let stranger = exchange(&trusting(&Authority::new()));
    let reason = tls_reason(never_left(send(&stranger, &server.uri()).await));
    assert!(reason.contains("tls.ca"), "{reason}");
}

#[tokio::test]
async fn an_authority_that_was_made_anew_points_to_the_old_one() {
    let server = Server::answering(Some(Authority::named("demo").localhost(&[])), OK).await;
    let older = exchange(&trusting(&Authority::named("demo")));
    let reason = tls_reason(never_left(send(&older, &server.uri()).await));
    assert!(reason.contains("older"), "{reason}");
}

#[tokio::test]
async fn another_name_points_to_server_name_which_helps() {
    let authority = Authority::new();
    let identity = authority.issue("other.example");
    let server = Server::answering(Some(authority.server(identity, false, &[])), OK).await;
    let mut settings = trusting(&authority);
    let reason = tls_reason(never_left(send(&exchange(&settings), &server.uri()).await));
    assert!(reason.contains("tls.server_name"), "{reason}");

    settings.tls.server_name = Some("other.example".try_into().unwrap());
    assert_eq!(reply(send(&exchange(&settings), &server.uri()).await).status, 200);
}

#[tokio::test]
async fn an_expired_certificate_is_called_so() {
    let authority = Authority::new();
    let identity = authority.issue_expired("localhost");
    let server = Server::answering(Some(authority.server(identity, false, &[])), OK).await;
    let reason = tls_reason(never_left(send(&exchange(&trusting(&authority)), &server.uri()).await));
    assert!(reason.contains("expired"), "{reason}");
}

#[tokio::test]
async fn an_authoritys_own_certificate_is_told_how_to_make_anew() {
    let identity = Authority::own("localhost");
    let mut settings = trusting(&Authority::new());
    settings.tls.ca = vec![identity.0[0].clone()];
    let server = Server::answering(Some(Authority::new().server(identity, false, &[])), OK).await;
    let reason = tls_reason(never_left(send(&exchange(&settings), &server.uri()).await));
    assert!(
        reason.contains("CA:FALSE") && reason.contains("tls.ca") && !reason.contains("OtherError"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_certificate_that_is_not_for_servers_is_called_so() {
    let authority = Authority::new();
    let identity = authority.issue_for_clients("localhost");
    let server = Server::answering(Some(authority.server(identity, false, &[])), OK).await;
    let reason = tls_reason(never_left(send(&exchange(&trusting(&authority)), &server.uri()).await));
    assert!(reason.contains("serverAuth"), "{reason}");
}

#[test]
fn every_refusal_of_a_certificate_says_what_helps() {
    use rustls::{CertificateError as Certificate, OtherError};
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Named(&'static str);
    let other = |name| Certificate::Other(OtherError(std::sync::Arc::new(Named(name))));
    for certificate in [
        Certificate::BadEncoding,
        Certificate::Expired,
        Certificate::NotValidYet,
        Certificate::Revoked,
        Certificate::UnhandledCriticalExtension,
        Certificate::UnknownIssuer,
        Certificate::UnknownRevocationStatus,
        Certificate::ExpiredRevocationList,
        Certificate::BadSignature,
        Certificate::NotValidForName,
        Certificate::InvalidPurpose,
        Certificate::InvalidOcspResponse,
        Certificate::ApplicationVerificationFailure,
        other("CaUsedAsEndEntity"),
        other("EndEntityUsedAsCa"),
        other("NameConstraintViolation"),
        other("MaximumPathDepthExceeded"),
    ] {
        let words = super::super::error::tls_words(&rustls::Error::InvalidCertificate(certificate.clone()));
        let helps = ["must", "check", "tls.ca", "clock", "issued by"];
        assert!(
            helps.iter().any(|word| words.contains(word)),
            "{certificate:?}: {words}"
        );
        assert!(!words.contains("OtherError"), "{words}");
    }
}

#[tokio::test]
async fn plain_http_to_a_port_that_speaks_tls_points_to_https() {
    let settings = trusting(&Authority::new());
    let secure = Server::answering(Some(Authority::new().localhost(&[])), OK).await;
    let closing = Server::tcp(|stream| async move { drop(stream) }).await;
    for server in [&secure, &closing] {
        let error = match send(&exchange(&settings), &server.uri_of("http")).await {
            Sent::NoAnswer(error) | Sent::NeverLeft(error) => error,
            Sent::Answered(reply) => panic!("{reply:?}"),
        };
        assert!(error.to_string().contains("https://"), "{error}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = Authority::new();
    let config = authority.server(authority.issue("localhost"), true, &[]);
    let server = Server::answering(Some(config), OK).await;
    let mut settings = trusting(&authority);
    // In TLS 1.3 the server's refusal arrives after the client has begun to send; nobody has read it all the same.
    let reason = tls_reason(never_left(send(&exchange(&settings), &server.uri()).await));
    assert!(reason.contains("tls.client_cert"), "{reason}");

    settings.tls.client = Some(authority.issue("client.example"));
    assert_eq!(reply(send(&exchange(&settings), &server.uri()).await).status, 200);
}

#[tokio::test]
async fn a_server_that_never_finishes_tls_is_given_up() {
    let server = Server::tcp(|stream| async move {
        let _held = stream;
        pending::<()>().await;
    })
    .await;
    let mut settings = trusting(&Authority::new());
    settings.connect_timeout = BRIEF;
    let reason = tls_reason(never_left(send(&exchange(&settings), &server.uri_of("https")).await));
    assert!(reason.contains("connect_timeout"), "{reason}");
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_told_apart() {
    let settings = trusting(&Authority::new());
    let plain = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        pending::<()>().await;
    })
    .await;
    let reason = tls_reason(never_left(send(&exchange(&settings), &plain.uri_of("https")).await));
    assert!(reason.contains("http://"), "{reason}");

    let closing = Server::tcp(|stream| async move { drop(stream) }).await;
    let reason = tls_reason(never_left(send(&exchange(&settings), &closing.uri_of("https")).await));
    assert!(reason.contains("speaks TLS"), "{reason}");
}

#[tokio::test]
async fn nobody_listening_and_no_such_name_are_unreachable() {
    let exchange = exchange(&trusting(&Authority::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for (uri, word) in [
        (format!("https://127.0.0.1:{port}/?p=canary"), "nothing listens"),
        ("http://no-such-host.invalid/?p=canary".to_owned(), "resolved"),
    ] {
        let uri: Uri = uri.parse().unwrap();
        let error = never_left(send(&exchange, &uri).await);
        assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
    let authority = Authority::new();
    let mut settings = trusting(&authority);
    settings.tls.ca.push(vec![1, 2, 3].into());
    assert!(matches!(Exchange::new(&settings), Err(SettingsError::Authority(_))));

    let mut settings = trusting(&authority);
    let (chain, _) = authority.issue("one.example");
    let (_, key) = authority.issue("two.example");
    settings.tls.client = Some((chain, key));
    assert!(matches!(
        Client::new(&settings, &Uri::from_static("https://api.example")),
        Err(SettingsError::Client(_))
    ));
}
