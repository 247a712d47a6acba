use super::*;
use crate::proxy::fixtures::body;

const PATIENCE: Duration = Duration::from_secs(5);

fn sign(status: u16, field: Option<(&str, &str)>) -> Rejection {
    Rejection {
        status,
        field: field.map(|(pointer, text)| (pointer.into(), text.into())),
    }
}

fn answer(status: u16, content: &str, text: impl Into<bytes::Bytes>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content)
        .body(body(text))
        .unwrap()
}

async fn verdict(answer: Response<Body>, signs: &[Rejection]) -> Verdict {
    judge(answer, signs, PATIENCE).await.1
}

#[tokio::test]
async fn a_401_is_a_rejection_unless_the_credential_says_which_401s_are() {
    let json = "application/json";
    assert_eq!(verdict(answer(401, json, ""), &[]).await, Verdict::Unauthorized);
    assert_eq!(
        verdict(answer(401, json, ""), &[sign(419, None)]).await,
        Verdict::Unauthorized
    );
    assert_eq!(
        verdict(answer(419, json, ""), &[sign(419, None)]).await,
        Verdict::Rejected
    );
    assert_eq!(
        verdict(answer(403, json, ""), &[]).await,
        Verdict::Silent,
        "a 403 never renews"
    );
    let expired = [sign(401, Some(("/code", "expired")))];
    assert_eq!(
        verdict(answer(401, json, r#"{"code":"expired"}"#), &expired).await,
        Verdict::Unauthorized
    );
    assert_eq!(
        verdict(answer(401, json, r#"{"code":"locked"}"#), &expired).await,
        Verdict::Silent
    );
}

#[tokio::test]
async fn a_sign_in_a_body_is_looked_for_in_small_json_and_the_body_stays_whole() {
    let signs = [sign(200, Some(("/error/code", "17")))];
    let text = r#"{"error":{"code":17}}"#;
    for content in ["application/json", "Application/Problem+JSON; charset=utf-8"] {
        let (response, verdict) = judge(answer(200, content, text), &signs, PATIENCE).await;
        assert_eq!(verdict, Verdict::Rejected, "{content}");
        assert_eq!(response.body().size_hint().exact(), Some(text.len() as u64));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text);
    }
    assert_eq!(verdict(answer(200, "text/html", text), &signs).await, Verdict::Silent);

    let large = format!("{}{text}", " ".repeat(LIMIT));
    let (response, verdict) = judge(answer(200, "application/json", large.clone()), &signs, PATIENCE).await;
    assert_eq!(verdict, Verdict::Silent);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), large);
}
