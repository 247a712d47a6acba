//! Law 9: what is logged.

use crate::world::{LOG, TOKEN, recording};

#[tokio::test]
async fn law_9_each_request_has_one_line_without_query_and_credential() {
    let (world, _) = recording().await;
    for target in ["/key/a?password=hush", "/nowhere?password=hush"] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer hush\r\nX-Request-Id: id-1\r\nConnection: close\r\n\r\n"
        );
        let answer = world.raw(&request).await;
        assert!(answer.contains("x-request-id: id-1\r\n"), "{answer}");
    }
    let log = LOG.text();
    let is_own = |line: &&str| line.contains("bearerd::access") && line.contains("id-1");
    let lines: Vec<_> = log.lines().filter(is_own).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for part in [
        "path=\"/key/a\"",
        "route=\"key\"",
        "upstream=\"api\"",
        "status=200",
        "request_id=\"id-1\"",
        "duration_ms=",
    ] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    assert!(
        lines[1].contains("status=404") && lines[1].contains("code=\"no_route\" detail=no route of"),
        "{}",
        lines[1]
    );
    assert!(!log.contains("hush") && !log.contains(TOKEN), "{log}");
    let page = world.metrics.page();
    assert!(
        page.contains(r#"bearerd_requests_total{route="key",status="200",code=""} 1"#),
        "{page}"
    );
}

#[tokio::test]
async fn law_9_a_subject_in_the_path_is_not_logged() {
    let (world, arrived) = recording().await;
    for (line, status) in [
        ("GET /user/path-canary/reasons/7", "200"),
        ("GET /user/path-canary/reason", "404"),
        ("POST /user/path-canary/reasons/7", "404"),
        ("GET /user/path-canary/..%2f/7", "400"),
    ] {
        let request =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: id-path\r\nConnection: close\r\n\r\n");
        let answer = world.raw(&request).await;
        assert_eq!(crate::caller::status(&answer), status, "{line}: {answer}");
    }
    assert_eq!(arrived.lock().unwrap()[0].target, "/v2/path-canary/reasons/7");
    let log = LOG.text();
    assert!(!log.contains("path-canary"), "{log}");
    let told = |line: &&str| line.contains("bearerd::access") && line.contains("path=\"/user/{token}/reasons/7\"");
    assert_eq!(log.lines().filter(told).count(), 1, "{log}");
}
