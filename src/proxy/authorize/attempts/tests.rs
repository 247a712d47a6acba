use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::{Method, Request, header::AUTHORIZATION};
use http_body_util::BodyExt;
use tower::service_fn;

use super::*;
use crate::{
    clock::Clock,
    credential::{placement::Injection, token::Position},
    proxy::{
        Exchange,
        authorize::{form, kept},
        fixtures,
    },
};

fn token(generation: u64) -> Arc<Ready> {
    let injection = fixtures::bearer(&format!("t{generation}"));
    Arc::new(Ready::new(injection, Position { chain: 1, generation }, None))
}

/// Holds token 1 at first; each renewal answers as the script says, and is written down.
#[derive(Default)]
struct Script {
    renewals: Mutex<Vec<Result<Option<Arc<Ready>>, TokenError>>>,
    rejected: Mutex<Vec<u64>>,
}

impl Script {
    fn renewing(renewals: impl IntoIterator<Item = Result<Option<Arc<Ready>>, TokenError>>) -> Self {
        let mut renewals: Vec<_> = renewals.into_iter().collect();
        renewals.reverse();
        Self {
            renewals: renewals.into(),
            ..Self::default()
        }
    }

    fn rejected(&self) -> Vec<u64> {
        self.rejected.lock().unwrap().clone()
    }
}

impl Tokens for Script {
    fn at_once(&self) -> Option<Arc<Ready>> {
        None
    }

    async fn token(&self, _: Duration) -> Result<Arc<Ready>, TokenError> {
        Ok(token(1))
    }

    async fn renewed(&self, rejected: &Ready, _: Duration) -> Result<Option<Arc<Ready>>, TokenError> {
        self.rejected.lock().unwrap().push(rejected.position.generation);
        self.renewals.lock().unwrap().pop().unwrap_or(Ok(None))
    }

    fn rejected_again(&self, ready: &Ready) {
        self.rejected.lock().unwrap().push(ready.position.generation);
    }

    fn accepted(&self, _: &Ready) {}
}

struct Outcome {
    answer: Result<Response<Body>, ProxyError>,
    /// The token and the body of each attempt.
    attempts: Vec<(String, String)>,
    replays: usize,
}

impl Outcome {
    fn mark(&self) -> Option<&str> {
        let mark = self.answer.as_ref().unwrap().headers().get(REPLAYED_HEADER);
        mark.map(|mark| mark.to_str().unwrap())
    }

    fn status(&self) -> u16 {
        self.answer.as_ref().unwrap().status().as_u16()
    }
}

/// Sends a request to an upstream that takes only these tokens and answers all others with `refusal`.
async fn outcome(script: &Script, good: &[&str], refusal: u16, method: Method, body: Body) -> Outcome {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let good: Vec<String> = good.iter().map(|token| format!("Bearer {token}")).collect();
    let seen = attempts.clone();
    let mut upstream = service_fn(move |Outbound { request, .. }: Outbound| -> Answer {
        let (seen, good) = (seen.clone(), good.clone());
        Box::pin(async move {
            let sent = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
            let text = request.into_body().collect().await.unwrap().to_bytes();
            let is_good = good.contains(&sent);
            seen.lock()
                .unwrap()
                .push((sent, String::from_utf8(text.to_vec()).unwrap()));
            let status = if is_good { 200 } else { refusal };
            Ok(Response::builder().status(status).body(Body::default()).unwrap())
        })
    });
    let replays = AtomicUsize::new(0);
    let plan = Attempts {
        target: &Arc::new(fixtures::target()),
        patience: Duration::from_secs(5),
        signs: &[Rejection {
            status: 419,
            field: None,
        }],
        rewrites_forms: false,
        meter: Meter {
            clock: &Clock::manual(),
            exchange: &Exchange::default(),
        },
        on_replay: || {
            replays.fetch_add(1, Ordering::Relaxed);
        },
    };
    let (parts, body) = Request::builder()
        .method(method)
        .uri("https://api.example/")
        .body(body)
        .unwrap()
        .into_parts();
    let answer = plan.run(&mut upstream, Box::new(parts), body, script).await;
    drop(upstream);
    let attempts = attempts.lock().unwrap().clone();
    Outcome {
        answer,
        attempts,
        replays: replays.into_inner(),
    }
}

fn pairs(attempts: &[(String, String)]) -> Vec<(&str, &str)> {
    attempts.iter().map(|(token, body)| (&**token, &**body)).collect()
}

#[tokio::test]
async fn a_good_token_is_sent_once() {
    let script = Script::default();
    let outcome = outcome(&script, &["t1"], 401, Method::POST, fixtures::body("x")).await;
    assert_eq!((outcome.status(), outcome.mark(), outcome.replays), (200, None, 0));
    assert!(script.rejected().is_empty());
}

#[tokio::test]
async fn law_6_a_rejected_token_is_renewed_and_the_request_is_sent_once_more() {
    let script = Script::renewing([Ok(Some(token(2)))]);
    let outcome = outcome(&script, &["t2"], 401, Method::POST, fixtures::body("x")).await;
    assert_eq!((outcome.status(), outcome.mark(), outcome.replays), (200, Some("1"), 1));
    assert_eq!(pairs(&outcome.attempts), [("Bearer t1", "x"), ("Bearer t2", "x")]);
    assert_eq!(script.rejected(), [1], "the generation that was sent is rejected");
}

#[tokio::test]
async fn law_6_a_second_rejection_passes_through_and_is_told() {
    let script = Script::renewing([Ok(Some(token(2)))]);
    let outcome = outcome(&script, &[], 401, Method::GET, Body::default()).await;
    assert_eq!((outcome.status(), outcome.mark()), (401, Some("1")));
    assert_eq!(outcome.attempts.len(), 2);
    assert_eq!(script.rejected(), [1, 2]);
}

#[tokio::test]
async fn law_6_without_a_later_token_the_401_passes_through() {
    let script = Script::renewing([Ok(None)]);
    let outcome = outcome(&script, &[], 401, Method::GET, Body::default()).await;
    assert_eq!(
        (outcome.status(), outcome.mark(), outcome.replays),
        (401, Some("no"), 0)
    );
    assert_eq!(outcome.attempts.len(), 1);
}

#[tokio::test]
async fn a_renewal_that_fails_says_what_to_do() {
    let lost = || TokenError::LoginRequired {
        detail: "run `bearerd login x`".into(),
        retry_after: None,
    };
    let script = Script::renewing([Err(lost())]);
    let small = outcome(&script, &[], 401, Method::GET, Body::default()).await;
    assert_eq!(small.answer.unwrap_err(), ProxyError::Token(lost()));

    let script = Script::renewing([Err(lost())]);
    let large = fixtures::body(vec![b'x'; kept::LIMIT + 1]);
    let large = outcome(&script, &[], 401, Method::PUT, large).await;
    assert_eq!(
        (large.status(), large.mark()),
        (401, Some("no")),
        "it could not have gone through anyway"
    );
}

#[tokio::test]
async fn a_body_that_was_not_held_is_not_sent_again_but_the_token_is_renewed() {
    let script = Script::renewing([Ok(Some(token(2)))]);
    let large = fixtures::body(vec![b'x'; kept::LIMIT + 1]);
    let outcome = outcome(&script, &["t2"], 401, Method::PUT, large).await;
    assert_eq!(
        (outcome.status(), outcome.mark(), outcome.replays),
        (401, Some("no"), 0)
    );
    assert_eq!(outcome.attempts[0].1.len(), kept::LIMIT + 1, "and it arrived whole");
    assert_eq!(script.rejected(), [1]);
}

#[tokio::test]
async fn an_early_401_reads_the_body_on_and_sends_it_whole() {
    let (sender, body) = fixtures::streamed();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let attempts = seen.clone();
    let rest = Mutex::new(Some(sender));
    let mut upstream = service_fn(move |Outbound { request, .. }: Outbound| -> Answer {
        let (attempts, sender) = (attempts.clone(), rest.lock().unwrap().take());
        Box::pin(async move {
            let Some(sender) = sender else {
                let whole = request.into_body().collect().await.unwrap().to_bytes();
                attempts.lock().unwrap().push(whole);
                return Ok(Response::new(Body::default()));
            };
            // Refused on sight: the body is dropped unread, and the caller goes on sending.
            drop(request);
            sender.send(Ok("a".into())).unwrap();
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                sender.send(Ok("b".into())).unwrap();
            });
            Ok(Response::builder().status(401).body(Body::default()).unwrap())
        })
    });
    let plan = Attempts {
        target: &Arc::new(fixtures::target()),
        patience: Duration::from_secs(5),
        signs: &[],
        rewrites_forms: false,
        meter: Meter {
            clock: &Clock::manual(),
            exchange: &Exchange::default(),
        },
        on_replay: || (),
    };
    let (parts, body) = Request::post("https://api.example/").body(body).unwrap().into_parts();
    let script = Script::renewing([Ok(Some(token(2)))]);
    let answer = plan.run(&mut upstream, Box::new(parts), body, &script).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(*seen.lock().unwrap(), ["ab"]);
}

#[tokio::test]
async fn other_signs_replay_only_what_may_be_done_twice() {
    for (method, attempts, mark) in [(Method::PUT, 2, "1"), (Method::POST, 1, "no")] {
        let script = Script::renewing([Ok(Some(token(2)))]);
        let outcome = outcome(&script, &["t2"], 419, method, fixtures::body("x")).await;
        assert_eq!((outcome.attempts.len(), outcome.mark()), (attempts, Some(mark)));
        assert_eq!(script.rejected(), [1]);
    }
}

#[tokio::test]
async fn a_403_is_nobodys_rejection() {
    let script = Script::default();
    let outcome = outcome(&script, &[], 403, Method::GET, Body::default()).await;
    assert_eq!((outcome.status(), outcome.mark()), (403, None));
    assert!(script.rejected().is_empty());
}

fn form_injection() -> Injection {
    Injection::Form {
        name: "api_key".into(),
        pair: Arc::new("api_key=t".into()),
    }
}

async fn with_form(method: Method, headers: &[(&'static str, &str)], text: &'static str) -> Result<String, ProxyError> {
    let mut request = Request::builder()
        .method(method)
        .uri("https://api.example/p?api_key=caller&x=1")
        .body(())
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (parts, ()) = request.into_parts();
    let (kept, body) = Kept::new(&parts, fixtures::body(text), true).await?;
    let (_, request) = Again::first(parts, kept, body, Some(&form_injection()))?;
    let length = request.headers().get("content-length").cloned();
    let uri = request.uri().clone();
    let text = request.into_body().collect().await.unwrap().to_bytes();
    if let Some(length) = length {
        assert_eq!(length, text.len().to_string());
    }
    Ok(format!(
        "{} {}",
        uri.path_and_query().unwrap(),
        std::str::from_utf8(&text).unwrap()
    ))
}

#[tokio::test]
async fn law_8_a_form_carries_our_field_only() {
    let form = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    assert_eq!(
        with_form(
            Method::POST,
            &[form, ("content-length", "24")],
            "a=1&api%5Fkey=caller&b=2"
        )
        .await
        .unwrap(),
        "/p?x=1 a=1&b=2&api_key=t"
    );
    assert_eq!(with_form(Method::POST, &[form], "").await.unwrap(), "/p?x=1 api_key=t");
    for (method, headers) in [
        (Method::GET, &[("content-type", "application/json")][..]),
        (Method::POST, &[("content-type", "application/json")]),
        (Method::POST, &[]),
    ] {
        assert_eq!(with_form(method, headers, "a=1").await.unwrap(), "/p?x=1&api_key=t a=1");
    }
    assert_eq!(with_form(Method::GET, &[form], "").await.unwrap(), "/p?x=1&api_key=t ");
}

#[tokio::test]
async fn a_form_that_can_not_be_rewritten_is_refused() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    for odd in ["content-encoding", "content-digest", "digest", "content-md5"] {
        let refused = with_form(Method::POST, &[form, (odd, "x")], "a=1").await;
        assert!(matches!(refused, Err(ProxyError::BadRequest(_))), "{odd}");
    }
    // Which of its two places is read, nobody knows.
    let refused = with_form(Method::GET, &[form], "a=1").await;
    assert!(matches!(refused, Err(ProxyError::BadRequest(_))));
    let text: &'static str = "a".repeat(form::LIMIT + 1).leak();
    let refused = with_form(Method::POST, &[form], text).await;
    assert_eq!(refused, Err(ProxyError::BodyTooLarge { limit: form::LIMIT }));
}

#[tokio::test]
async fn a_replay_over_real_connections_sends_what_both_of_them_read() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, body) = fixtures::streamed();
    let rest = Arc::new(Mutex::new(Some(sender)));
    let answer = move |request: Request<hyper::body::Incoming>| {
        let rest = rest.clone();
        async move {
            if request.headers()[AUTHORIZATION] == "Bearer t1" {
                // The head is enough for a refusal; only then does the caller go on.
                let sender = rest.lock().unwrap().take().unwrap();
                sender.send(Ok("b".into())).unwrap();
                return Response::builder().status(401).body(Body::default());
            }
            Response::builder().body(request.into_body().map_err(Into::into).boxed_unsync())
        }
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer.clone());
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
        }
    });
    let (parts, ()) = Request::post("/").body(()).unwrap().into_parts();
    let plan = Attempts {
        target: &Arc::new(fixtures::target_at(http::uri::Scheme::HTTP, &address.to_string(), "")),
        patience: Duration::from_secs(3600),
        signs: &[],
        rewrites_forms: false,
        meter: Meter {
            clock: &Clock::manual(),
            exchange: &Exchange::default(),
        },
        on_replay: || (),
    };
    let script = Script::renewing([Ok(Some(token(2)))]);
    let answer = plan
        .run(&mut crate::proxy::forward::Forward, Box::new(parts), body, &script)
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "b");
}
