//! What callers may write as their subject, and what becomes of it.

use http::StatusCode;

use crate::world::{Answer, World};

const USER: &str = "x-flow-user-token";

fn missing(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    assert_eq!(answer.code.as_deref(), Some("subject_missing"), "{answer:?}");
}

#[tokio::test]
async fn a_missing_or_repeated_part_is_refused_before_anything_is_asked() {
    let world = World::new().await;
    let caller = world.caller();
    let target = "/one/v2/tenants/t/echo";
    missing(&caller.send(target, &[]).await);
    missing(&caller.send(target, &[(USER, b"")]).await);
    missing(&caller.send(target, &[(USER, b"a"), (USER, b"b")]).await);
    missing(&caller.send(target, &[(USER, b"a"), (USER, b"a")]).await);
    missing(&caller.send(target, &[(USER, b"\xff\xfe")]).await);
    let in_a_header = "/header/v2/tenants/t/echo";
    missing(&caller.send(in_a_header, &[(USER, b"a")]).await);
    let twice: [(_, &[u8]); 3] = [(USER, b"a"), ("x-tenant", b"t"), ("x-tenant", b"u")];
    missing(&caller.send(in_a_header, &twice).await);
    assert_eq!((world.one.all_exchanges(), world.one.calls()), (0, 0));
}

/// Of a value that walks or steers, nothing may reach a URL as it is; and whatever is served is served as its own.
#[tokio::test]
async fn what_steers_urls_is_encoded_or_refused() {
    let world = World::new().await;
    let caller = world.caller();
    let mut served = 0;
    for tenant in [
        "a/b",
        "a/../b",
        "/",
        "?",
        "a?b=c",
        "#",
        "a#b",
        "%2e%2e",
        "%2F",
        "..%2f",
        "a b",
        "a;b",
        "a&b=c",
        "@evil",
        ":80",
        "é",
        "租户",
        "{tenantUid}",
        "${header:host}",
        "\\",
        "a\\..\\b",
        "\"",
        "<x>",
        "a~b",
        "'",
        "*",
        "...",
        ".a",
    ] {
        let fields = [(USER, "u".as_bytes()), ("x-tenant", tenant.as_bytes())];
        // The API is asked for the tenant that the path names, so only a token of that very tenant is good there.
        let encoded = percent_encoding::utf8_percent_encode(tenant, percent_encoding::NON_ALPHANUMERIC);
        let target = format!("/header/v2/tenants/{encoded}/echo");
        let answer = caller.send(&target, &fields).await;
        match answer.status {
            StatusCode::OK => assert_eq!(answer.body, format!("one u {tenant}")),
            // The path's own reading refuses some of these; the header's is put to the test below all the same.
            status => assert_eq!(status, StatusCode::BAD_REQUEST, "{tenant}: {answer:?}"),
        }
        served += usize::from(answer.status == StatusCode::OK);
        caller.send("/header/v2/tenants/x/echo", &fields).await;
    }
    assert!(served >= 20, "{served}");
    for walking in [".", ".."] {
        for route in ["/header/v2/tenants/x/echo", "/header/v2/tenants/%2E%2E/echo"] {
            let fields = [(USER, "u".as_bytes()), ("x-tenant", walking.as_bytes())];
            let answer = caller.send(route, &fields).await;
            assert_ne!(answer.status, StatusCode::OK, "{walking}");
        }
    }
    let targets = world.one.targets();
    assert!(targets.len() >= served);
    for target in targets {
        let tenant = target
            .strip_prefix("/v2/tenants/")
            .and_then(|rest| rest.strip_suffix("/account"))
            .unwrap_or_else(|| panic!("{target}"));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~%".contains(c);
        assert!(tenant.chars().all(is_plain), "{target}");
        let read = percent_encoding::percent_decode_str(tenant).decode_utf8().unwrap();
        assert!(!matches!(&*read, "." | ".."), "{target}");
    }
    // The header asked for these, the path for `x`: the vendor saw through each of them.
    for wrong in world.one.wrong() {
        assert!(wrong.ends_with(" at x"), "{wrong}");
    }
}

#[tokio::test]
async fn user_tokens_of_any_bytes_stay_what_they_are() {
    let world = World::new().await;
    let caller = world.caller();
    for user in [
        "a b",
        "a,b",
        "a;b",
        "Bearer x",
        "é",
        "令牌",
        "%41",
        "A",
        "${subject:tenant}",
        "a\tb",
    ] {
        let answer = caller.send("/one/v2/tenants/t/echo", &[(USER, user.as_bytes())]).await;
        assert_eq!(answer.body, format!("one {user} t"));
        assert_eq!(world.one.exchanges(user, "t"), 1);
    }
    assert_eq!(world.one.wrong(), Vec::<String>::new());
}

#[tokio::test]
async fn a_part_that_no_token_is_as_long_as_is_refused() {
    let world = World::new().await;
    let caller = world.caller();
    let user = vec![b'x'; 16 * 1024];
    let answer = caller.send("/one/v2/tenants/t/echo", &[(USER, &user)]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let longer = vec![b'x'; 16 * 1024 + 1];
    let answer = caller.send("/one/v2/tenants/t/echo", &[(USER, &longer)]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.code.as_deref(), Some("bad_request"));
    assert!(!answer.body.contains("xxx"));
    assert_eq!(world.one.all_exchanges(), 1);
}
