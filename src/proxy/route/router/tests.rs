use super::*;
use crate::{
    credential::spec::Spec,
    proxy::fixtures::{self, route},
    template::{Part, Scope, Template},
};

fn found(router: &Router, host: &str, method: &str, path: &str) -> String {
    let method: Method = method.parse().unwrap();
    match router.find(Some(host), &method, path) {
        Ok(matched) => format!("{} {}", matched.entry.name, matched.rest(path)),
        Err(error) => error.to_string(),
    }
}

fn with(mut route: checked::Route, change: impl FnOnce(&mut checked::Route)) -> checked::Route {
    change(&mut route);
    route
}

#[test]
fn the_more_specific_route_wins() {
    let router = fixtures::router(
        &[
            route("all", ""),
            route("a", "/a"),
            route("ab", "/a/b"),
            with(route("host", ""), |route| route.host = Some("erp.localhost".into())),
            with(route("host_a", "/a"), |route| {
                route.host = Some("erp.localhost".into());
                route.methods = vec![Method::POST];
            }),
        ],
        vec![],
    )
    .unwrap();
    for (host, method, path, wanted) in [
        ("x", "GET", "/", "all /"),
        ("x", "GET", "/ab", "all /ab"),
        ("x", "GET", "/a", "a "),
        ("x", "GET", "/a/", "a /"),
        ("x", "GET", "/a/bc", "a /bc"),
        ("x", "GET", "/a/b/c", "ab /c"),
        ("erp.localhost", "POST", "/a/b", "host_a /b"),
        ("erp.localhost", "GET", "/a/b", "host /a/b"),
    ] {
        assert_eq!(found(&router, host, method, path), wanted, "{host} {method} {path}");
    }
}

#[test]
fn a_literal_wins_over_a_capture_and_then_a_method_over_none() {
    let path = |name: &str, path: &str, methods: &[Method]| {
        with(route(name, "/p"), |route| {
            route.path = Some(path.into());
            route.methods = methods.to_vec();
        })
    };
    let router = fixtures::router(
        &[
            path("literal", "/t/me", &[]),
            path("capture", "/t/{id}", &[]),
            path("capture_put", "/t/{other}", &[Method::PUT]),
            path("tail", "/u/{id}/{*rest}", &[Method::GET]),
        ],
        vec![],
    )
    .unwrap();
    for (method, path, wanted) in [
        ("PUT", "/p/t/me", "literal /t/me"),
        ("PUT", "/p/t/you", "capture_put /t/you"),
        ("GET", "/p/t/you", "capture /t/you"),
        ("GET", "/p/u/1/a/b", "tail /u/1/a/b"),
        ("GET", "/p/u/1/", "tail /u/1/"),
        ("GET", "/p/u/1", "tail /u/1"),
        (
            "DELETE",
            "/p/u/1",
            "no route of listener 'main' that has this host and path takes this method; `bearerd check` prints the routes",
        ),
        (
            "GET",
            "/p/x",
            "no route of listener 'main' has this host and path; `bearerd check` prints the routes",
        ),
    ] {
        assert_eq!(found(&router, "x", method, path), wanted, "{method} {path}");
    }
    let matched = router.find(None, &Method::GET, "/p/u/a%2Fb%20c/d").unwrap();
    let captures: Vec<_> = matched.captures.iter().map(|(name, text)| (&**name, &**text)).collect();
    assert_eq!(captures, [("id", "a/b c"), ("rest", "d")]);
    assert!(!format!("{matched:?}").contains("b c"), "a capture may be a subject's");
}

#[test]
fn a_route_that_names_get_takes_head_unless_another_names_it() {
    let path = |name: &str, prefix: &str, path: Option<&str>, methods: &[Method]| {
        with(route(name, prefix), |route| {
            route.path = path.map(Into::into);
            route.methods = methods.to_vec();
        })
    };
    let router = fixtures::router(
        &[
            path("all", "", None, &[]),
            path("get", "/a", None, &[Method::GET]),
            path("post", "/b", None, &[Method::POST]),
            path("get_one", "/c", Some("/{one}"), &[Method::GET]),
            path("head_one", "/c", Some("/{uno}"), &[Method::HEAD]),
            path("get_two", "/c", Some("/{one}/{two}"), &[Method::GET]),
            path("any_two", "/c", Some("/{one}/{other}"), &[]),
            path("both", "/d", None, &[Method::GET, Method::HEAD]),
            // One tree can't hold both of these.
            path("get_segment", "/e", Some("/{one}"), &[Method::GET]),
            path("head_tail", "/e", Some("/{*tail}"), &[Method::HEAD]),
        ],
        vec![],
    )
    .unwrap();
    for (method, path, wanted) in [
        ("HEAD", "/x", "all /x"),
        ("HEAD", "/a/x", "get /x"),
        ("HEAD", "/b/x", "all /b/x"),
        ("HEAD", "/c/x", "head_one /x"),
        ("GET", "/c/x", "get_one /x"),
        ("HEAD", "/c/x/y", "get_two /x/y"),
        ("PUT", "/c/x/y", "any_two /x/y"),
        ("HEAD", "/d", "both "),
        ("GET", "/e/x", "get_segment /x"),
        ("HEAD", "/e/x", "head_tail /x"),
    ] {
        assert_eq!(found(&router, "x", method, path), wanted, "{method} {path}");
    }
}

#[test]
fn routes_that_can_not_be_told_apart_are_not_served() {
    let twice = fixtures::router(&[route("a", "/p"), route("b", "/p")], vec![]);
    assert!(matches!(twice.unwrap_err(), RouterError::TellApart { .. }));
    let lost = with(route("a", "/p"), |route| {
        route.credential = Some("none".parse().unwrap())
    });
    let lost = fixtures::router(&[lost], vec![]);
    assert!(matches!(lost.unwrap_err(), RouterError::DefineCredential { .. }));
}

#[test]
fn routes_of_other_listeners_are_not_there() {
    let other = with(route("other", ""), |route| {
        route.listener = Some("other".parse().unwrap())
    });
    let router = fixtures::router(&[other], vec![]).unwrap();
    assert!(router.find(None, &Method::GET, "/").is_err());
}

fn signing_in(url: Template) -> Spec {
    Spec {
        sign_in: Some(fixtures::grant(Method::POST, url)),
        browser: None,
        ..fixtures::spec("fluent", &[])
    }
}

#[test]
fn token_endpoints_are_closed_however_they_are_written() {
    let url = Template::new(vec![
        Part::Written("https://API.example:443/v2/oauth/".into()),
        Part::Reference(Scope::Subject, "tenant".into()),
        Part::Written("/token".into()),
    ]);
    let router = fixtures::router(&[route("api", "/p")], vec![signing_in(url)]).unwrap();
    let check = |method: Method, path: &str| {
        let matched = router.find(None, &method, path).unwrap();
        matched.entry.may_be_called(&method, matched.rest(path)).is_ok()
    };
    assert!(!check(Method::POST, "/p/oauth/acme/token"));
    assert!(!check(Method::POST, "/p/OAuth/acme/token/"));
    assert!(!check(Method::POST, "/p/oauth/acme/token;x=1"));
    assert!(!check(Method::POST, "/p/oauth%2Facme%2Ftoken"));
    assert!(check(Method::GET, "/p/oauth/acme/token"));
    assert!(check(Method::POST, "/p/oauth/acme/token/x"));
    assert!(check(Method::POST, "/p/oauth/acme/tokens"));

    let elsewhere = Template::written("https://idp.example/v2/oauth/token");
    let router = fixtures::router(&[route("api", "/p")], vec![signing_in(elsewhere)]).unwrap();
    let matched = router.find(None, &Method::POST, "/p/oauth/token").unwrap();
    assert!(matched.entry.may_be_called(&Method::POST, "/oauth/token").is_ok());
}

#[test]
fn law_9_the_path_that_is_told_has_no_part_of_a_subject() {
    let path = |name: &str, path: &str, credential: Option<&str>| {
        with(route(name, "/p"), |route| {
            route.path = Some(path.into());
            route.credential = credential.map(|name| name.parse().unwrap());
        })
    };
    let spec = fixtures::spec("user", &[("token", Scope::Path, "token")]);
    let router = fixtures::router(
        &[
            path("middle", "/a/{token}/b/{id}", Some("user")),
            path("before_tail", "/t/{token}/{*rest}", Some("user")),
            path("tail", "/u/{id}/{*token}", Some("user")),
            path("none", "/n/{token}", None),
        ],
        vec![spec],
    )
    .unwrap();
    assert!(router.reads_paths());
    for (path, wanted) in [
        ("/p/a/hush/b/1", Some("/p/a/{token}/b/1")),
        ("/p/t/hush/x/y/", Some("/p/t/{token}/x/y/")),
        ("/p/t/hush", Some("/p/t/{token}")),
        ("/p/u/1/hush/hush", Some("/p/u/1/{*token}")),
        ("/p/n/1", None),
    ] {
        let matched = router.find(None, &Method::GET, path).unwrap();
        let masked = matched.entry.masked(matched.rest(path));
        assert_eq!(masked.as_deref(), wanted, "{path}");
    }
}
