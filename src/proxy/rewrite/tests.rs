use http::{HeaderName, Method, Request};
use secrecy::ExposeSecret;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::{
    config::checked,
    credential::{Spec, placement::Placement},
    proxy::fixtures::{self, route},
    template::{Part, Scope},
};

/// What one route made of one request: the request as the inner service saw it.
async fn through(
    route: checked::Route,
    specs: Vec<Spec>,
    request: Request<()>,
    response: http::response::Builder,
) -> Result<(Inbound<()>, Response<()>), ProxyError> {
    let router = fixtures::router(&[route], specs).unwrap();
    let matched = router.find(None, request.method(), request.uri().path())?;
    let inbound = Inbound::new(request, None);
    inbound.exchange.found_route(matched);
    inbound.exchange.found_caller(Caller {
        scheme: "http",
        authority: Some("localhost:8080".parse().unwrap()),
        host: Some("localhost".into()),
        name: None,
    });
    let seen = Arc::new(std::sync::Mutex::new(None));
    let (keep, response) = (seen.clone(), response.body(()).unwrap());
    let inner = service_fn(move |inbound: Inbound<()>| {
        *keep.lock().unwrap() = Some(inbound);
        std::future::ready(Ok(response.clone()))
    });
    let response = RewriteLayer.layer(inner).oneshot(inbound).await?;
    let inbound = seen.lock().unwrap().take().unwrap();
    Ok((inbound, response))
}

fn request(path: &str, headers: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::builder().method(Method::GET).uri(path).body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

fn subject_route() -> checked::Route {
    let mut route = route("flow", "/flow");
    route.path = Some("/tenants/{tenant}/{*rest}".into());
    route.credential = Some("flow_user".parse().unwrap());
    route.subject_headers = vec![HeaderName::from_static("x-user-token")];
    route.headers = vec![
        fixtures::header("x-tenant", vec![Part::Reference(Scope::Subject, "tenant".into())]),
        fixtures::header("x-agent", vec![Part::Written("erp ".into()), Part::Value("7".into())]),
    ];
    route
}

fn subject_spec() -> Spec {
    fixtures::spec(
        "flow_user",
        &[
            ("user", Scope::Header, "x-user-token"),
            ("tenant", Scope::Path, "tenant"),
        ],
    )
}

#[tokio::test]
async fn a_request_is_put_into_the_upstreams_terms() {
    for (path, uri) in [
        ("/p/a/b?x=%2e&y", "/v2/a/b?x=%2e&y"),
        ("/p/", "/v2/"),
        ("/p", "/v2"),
        ("/p?x", "/v2?x"),
    ] {
        let headers = [("host", "localhost:8080")];
        let (seen, _) = through(route("p", "/p"), vec![], request(path, &headers), Response::builder())
            .await
            .unwrap();
        assert_eq!(seen.head.uri, uri, "{path}");
        assert_eq!(seen.head.headers[HOST], "api.example");
        assert_eq!(seen.head.version, Version::HTTP_11);
    }
}

#[tokio::test]
async fn the_subject_is_read_and_its_headers_go() {
    let headers = [
        ("x-user-token", "canary"),
        ("x_user_token", "again"),
        ("x-tenant", "caller"),
    ];
    let (seen, response) = through(
        subject_route(),
        vec![subject_spec()],
        request("/flow/tenants/a%20b/reasons", &headers),
        Response::builder().header(SET_COOKIE, "session=1"),
    )
    .await
    .unwrap();
    let subject = seen.exchange.subject();
    let parts: Vec<_> = subject
        .parts()
        .iter()
        .map(|(name, text)| (&**name, text.expose_secret()))
        .collect();
    assert_eq!(parts, [("user", "canary"), ("tenant", "a b")]);
    assert!(!format!("{subject:?}").contains("canary"));
    assert!(!seen.head.headers.contains_key("x-user-token") && !seen.head.headers.contains_key("x_user_token"));
    assert_eq!(
        seen.head.headers.get_all("x-tenant").iter().collect::<Vec<_>>(),
        ["a b"]
    );
    assert_eq!(seen.head.headers["x-agent"], "erp 7");
    assert!(seen.head.headers["x-agent"].is_sensitive());
    assert!(
        !response.headers().contains_key(SET_COOKIE),
        "a session of one user is not another's"
    );
}

#[tokio::test]
async fn a_part_that_is_missing_or_repeated_is_nobodys_subject() {
    for headers in [
        &[][..],
        &[("x-user-token", "")],
        &[("x-user-token", "a"), ("x-user-token", "a")],
    ] {
        let request = request("/flow/tenants/1/x", headers);
        let refused = through(subject_route(), vec![subject_spec()], request, Response::builder()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.code().as_str(), "subject_missing");
        assert!(error.to_string().contains("x-user-token"), "{error}");
    }
}

#[tokio::test]
async fn answers_are_put_into_the_callers_terms() {
    let mut keyed = fixtures::spec("keyed", &[]);
    keyed.placement = Placement::Query("api_key".into());
    let mut route = route("p", "/p");
    route.credential = Some(keyed.name.clone());
    let answer = |status: u16| {
        Response::builder()
            .status(status)
            .header(LOCATION, "https://api.example/v2/next?api_key=s&x=1")
            .header(SET_COOKIE, "session=1; Domain=api.example; Path=/v2/a; Secure")
            .header(SET_COOKIE, "other=2")
    };
    for status in [201, 301, 307] {
        let (_, response) = through(route.clone(), vec![keyed.clone()], request("/p/a", &[]), answer(status))
            .await
            .unwrap();
        assert_eq!(
            response.headers()[LOCATION],
            "http://localhost:8080/p/next?x=1",
            "{status}"
        );
        let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["session=1; Path=/p/a", "other=2"]);
    }
    let answer = answer(200).header(CONTENT_LOCATION, "/v2/a?api_key=s");
    let (_, response) = through(route, vec![keyed], request("/p/a", &[]), answer).await.unwrap();
    assert_eq!(response.headers()[LOCATION], "https://api.example/v2/next?x=1");
    assert_eq!(response.headers()[CONTENT_LOCATION], "/p/a");
}

#[tokio::test]
async fn an_extra_header_that_can_not_be_made_is_the_callers_fault() {
    let mut route = route("p", "/p");
    route.headers = vec![fixtures::header(
        "x-a",
        vec![Part::Reference(Scope::Header, "x-b".into())],
    )];
    let refused = through(route, vec![], request("/p", &[]), Response::builder())
        .await
        .unwrap_err();
    assert_eq!(refused.code().as_str(), "bad_request");
    assert!(
        refused.to_string().contains("x-a") && refused.to_string().contains("${header:x-b}"),
        "{refused}"
    );
}

#[tokio::test]
async fn what_a_proxy_in_front_has_put_there_is_read_before_it_ends_here() {
    let mut route = route("flow", "/flow");
    route.credential = Some("each".parse().unwrap());
    route.subject_headers = vec![HeaderName::from_static("x-forwarded-access-token")];
    route.headers = vec![fixtures::header(
        "x-caller",
        vec![Part::Reference(Scope::Header, "x-real-ip".into())],
    )];
    let spec = fixtures::spec("each", &[("user", Scope::Header, "x-forwarded-access-token")]);
    let headers = [("x-forwarded-access-token", "canary"), ("x-real-ip", "192.0.2.7")];
    let asked = request("/flow/a", &headers);
    let (seen, _) = through(route, vec![spec], asked, Response::builder()).await.unwrap();
    assert_eq!(seen.exchange.subject().parts().len(), 1);
    let sent = &seen.head.headers;
    assert_eq!(sent["x-caller"], "192.0.2.7");
    assert!(!sent.contains_key("x-forwarded-access-token") && !sent.contains_key("x-real-ip"));
}
