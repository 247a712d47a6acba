use super::*;
use crate::{config::checked, proxy::fixtures};
use http::{Request, Version, header::HOST};

fn router() -> Router {
    let mut route = fixtures::route("erp", "");
    route.host = Some("erp.localhost".into());
    fixtures::router(&[route], vec![]).unwrap()
}

fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Inbound<()> {
    let mut request = Request::get(uri).body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let connection = Connection {
        local: Address::Tcp("172.17.0.2:8080".parse().unwrap()),
        peer: Address::Tcp("172.17.0.1:50000".parse().unwrap()),
        tls: false,
        proof: Proof::default(),
    };
    Inbound::new(request, Some(Arc::new(connection)))
}

fn judge(request: &Inbound<()>, router: &Router) -> Result<Caller, ProxyError> {
    admit(request, router.listener(), |host| router.knows_host(host))
}

fn code(request: &Inbound<()>) -> Option<&'static str> {
    judge(request, &router()).err().map(|error| error.code().as_str())
}

#[test]
fn only_names_that_the_config_knows_are_served() {
    for host in [
        "localhost",
        "LOCALHOST.:1234",
        "127.0.0.1:18080",
        "127.8.9.1",
        "[::1]:8080",
        "bearerd",
        "erp.localhost:80",
        "172.17.0.2",
        "10.1.2.3:8080",
    ] {
        assert_eq!(code(&request("/", &[("host", host)])), None, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "172.17.0.3",
        "0.0.0.0:8080",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:172.17.0.2]",
        "[::127.0.0.1]",
        "bearerd.evil",
    ] {
        assert_eq!(code(&request("/", &[("host", host)])), Some("unknown_host"), "{host}");
    }
}

#[test]
fn a_request_names_one_host() {
    for (uri, headers) in [
        ("/", &[("host", "localhost"), ("host", "localhost")][..]),
        ("/", &[]),
        ("/", &[("host", "")]),
        ("/", &[("host", "a@localhost")]),
        ("/", &[("host", "localhost/x")]),
        ("http://localhost/", &[("host", "bearerd")]),
        ("http://localhost:81/", &[("host", "localhost:82")]),
        ("http://evil@localhost/", &[]),
    ] {
        assert_eq!(code(&request(uri, headers)), Some("bad_request"), "{uri} {headers:?}");
    }
    assert_eq!(code(&request("http://LocalHost:80/", &[("host", "localhost")])), None);
    assert_eq!(code(&request("http://evil.example/", &[])), Some("unknown_host"));
    let mut old = request("/", &[]);
    old.head.version = Version::HTTP_10;
    assert_eq!(code(&old), None, "HTTP/1.0 has no Host");
    old.head.headers.insert(HOST, "evil.example".parse().unwrap());
    assert_eq!(code(&old), Some("unknown_host"), "but if it has, that counts");
}

#[test]
fn pages_of_other_sites_are_refused() {
    let of = |name, value| code(&request("/", &[("host", "localhost:8080"), (name, value)]));
    assert_eq!(of("sec-fetch-site", "none"), None);
    assert_eq!(of("sec-fetch-site", "same-origin"), None);
    assert_eq!(of("origin", "http://localhost:8080"), None);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", ""),
        ("origin", "null"),
        ("origin", "http://localhost"),
        ("origin", "https://localhost:8080"),
        ("origin", "http://127.0.0.1:8080"),
        ("origin", "https://evil.example"),
    ] {
        assert_eq!(of(name, value), Some("browser_refused"), "{name}: {value}");
    }
    let two = [
        ("host", "localhost"),
        ("origin", "http://localhost"),
        ("origin", "null"),
    ];
    assert_eq!(code(&request("/", &two)), Some("browser_refused"));
}

#[test]
fn law_8_a_callers_key_is_taken_off_however_it_is_written() {
    let callers = Callers {
        key_header: HeaderName::from_static("x-bearerd-key"),
        each: vec![checked::Caller {
            name: "erp".parse().unwrap(),
            shows: checked::Shown::Key(checked::KeyDigest::of(b"0123456789abcdef")),
        }],
    };
    let listener = "main".parse().unwrap();
    let key = ("x-bearerd-key", "0123456789abcdef");
    let mut known = request(
        "/",
        &[
            key,
            ("x_bearerd_key", "0123"),
            ("x-bearerd_key", "4567"),
            ("authorization", "Bearer user"),
        ],
    );
    assert_eq!(recognise(&mut known, &listener, &callers).unwrap().as_str(), "erp");
    let left: Vec<_> = known.head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["authorization"], "which a subject may be read from");
    let error = recognise(&mut request("/", &[]), &listener, &callers).unwrap_err();
    assert_eq!(error.code().as_str(), "caller_unknown");
    assert_eq!(error.answer().headers()["www-authenticate"], "BearerdKey");
}

#[test]
fn over_tls_origins_are_of_https() {
    let connection = Connection {
        local: Address::Tcp("127.0.0.1:8443".parse().unwrap()),
        peer: Address::Tcp("127.0.0.1:50000".parse().unwrap()),
        tls: true,
        proof: Proof::default(),
    };
    let of = |origin| {
        let plain = request("/", &[("host", "localhost:8443"), ("origin", origin)]);
        code(&Inbound::new(
            Request::from_parts(*plain.head, ()),
            Some(Arc::new(connection.clone())),
        ))
    };
    assert_eq!(of("https://localhost:8443"), None);
    assert_eq!(of("http://localhost:8443"), Some("browser_refused"));
}

#[test]
fn tunnels_and_echoes_are_refused_with_words() {
    for method in [Method::CONNECT, Method::TRACE] {
        let mut request = request("localhost:80", &[("host", "localhost:80")]);
        request.head.method = method;
        assert_eq!(code(&request), Some("bad_request"));
    }
}

#[test]
fn the_caller_is_known_as_it_addressed_us() {
    let caller = judge(&request("/", &[("host", "ERP.localhost.:80")]), &router()).unwrap();
    assert_eq!(caller.host.as_deref(), Some("erp.localhost"));
    assert_eq!(caller.authority.unwrap(), "ERP.localhost.:80");
    assert_eq!(caller.scheme, "http");
}

#[tokio::test]
async fn nobody_is_served_by_what_is_left_of_a_listener() {
    use tower::{Layer, Service, service_fn};

    let router = Arc::new(ArcSwap::from_pointee(router()));
    let inner = service_fn(|_: Inbound<()>| async { Ok::<_, ProxyError>(()) });
    let mut guard = GuardLayer::new(router.clone()).layer(inner);
    let asked = || request("/", &[("host", "localhost")]);
    assert!(guard.call(asked()).await.is_ok());
    router.store(Arc::new(Router::over("main".parse().unwrap())));
    let refused = guard.call(asked()).await.unwrap_err();
    assert_eq!(refused.code().as_str(), "draining");
}

#[tokio::test]
async fn a_request_is_routed_by_the_config_that_let_it_in() {
    use crate::proxy::route::RouteLayer;
    use tower::{Layer, Service, service_fn};

    let router = Arc::new(ArcSwap::from_pointee(router()));
    let found = service_fn(async |inbound: Inbound<()>| {
        let matched = inbound.exchange.matched().map(|matched| matched.entry.name.to_string());
        Ok::<_, ProxyError>(matched)
    });
    let (reloaded, mut route) = (router.clone(), RouteLayer.layer(found));
    // A reload in the middle of it.
    let reload = service_fn(move |inbound| {
        reloaded.store(Arc::new(Router::over("main".parse().unwrap())));
        route.call(inbound)
    });
    let mut guard = GuardLayer::new(router).layer(reload);
    let asked = request("/", &[("host", "erp.localhost")]);
    assert_eq!(guard.call(asked).await.unwrap().as_deref(), Some("erp"));
}
