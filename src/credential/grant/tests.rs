use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, Method, header};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::template::{Part, Scope, Values};

/// Every character that means something to a URL, a form, JSON or a shell.
const NASTY: &str = "p\"ä'&=+% ;#?/\\ß";

fn request() -> Request {
    Request {
        method: Method::POST,
        url: Template::written("https://id.example/token"),
        query: Vec::new(),
        headers: Vec::new(),
        basic: None,
        body: Body::Empty,
    }
}

fn value(text: &str) -> Template {
    Template::new(vec![Part::Value(text.into())])
}

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, Template)> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), value(text)))
        .collect()
}

fn basic(username: &str, password: &str, form_encoded: bool) -> Option<Basic> {
    Some(Basic {
        username: value(username),
        password: value(password),
        form_encoded,
    })
}

fn build(request: &Request) -> http::Request<Bytes> {
    request.build(&()).unwrap()
}

fn header<'a>(built: &'a http::Request<Bytes>, name: &str) -> &'a str {
    std::str::from_utf8(built.headers()[name].as_bytes()).unwrap()
}

fn decoded(pairs: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(pairs).into_owned().collect()
}

#[test]
fn a_form_carries_any_text_exactly() {
    let built = build(&Request {
        body: Body::Form(fields(&[
            ("grant_type", "password"),
            ("pass word", NASTY),
            ("pin", "0012345"),
        ])),
        ..request()
    });
    assert_eq!(header(&built, "content-type"), "application/x-www-form-urlencoded");
    let expected = [("grant_type", "password"), ("pass word", NASTY), ("pin", "0012345")];
    assert_eq!(
        decoded(built.body()),
        expected.map(|(name, text)| (name.to_owned(), text.to_owned()))
    );
}

#[test]
fn query_parameters_join_those_of_the_url() {
    let urls = [
        ("https://id.example/token", "/token?password="),
        ("https://id.example/token?a=1", "/token?a=1&password="),
        ("https://id.example/token?", "/token?password="),
        ("https://id.example/token#part", "/token?password="),
    ];
    for (url, expected) in urls {
        let built = build(&Request {
            url: Template::written(url),
            query: fields(&[("password", NASTY)]),
            ..request()
        });
        let target = built.uri().path_and_query().unwrap().as_str();
        assert!(target.starts_with(expected), "{url}");
        let sent = decoded(built.uri().query().unwrap().as_bytes());
        assert_eq!(sent.last().unwrap().1, NASTY);
    }
}

#[test]
fn json_keeps_strings_strings_and_plain_values_plain() {
    let built = build(&Request {
        body: Body::Json(Json::Object(vec![
            ("password".into(), Json::Text(value("0012345"))),
            ("retry".into(), Json::Plain(json!(3))),
            (
                "list".into(),
                Json::Array(vec![Json::Text(value(NASTY)), Json::Plain(json!(null))]),
            ),
        ])),
        ..request()
    });
    assert_eq!(header(&built, "content-type"), "application/json");
    let sent: serde_json::Value = serde_json::from_slice(built.body()).unwrap();
    assert_eq!(sent, json!({"password": "0012345", "retry": 3, "list": [NASTY, null]}));
    assert!(built.body().starts_with(b"{\"password\""), "in the order written");
}

#[test]
fn basic_is_utf_8_and_form_encoded_where_asked() {
    let authorization = |basic| header(&build(&Request { basic, ..request() }), "authorization").to_owned();
    let encoded = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    assert_eq!(authorization(basic("erp", "ä:b", false)), encoded("erp:ä:b"));
    // RFC 6749 §2.3.1, Appendix B.
    assert_eq!(authorization(basic("a:b", "s &c", true)), encoded("a%3Ab:s+%26c"));
}

#[test]
fn basic_refuses_what_it_cannot_carry() {
    let refused = |basic| Request { basic, ..request() }.build(&()).unwrap_err();
    assert_eq!(refused(basic("a:b", "c", false)), BuildError::Colon);
    assert_eq!(refused(basic("a", "c\n", false)), BuildError::Control);
    let both = Request {
        basic: basic("a", "b", false),
        headers: vec![(header::AUTHORIZATION, value("Bearer x"))],
        ..request()
    };
    assert_eq!(both.build(&()).unwrap_err(), BuildError::TwoAuthorizations);
}

#[test]
fn header_values_are_bytes_of_utf_8_and_sensitive() {
    let built = build(&Request {
        headers: vec![(HeaderName::from_static("x-key"), value("schlüssel \"1\""))],
        ..request()
    });
    let sent = &built.headers()["x-key"];
    assert_eq!(sent.as_bytes(), "schlüssel \"1\"".as_bytes());
    assert!(sent.is_sensitive());
}

#[test]
fn a_header_that_cannot_stand_is_named_and_its_value_is_not() {
    for bad in [
        "canary\r\nx: y",
        "canary\n",
        " canary",
        "canary\t",
        "canary\0",
        "\u{7f}canary",
    ] {
        let error = Request {
            headers: vec![(HeaderName::from_static("x-key"), value(bad))],
            ..request()
        }
        .build(&())
        .unwrap_err();
        assert!(
            matches!(&error, BuildError::Header { name, .. } if name == "x-key"),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    let framing = Request {
        headers: vec![(header::TRANSFER_ENCODING, value("chunked"))],
        ..request()
    };
    assert_eq!(
        framing.build(&()).unwrap_err(),
        BuildError::Reserved(header::TRANSFER_ENCODING)
    );
}

#[test]
fn what_every_request_says_gives_way_to_what_is_written() {
    let built = build(&request());
    assert_eq!(header(&built, "accept"), "application/json");
    assert_eq!(header(&built, "accept-encoding"), "identity");
    assert_eq!(
        header(&built, "user-agent"),
        concat!("bearerd/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(header(&built, "content-length"), "0");
    let built = build(&Request {
        method: Method::GET,
        headers: vec![
            (header::ACCEPT, value("text/plain")),
            (header::USER_AGENT, value("erp")),
            (header::CONTENT_TYPE, value("application/vnd.api+json")),
        ],
        ..request()
    });
    assert_eq!(header(&built, "accept"), "text/plain");
    assert_eq!(header(&built, "user-agent"), "erp");
    assert!(!built.headers().contains_key("content-length"));
    assert_eq!(built.headers().get_all("content-type").iter().count(), 1);
}

#[test]
fn a_url_must_be_http_and_its_fault_tells_no_part_of_it() {
    for bad in [
        "ftp://canary.example/",
        "/canary",
        "https://",
        "https://user:canary@id.example/",
        "https://canary id.example/",
        "https://id.example/canary\n",
        "",
    ] {
        let error = Request {
            url: Template::written(bad),
            ..request()
        }
        .build(&())
        .unwrap_err();
        assert!(matches!(error, BuildError::Url(_)), "{bad:?}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    let built = build(&Request {
        url: Template::written("https://id.example/übergabe"),
        ..request()
    });
    assert_eq!(built.uri().path(), "/%C3%BCbergabe");
}

#[test]
fn a_missing_reference_is_named() {
    let url = Template::new(vec![
        Part::Written("https://id.example/link/".into()),
        Part::Reference(Scope::Ask, "code".into()),
    ]);
    let request = Request { url, ..request() };
    assert_eq!(
        request.build(&()).unwrap_err().to_string(),
        "nothing answers ${ask:code}"
    );
    let built = request.build(&|_: Scope, _: &str| Some("../a b".to_owned())).unwrap();
    assert_eq!(built.uri().path(), "/link/..%2Fa%20b");
}

#[test]
fn law_9_debug_shows_no_value() {
    let request = Request {
        url: value("canary"),
        query: fields(&[("q", "canary")]),
        headers: vec![(HeaderName::from_static("x-key"), Template::written("canary"))],
        basic: basic("canary", "canary", false),
        body: Body::Json(Json::Array(vec![
            Json::Text(value("canary")),
            Json::Plain(json!(4711)),
            Json::Object(vec![("name".into(), Json::Plain(json!("canary")))]),
        ])),
        ..request()
    };
    let shown = format!("{request:?}");
    assert!(!shown.contains("canary") && !shown.contains("4711"), "{shown}");
    assert!(shown.contains("x-key") && shown.contains("name"), "{shown}");
}

struct Held;

impl Values for Held {
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, str>> {
        (scope == Scope::Token && name == "refresh").then_some(Cow::Borrowed("re/fresh+1"))
    }
}

#[test]
fn law_9_secrets_of_the_request_are_masked_in_every_spelling() {
    let refresh = Template::new(vec![Part::Reference(Scope::Token, "refresh".into())]);
    let request = Request {
        query: vec![
            ("refresh_token".into(), refresh),
            ("grant_type".into(), value("refresh_token")),
        ],
        basic: basic("client", "pa ss&ü", true),
        body: Body::Form(vec![("client_secret".into(), Template::written("written-secret"))]),
        ..request()
    };
    let secrets = request.secrets(&Held).unwrap();
    let built = request.build(&Held).unwrap();
    let echo = format!(
        "{} {} {} re/fresh+1 re%2ffresh%2b1 pa ss&ü {} {}",
        built.uri().query().unwrap(),
        std::str::from_utf8(built.body()).unwrap(),
        header(&built, "authorization"),
        STANDARD.encode("re/fresh+1"),
        STANDARD.encode("client:pa ss&ü"),
    );
    let scrubbed = secrets.scrub(&echo);
    for secret in [
        "fresh%2",
        "re/fresh",
        "written-secret",
        "pa ss",
        "pa+ss",
        &STANDARD.encode("client:pa")[..12],
    ] {
        assert!(!scrubbed.contains(secret), "{secret} in {scrubbed}");
    }
    assert!(scrubbed.contains("grant_type=refresh_token"), "{scrubbed}");
    assert!(!format!("{secrets:?}").contains("fresh"));
}

proptest! {
    #[test]
    fn any_text_reaches_query_form_and_json_exactly(text in any::<String>()) {
        let built = build(&Request {
            query: fields(&[("q", &text)]),
            body: Body::Form(fields(&[("f", &text)])),
            ..request()
        });
        prop_assert_eq!(&decoded(built.uri().query().unwrap().as_bytes())[0].1, &text);
        prop_assert_eq!(&decoded(built.body())[0].1, &text);
        let built = build(&Request { body: Body::Json(Json::Text(value(&text))), ..request() });
        prop_assert_eq!(serde_json::from_slice::<String>(built.body()).unwrap(), text);
    }

    #[test]
    fn a_header_carries_any_text_exactly_or_refuses_it(text in any::<String>()) {
        let request = Request { headers: vec![(HeaderName::from_static("x-key"), value(&text))], ..request() };
        if let Ok(built) = request.build(&()) {
            prop_assert_eq!(built.headers()["x-key"].as_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn law_9_no_text_that_repeats_a_secret_keeps_it(secret in "[a-zA-Z0-9+/=&%. ]{4,20}", around in "[a-z ]{0,9}") {
        let mut secrets = Secrets::default();
        secrets.add(&secret);
        prop_assume!(!secret.contains('*'));
        let said = format!("{around}{secret}{around}");
        prop_assert!(!secrets.scrub(&said).contains(&secret));
    }
}
