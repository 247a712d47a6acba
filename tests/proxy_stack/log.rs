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
        page.contains(r#"bearerd_requests_total{route="key",status="200"} 1"#),
        "{page}"
    );
}
