//! The page, what it watches, and what it changes.

use std::time::Duration;

use super::*;

/// Everything that the page brought with it, as paths.
const NEW_PATHS: [(&str, &str, &str); 4] = [
    ("GET", "/", ""),
    ("GET", "/events", ""),
    ("GET", "/log", ""),
    ("PUT", "/log", r#"{"level": "debug"}"#),
];

fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let mut request = post(path, body);
    *request.method_mut() = method.parse().unwrap();
    request
}

/// The answer's head, and the events that came within a while, each as its name and its data.
async fn events(admin: &Admin<Fake>, while_they_come: impl AsyncFnOnce()) -> (Response<()>, Vec<(String, Value)>) {
    let Ok(response) = admin.clone().oneshot(get("/events")).await;
    let (head, mut body) = response.into_parts();
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        while let Some(Ok(frame)) = body.frame().await {
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            if text.contains("event: end") {
                break;
            }
        }
        text
    });
    while_they_come().await;
    let text = reading.await.unwrap();
    let blocks = text.split_terminator("\n\n");
    let events = blocks.filter_map(|block| {
        let (name, data) = block.strip_prefix("event: ")?.split_once("\ndata: ")?;
        Some((name.to_owned(), serde_json::from_str(data).unwrap()))
    });
    let events = events.collect();
    assert!(text.starts_with("retry: "), "{text}");
    (Response::from_parts(head, ()), events)
}

#[tokio::test]
async fn the_page_comes_with_a_policy_that_lets_nothing_else_in() {
    let (head, body) = ask(Admin::new(Fake::new(Ready::Ready)), get("/")).await;
    assert_eq!(head.status(), 200);
    let header = |name: &str| head.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(
        (
            &*header("cache-control"),
            &*header("x-frame-options"),
            &*header("x-content-type-options")
        ),
        ("no-store", "DENY", "nosniff")
    );
    let policy = header("content-security-policy");
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    for open in ["unsafe", "*", "http:", "https:"] {
        assert!(!policy.contains(open), "{open}: {policy}");
    }
    assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
    assert!(body.starts_with("<!doctype html>"), "{body}");
    assert!(
        !body.contains("login_required\""),
        "what is true now comes with the events"
    );
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_told_within_a_second_and_a_beat_comes_every_two() {
    let fake = Fake::new(Ready::Ready);
    let (end, ending) = tokio::sync::watch::channel(false);
    let admin = Admin::new(fake.clone()).until(ending);
    let (head, events) = events(&admin, async || {
        tokio::time::sleep(Duration::from_millis(5100)).await;
        *fake.ready.lock().unwrap() = Ready::Degraded;
        tokio::time::sleep(Duration::from_secs(1)).await;
        end.send_replace(true);
    })
    .await;
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    let names: Vec<&str> = events.iter().map(|(name, _)| &**name).collect();
    // At once; after two and four seconds; the change; after six; the end.
    assert_eq!(names, ["status", "beat", "beat", "beat", "status", "beat", "end"]);
    let ready = |nth: usize| events[nth].1["readiness"]["status"].as_str().unwrap();
    assert_eq!((ready(0), ready(4)), ("ready", "degraded"));
    assert_eq!(events[0].1["credentials"][0]["events"][0]["what"], "refused");
    assert_eq!(events[3].1["now"], 1_750_000_009_000_u64);
    let samples = |nth: usize| events[nth].1["samples"].as_array().unwrap().len();
    assert_eq!([1, 2, 3, 5].map(samples), [0, 1, 1, 1], "none is told twice");
}

#[tokio::test(start_paused = true)]
async fn so_many_may_watch_and_no_more_until_one_goes() {
    let admin = Admin::new(Fake::new(Ready::Ready));
    let mut watching = Vec::new();
    for _ in 0..MOST_WATCHERS {
        let Ok(response) = admin.clone().oneshot(get("/events")).await;
        assert_eq!(response.status(), 200);
        watching.push(response);
    }
    let (head, _) = ask(admin.clone(), get("/events")).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["x-bearerd-error"]),
        (503, &"overloaded".parse().unwrap())
    );
    // One that never reads costs nobody anything but its place.
    tokio::time::sleep(Duration::from_secs(60)).await;
    watching.pop();
    let Ok(response) = admin.clone().oneshot(get("/events")).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_at_while_nobody_watches() {
    let fake = Fake::new(Ready::Ready);
    let admin = Admin::new(fake.clone());
    let idle = Arc::strong_count(&fake);
    let Ok(response) = admin.clone().oneshot(get("/events")).await;
    assert!(Arc::strong_count(&fake) > idle, "somebody looks");
    drop(response);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(Arc::strong_count(&fake), idle, "nobody looks any more");
    // And the next one is served as the first one was.
    let Ok(response) = admin.clone().oneshot(get("/events")).await;
    let mut body = response.into_body();
    for begins in ["retry: ", "event: status", "event: beat"] {
        let frame = body.frame().await.unwrap().unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        assert!(text.starts_with(begins), "{text}");
    }
}

#[tokio::test]
async fn a_level_is_told_changed_and_refused() {
    let fake = Fake::new(Ready::Ready);
    let admin = Admin::new(fake.clone());
    let (head, body) = ask(admin.clone(), get("/log")).await;
    assert_eq!(
        (head.status().as_u16(), &*body),
        (200, r#"{"level":"info","configured":"info"}"#)
    );
    let (head, body) = ask(admin.clone(), request("PUT", "/log", r#"{"level": "debug,h2=info"}"#)).await;
    assert_eq!(head.status(), 200);
    assert_eq!(body, r#"{"level":"debug,h2=info","configured":"info"}"#);
    for body in [r#"{"level": "loud"}"#, r#"{"level": 3}"#, r#"{"filter": "info"}"#, ""] {
        let (head, _) = ask(admin.clone(), request("PUT", "/log", body)).await;
        assert_eq!(
            (head.status().as_u16(), &head.headers()["x-bearerd-error"]),
            (400, &"bad_request".parse().unwrap())
        );
    }
    assert_eq!(fake.asked(), ["log debug,h2=info"]);
}

#[tokio::test]
async fn each_new_path_is_guarded() {
    let fake = Fake::new(Ready::Ready);
    let admin = Admin::new(fake.clone());
    for (method, path, body) in NEW_PATHS {
        let own = || request(method, path, body);
        for (asked, status) in [
            (with(own(), "host", "evil.example:9901"), 421),
            (with(own(), "host", "10.1.2.3:9901"), 421),
            (with(own(), "origin", "http://evil.example"), 403),
            (with(own(), "origin", "null"), 403),
            (with(own(), "origin", "http://127.0.0.1:8080"), 403),
            (with(own(), "sec-fetch-site", "cross-site"), 403),
            (with(own(), "sec-fetch-site", "same-site"), 403),
        ] {
            let shown = format!("{asked:?}");
            let (head, _) = ask(admin.clone(), asked).await;
            assert_eq!(head.status(), status, "{shown}");
        }
        let Ok(response) = admin
            .clone()
            .oneshot(with(own(), "sec-fetch-site", "same-origin"))
            .await;
        assert_eq!(response.status(), 200, "{method} {path}");
    }
    let (head, _) = ask(
        admin.clone(),
        with(request("PUT", "/log", "{}"), "content-type", "text/plain"),
    )
    .await;
    assert_eq!(
        head.status(),
        415,
        "no page can send JSON elsewhere without asking first"
    );
    for (method, path) in [
        ("POST", "/"),
        ("POST", "/events"),
        ("DELETE", "/log"),
        ("GET", "/page.js"),
    ] {
        assert_eq!(
            ask(admin.clone(), request(method, path, "{}")).await.0.status(),
            404,
            "{method} {path}"
        );
    }
    assert_eq!(fake.asked(), ["log debug"]);
}
