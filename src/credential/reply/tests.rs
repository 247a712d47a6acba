//! Answers of all shapes, and what they mean. The answers of vendors are in `vendors`, lifetimes in `lifetimes`,
//! and what must hold for any answer in `always`.

mod always;
mod lifetimes;
mod vendors;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::ExposeSecret;

use super::*;
use crate::{clock::Now, credential::grant::Secrets};

const NOW: Now = Now {
    wall: 1_750_000_000_000,
    boot: 1_000_000,
    boot_id: 1,
};

fn list(pointers: &[&str]) -> Vec<String> {
    pointers.iter().map(|pointer| (*pointer).to_owned()).collect()
}

fn rules() -> ReplyRules {
    ReplyRules {
        ok: Vec::new(),
        access_token: list(&["/access_token", "/accessToken", "/token", "/data/token"]),
        refresh_token: list(&["/refresh_token", "/refreshToken"]),
        expires_in: list(&["/expires_in", "/expiresIn"]),
        expires_at: list(&["/expires_at", "/expiresAt"]),
        refresh_expires_in: list(&["/refresh_expires_in"]),
        unit: Unit::Seconds,
    }
}

fn errors() -> ErrorRules {
    ErrorRules {
        code: list(&[
            "/error",
            "/errors/0/message/error",
            "/errors/0/code",
            "/error/code",
            "/code",
        ]),
        text: list(&[
            "/error_description",
            "/error_descrption",
            "/errors/0/message/error_description",
            "/errors/0/message",
            "/error/message",
            "/message",
        ]),
        dead: vec![Sign::Code("invalid_grant".into())],
        subject: Vec::new(),
        login: Vec::new(),
        unspent: Vec::new(),
        hints: vec![("invalid_client".into(), "check client_id and client_secret".into())],
    }
}

fn status(status: u16) -> Sign {
    Sign::Status { status, field: None }
}

/// An answer under test.
#[derive(Clone)]
struct Case {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    cut: bool,
    purpose: Purpose,
    rules: ReplyRules,
    errors: ErrorRules,
    secrets: Secrets,
}

/// An answer to a refresh.
fn case(status: u16, body: impl AsRef<[u8]>) -> Case {
    Case {
        status,
        headers: HeaderMap::new(),
        body: body.as_ref().to_vec(),
        cut: false,
        purpose: Purpose::Refresh,
        rules: rules(),
        errors: errors(),
        secrets: Secrets::default(),
    }
}

impl Case {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    fn to(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn outcome(&self) -> Outcome {
        let answer = Answer {
            status: StatusCode::from_u16(self.status).unwrap(),
            headers: &self.headers,
            body: &self.body,
            cut: self.cut,
        };
        read(&answer, self.purpose, &self.rules, &self.errors, &self.secrets, NOW)
    }

    #[track_caller]
    fn tokens(&self) -> Tokens {
        match self.outcome() {
            Outcome::Granted(tokens) => tokens,
            other => panic!("no tokens but {other:?}"),
        }
    }

    #[track_caller]
    fn refusal(&self) -> Refusal {
        match self.outcome() {
            Outcome::Refused(refusal) => refusal,
            other => panic!("no refusal but {other:?}"),
        }
    }

    #[track_caller]
    fn about(&self) -> About {
        self.refusal().about
    }
}

fn text(token: Option<&secrecy::SecretString>) -> Option<&str> {
    token.map(|token| token.expose_secret())
}

#[test]
fn law_5_the_refresh_token_is_kept_whatever_else_is_wrong() {
    for (status, body) in [
        (200, r#"{"access_token":"a","refresh_token":"r"}"#),
        (201, r#"{"access_token":"a","refresh_token":"r","expires_in":"soon"}"#),
        (
            203,
            "\u{FEFF}{\"token\":\"a\",\"refreshToken\":\"r\",\"expires_in\":-1}",
        ),
        (200, r#"{"access_token":null,"refresh_token":"r"}"#),
        (200, r#"{"access_token":"","refresh_token":"r","error":"server_busy"}"#),
        (200, r#"{"access_token":{"odd":[]},"refresh_token":"r","token_type":7}"#),
        (
            200,
            "Warning: deprecated in token.php\n{\"access_token\":\"a\",\"refresh_token\":\"r\"}",
        ),
        (
            200,
            "{\"access_token\":\"a\",\"refresh_token\":\"r\"}\n<!-- served by 3 -->",
        ),
    ] {
        let tokens = case(status, body).tokens();
        assert_eq!(text(tokens.refresh.as_ref()), Some("r"), "{body}");
        assert_eq!(tokens.obtained, NOW.wall);
    }
    let latin_1 = b"{\"note\":\"gr\xfc\xdfe\",\"refresh_token\":\"r\"}";
    assert!(case(200, latin_1).tokens().refresh.is_some());
}

#[test]
fn law_5_almost_json_is_mended_for_the_refresh_token() {
    for odd in [
        r#""expires_in":1e999"#,
        r#""expires_in":NaN"#,
        r#""expires_in":-Infinity"#,
        r#""expires_in":0012345"#,
        r#""expires_in":undefined"#,
        r#""name":"cut \ud83d""#,
        r#""name":"\udc00 low first \ud83d\u0041""#,
        r#""name":"whole \ud83d\ude00 and \u00e9 and \\ and \"""#,
        r#""path":"C:\windows\u12""#,
        "\"note\":\"two\nlines\tand \u{1}\"",
        r#""list":[1,2,],"map":{"a":1,}"#,
    ] {
        let body = format!(r#"{{{odd},"access_token":"a\/\u0062","refresh_token":"r\\\"é\ud83d\ude00",}}"#);
        let tokens = case(200, &body).tokens();
        assert_eq!(text(tokens.refresh.as_ref()), Some("r\\\"é😀"), "{body}");
        assert_eq!(text(tokens.access.as_ref()), Some("a/b"), "{body}");
    }
    let huge = case(200, r#"{"access_token":"a","expires_in":1e999}"#).tokens();
    assert_eq!(
        huge.expires.unwrap().remaining(NOW),
        Duration::from_secs(10 * 365 * 24 * 3600)
    );
    for broken in [
        r#"{"refresh_token":"r"#,
        r#"{"refresh_token":"r\"#,
        r#"{"refresh_token":"r\u00"#,
        r#"{"refresh_token":"r","#,
    ] {
        assert_eq!(case(200, broken).outcome(), Outcome::Lost(Lost::NoToken), "{broken}");
    }
}

#[test]
fn a_cut_answer_is_read_where_its_json_is_whole() {
    let cut = |body: &str| case(200, body).with(|case| case.cut = true).outcome();
    assert!(matches!(
        cut(r#"{"access_token":"a","refresh_token":"r"}"#),
        Outcome::Granted(_)
    ));
    assert_eq!(
        cut(r#"{"access_token":"a","refresh_token":"r""#),
        Outcome::Lost(Lost::CutShort)
    );
    assert_eq!(cut(r#"{"error":"invalid_grant"}"#), Outcome::Lost(Lost::CutShort));
    assert_eq!(cut(""), Outcome::Lost(Lost::CutShort));
    assert_eq!(cut(&" ".repeat(REPLY_LIMIT)), Outcome::Lost(Lost::OverLong));
    let refused = case(400, r#"{"error":"invalid_gr"#).with(|case| case.cut = true);
    assert_eq!(
        refused.about(),
        About::Request,
        "the status is definite, the code is not"
    );
}

#[test]
fn tokens_are_text_or_numbers_and_never_trimmed() {
    let tokens = case(200, r#"{"access_token":12345678901234,"refresh_token":" r "}"#).tokens();
    assert_eq!(text(tokens.access.as_ref()), Some("12345678901234"));
    assert_eq!(text(tokens.refresh.as_ref()), Some(" r "));
    let tokens = case(200, r#"{"access_token":true,"token":"t","data":{"token":"d"}}"#).tokens();
    assert_eq!(
        text(tokens.access.as_ref()),
        Some("t"),
        "the first pointer that yields text"
    );
    let blank = case(200, r#"{"access_token":"  ","refresh_token":""}"#).outcome();
    assert_eq!(blank, Outcome::Lost(Lost::NoToken));
}

#[test]
fn a_success_without_a_token_is_lost_unless_it_is_a_step() {
    for body in [
        "",
        "OK",
        "{}",
        "<html>",
        r#"{"message":"welcome"}"#,
        r#"{"code":0}"#,
        r#"{"code":"200"}"#,
    ] {
        assert_eq!(case(200, body).outcome(), Outcome::Lost(Lost::NoToken), "{body}");
        assert_eq!(case(204, body).to(Purpose::Step).outcome(), Outcome::Done, "{body}");
    }
    let step = case(200, r#"{"refresh_token":"r"}"#).to(Purpose::Step);
    assert!(step.tokens().refresh.is_some());
}

#[test]
fn an_error_in_a_success_is_a_refusal() {
    assert_eq!(case(200, r#"{"error":"invalid_grant"}"#).about(), About::RefreshToken);
    assert_eq!(
        case(200, r#"{"error":{"code":17}}"#).refusal().code.as_deref(),
        Some("17")
    );
    assert_eq!(case(200, r#"{"error":true}"#).to(Purpose::Step).about(), About::Request);
}

#[test]
fn named_statuses_count_as_success_and_others_of_a_step_as_refusal() {
    let named = |status, purpose| {
        case(status, "")
            .to(purpose)
            .with(|case| case.rules.ok = vec![201, 302])
            .outcome()
    };
    assert_eq!(named(201, Purpose::Step), Outcome::Done);
    assert_eq!(named(302, Purpose::Step), Outcome::Done);
    assert!(matches!(named(200, Purpose::Step), Outcome::Refused(_)));
    assert_eq!(named(200, Purpose::Refresh), Outcome::Lost(Lost::NoToken));
    let unnamed = case(200, r#"{"refresh_token":"r"}"#).with(|case| case.rules.ok = vec![201]);
    assert!(unnamed.tokens().refresh.is_some(), "law 5");
}

#[test]
fn a_server_error_is_lost_unless_a_preset_says_otherwise() {
    let lost = case(503, r#"{"error":"invalid_grant"}"#).header("retry-after", "5");
    assert_eq!(lost.outcome(), Outcome::Lost(Lost::ServerError(503)));
    let unspent = lost.clone().with(|case| case.errors.unspent = vec![503]);
    assert_eq!(unspent.about(), About::Rate);
    let other = case(500, "").with(|case| case.errors.unspent = vec![500]);
    assert_eq!(other.about(), About::Request);
    let named = case(500, "").with(|case| case.errors.dead.push(status(500)));
    assert_eq!(named.about(), About::RefreshToken);
}

#[test]
fn a_refused_refresh_is_about_its_token_only_where_a_sign_says_so() {
    assert_eq!(case(400, r#"{"error":"invalid_grant"}"#).about(), About::RefreshToken);
    assert_eq!(case(401, r#"{"error":"invalid_client"}"#).about(), About::Client);
    assert_eq!(case(401, "").about(), About::Request);
    assert_eq!(case(400, r#"{"error":"invalid_request"}"#).about(), About::Request);
    assert_eq!(case(403, "").about(), About::Request);
    assert_eq!(case(429, r#"{"error":"invalid_grant"}"#).about(), About::Rate);

    let by_status = |body: &str| case(401, body).with(|case| case.errors.dead = vec![status(401)]);
    assert_eq!(by_status("").about(), About::RefreshToken);
    assert_eq!(by_status(r#"{"error":"invalid_client"}"#).about(), About::Client);
    let by_field = |body: &str| {
        case(400, body).with(|case| {
            case.errors.dead = vec![Sign::Status {
                status: 400,
                field: Some(("/reason".into(), "42".into())),
            }];
        })
    };
    assert_eq!(by_field(r#"{"reason":42}"#).about(), About::RefreshToken);
    assert_eq!(by_field(r#"{"reason":"42"}"#).about(), About::RefreshToken);
    assert_eq!(by_field(r#"{"reason":43}"#).about(), About::Request);
    assert_eq!(by_field("").about(), About::Request);
}

#[test]
fn a_refused_sign_in_is_about_its_login_its_subject_or_its_client() {
    let sign_in = |status, body: &str| case(status, body).to(Purpose::SignIn);
    assert_eq!(sign_in(400, r#"{"error":"invalid_grant"}"#).about(), About::Login);
    assert_eq!(sign_in(401, "").about(), About::Login);
    assert_eq!(sign_in(401, r#"{"error":"invalid_client"}"#).about(), About::Client);
    assert_eq!(sign_in(403, "").about(), About::Request);
    assert_eq!(sign_in(429, "").about(), About::Rate);
    let subject = sign_in(401, "").with(|case| case.errors.subject = vec![status(401)]);
    assert_eq!(subject.about(), About::Subject);
    let login = sign_in(400, r#"{"error":"E17"}"#).with(|case| case.errors.login = vec![Sign::Code("E17".into())]);
    assert_eq!(login.about(), About::Login);
}

#[test]
fn a_redirect_is_refused_and_its_query_is_not_told() {
    let refusal = case(302, "<html>")
        .header("location", "https://u:canary@login.example/sso?password=canary")
        .refusal();
    assert_eq!(refusal.about, About::Request);
    let text = refusal.text.unwrap();
    assert!(text.contains("https://login.example/sso;"), "{text}");
    assert!(!text.contains("canary"));
    assert!(case(308, "").refusal().text.unwrap().contains("never followed"));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let waits = |value: &str| case(429, "").header("retry-after", value).refusal().retry_after;
    assert_eq!(waits("120"), Some(Duration::from_secs(120)));
    assert_eq!(waits("Sun, 15 Jun 2025 15:07:40 GMT"), Some(Duration::from_secs(60)));
    assert_eq!(waits("99999999999"), Some(Duration::from_secs(24 * 3600)));
    for nothing in ["", "soon", "-5", "0", "Sun, 15 Jun 2025 15:00:00 GMT"] {
        assert_eq!(waits(nothing), None, "{nothing}");
    }
}

#[test]
fn law_9_a_vendors_words_never_repeat_the_requests_secrets() {
    let refusal = case(
        400,
        r#"{"error":"canary","message":"bad password canary%21 for canary!"}"#,
    )
    .with(|case| {
        case.secrets.add("canary");
        case.secrets.add("canary!");
    })
    .refusal();
    assert!(!format!("{refusal:?}").contains("canary"), "{refusal:?}");
    let long = format!(r#"{{"message":"{} canary-of-eight"}}"#, "x".repeat(193));
    let refusal = case(400, long)
        .with(|case| case.secrets.add("canary-of-eight"))
        .refusal();
    assert!(
        !refusal.text.unwrap().contains("canary"),
        "a secret that is cut at the end"
    );
}
