//! All eight credentials over many token lifetimes.

use bearerd::demo::{Counts, flow_retail};
use http_body_util::Full;

use crate::stage::{Bearerd, Stage};

/// How many lifetimes pass, and after which of them all access tokens are revoked.
const LIFETIMES: u64 = 20;
const REVOKED_AFTER: u64 = 10;

/// One data call of each credential, and of each of two subjects.
const CALLS: [(&str, &str, Option<&str>, u16); 11] = [
    ("GET", "/flow/v2/tenants/demo-tenant/reasons", None, 200),
    (
        "GET",
        "/flow-user/v2/tenants/demo-tenant/reasons",
        Some(flow_retail::USERS[0].token),
        200,
    ),
    (
        "GET",
        "/flow-user/v2/tenants/other-tenant/reasons",
        Some(flow_retail::USERS[1].token),
        200,
    ),
    ("GET", "/flow-device/v2/tenants/demo-tenant/reasons", None, 200),
    ("POST", "/fluent/graphql", None, 200),
    ("GET", "/fluent-integration/api/v4.1/order/1001", None, 200),
    ("GET", "/pos/dishes", None, 200),
    ("POST", "/pos/dishes", None, 201),
    ("GET", "/flowlu/api/v1/module/crm/lead/list?page=1", None, 200),
    ("POST", "/flowlu/api/v1/module/crm/lead/create", None, 200),
    ("GET", "/flowlu-oauth/api/v1/module/crm/lead/list", None, 200),
];

/// Makes each call once; all must get their status.
pub(crate) async fn call_all(bearerd: &Bearerd, when: &str) {
    call_each_but(bearerd, when, "none").await;
}

/// The same, but for those whose target starts like this.
pub(crate) async fn call_each_but(bearerd: &Bearerd, when: &str, but: &str) {
    let calls = CALLS.into_iter().filter(|(_, target, ..)| !target.starts_with(but));
    for (method, target, user, status) in calls {
        let mut request = bearerd.client.request(method, target);
        if let Some(user) = user {
            request = request.header("x-flow-user-token", user);
        }
        let body = match method {
            "POST" if target.starts_with("/flowlu") => {
                request = request.header("content-type", "application/x-www-form-urlencoded");
                "name=A+lead"
            }
            "POST" => "{}",
            _ => "",
        };
        let answer = bearerd.client.send(request.body(Full::from(body)).unwrap()).await;
        assert_eq!(answer.word(), status.to_string(), "{when}: {target}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_eight_credentials_work_over_twenty_lifetimes_and_a_revocation() {
    let stage = Stage::new().await;
    let bearerd = stage.start(&stage.every_preset()).await;
    call_all(&bearerd, "at first").await;
    for lifetime in 1..=LIFETIMES {
        stage.expire();
        call_all(&bearerd, &format!("after {lifetime} lifetimes")).await;
        if lifetime == REVOKED_AFTER {
            for api in stage.apis.all() {
                api.revoke_all();
            }
            call_all(&bearerd, "after the revocation").await;
        }
    }

    // The first, one for each lifetime, and one after the revocation.
    let each = 1 + LIFETIMES + 1;
    let [flow, fluent, pos, flowlu] = stage.apis.all().map(|api| api.counts());
    let expected = Counts {
        authorised: 4 * each,
        ..Counts::default()
    };
    let token_requests = Counts {
        user_token: 2 * each,
        refresh_token: each,
        spends: each,
        families: 1 + 2 * each,
        unauthorised: 3,
        with_revoked: 3,
        ..expected
    };
    assert_eq!(flow, token_requests, "Flow Retail");
    let token_requests = Counts {
        password: 2,
        refresh_token: 2 * (each - 1),
        spends: 2 * (each - 1),
        families: 2,
        unauthorised: 2,
        with_revoked: 2,
        authorised: 2 * each,
        ..expected
    };
    assert_eq!(fluent, token_requests, "Fluent");
    let token_requests = Counts {
        password: 1,
        refresh_token: each - 1,
        spends: each - 1,
        families: 1,
        unauthorised: 1,
        with_revoked: 1,
        authorised: 2 * each,
        ..expected
    };
    assert_eq!(pos, token_requests, "POS");
    // Flowlu doesn't say when its tokens expire: its 401 does.
    let token_requests = Counts {
        password: each,
        families: each,
        unauthorised: LIFETIMES + 1,
        with_revoked: 1,
        with_expired: LIFETIMES,
        authorised: 3 * each,
        ..expected
    };
    assert_eq!(flowlu, token_requests, "Flowlu");
    assert!(bearerd.stop().await);
}
