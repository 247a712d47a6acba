//! Restarts.

use crate::{lifetimes::call_all, stage::Stage};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_restarts_make_no_token_request_and_one_after_the_expiry_makes_one_each() {
    let stage = Stage::new().await;
    let yaml = stage.every_preset();
    let requests = || stage.apis.all().map(|api| api.counts().token_requests());
    // A device and two users, two of Fluent's clients, a user of POS and one of Flowlu.
    let one_each = [3, 2, 1, 1];
    for start in 1..=20 {
        let bearerd = stage.start(&yaml).await;
        call_all(&bearerd, &format!("start {start}")).await;
        assert!(bearerd.stop().await, "start {start}");
        assert_eq!(requests(), one_each, "start {start}");
    }
    stage.expire();
    let bearerd = stage.start(&yaml).await;
    call_all(&bearerd, "after the expiry").await;
    assert!(bearerd.stop().await);
    assert_eq!(requests(), one_each.map(|one| 2 * one));
    assert!(stage.apis.all().iter().all(|api| api.counts().reuses == 0));
}
