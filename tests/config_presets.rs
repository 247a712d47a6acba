//! Each preset's requests, as its vendor's document has them.

mod config_fixture;

use bearerd::credential::{
    placement::Placement,
    reply::Sign,
    spec::{OnDoubt, Then},
};
use config_fixture::{credential, refresh, shown, sign_in, spec, told};
use secrecy::ExposeSecret;

#[test]
fn fluent_commerce_speaks_in_the_query_and_its_refresh_tokens_work_once() {
    let text = "{ preset: fluent-commerce-integration, params: { account: acme.sandbox, client_secret: s } }\n\
                upstreams: { u: { credential: a } }";
    let a = credential(text);
    let upstream = &a.config.upstreams[&"u".parse().unwrap()];
    assert_eq!(upstream.url.authority.as_str(), "acme.sandbox.api.fluentretail.com");
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://acme.sandbox.api.fluentretail.com/oauth/token\n? username=<ask:username> password=<ask:password> \
         scope=retailer client_id=FLUENT_INTEGRATION client_secret=s grant_type=password"
    );
    assert_eq!(
        refresh(a),
        "POST https://acme.sandbox.api.fluentretail.com/oauth/token\n? refresh_token=<token:refresh> scope=retailer \
         client_id=FLUENT_INTEGRATION client_secret=s grant_type=refresh_token"
    );
    assert!(a.policy.single_use);
    assert_eq!(a.ask[0].question, "The API user's name");
    assert!(a.ask[1].secret);

    let text = "{ preset: fluent-commerce, params: { base_url: https://f.example, client_id: c, client_secret: s, \
                username: u, password: p, fields_in: form } }";
    let a = credential(text);
    assert_eq!(
        sign_in(spec(&a, "a")),
        "POST https://f.example/oauth/token\nform username=u password=p scope=api client_id=c client_secret=s \
         grant_type=password"
    );
    assert!(spec(&a, "a").signs_in_alone());
}

#[test]
fn the_scope_of_a_refresh_can_be_left_out() {
    // Fluent Commerce's document sends it; others take it as a wish for another one (RFC 6749 §6).
    for preset in ["fluent-commerce", "fluent-commerce-integration"] {
        let a = credential(&format!(
            "{{ preset: {preset}, params: {{ account: a, client_id: c, client_secret: s }}, \
             refresh: {{ request: {{ fields: {{ scope: ~ }} }} }} }}"
        ));
        let a = spec(&a, "a");
        assert!(sign_in(a).contains(" scope="), "{}", sign_in(a));
        assert_eq!(
            refresh(a),
            "POST https://a.api.fluentretail.com/oauth/token\n? refresh_token=<token:refresh> client_id=c \
             client_secret=s grant_type=refresh_token"
        );
    }
}

#[test]
fn pos_sends_basic_and_body_and_its_refresh_token_in_a_header() {
    // A slash too many at its end is no matter.
    let given = "base_url: https://pos.example/, username: u, password: p";
    let a = credential(&format!("{{ preset: pos, params: {{ {given} }} }}"));
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://pos.example/auth/token\nbasic u:p\njson {user_name:\"u\",password:\"p\"}"
    );
    assert_eq!(
        refresh(a),
        "POST https://pos.example/auth/refresh-token\nauthorization: Bearer <token:refresh>"
    );
    assert_eq!(
        a.errors.dead,
        [
            Sign::Code("invalid_grant".into()),
            Sign::Status {
                status: 401,
                field: None
            }
        ]
    );
    let step = &a.steps[0];
    assert_eq!((step.name.as_str(), step.then), ("create_account", Then::SignIn));
    assert_eq!(
        told(&step.grant.request),
        "POST https://pos.example/users\njson {user_name:\"u\",password:\"p\",grant_type:\"password\"}"
    );

    let more = "client_id: c, client_secret: d, fields_in: form, grant_type: password, refresh_prefix: \"\"";
    let a = credential(&format!("{{ preset: pos, params: {{ {given}, {more} }} }}"));
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://pos.example/auth/token\nbasic c:d\nform user_name=u password=p grant_type=password"
    );
    assert_eq!(
        refresh(a),
        "POST https://pos.example/auth/refresh-token\nauthorization: <token:refresh>"
    );

    // Without name and password a person is asked, for the Basic half too, and once.
    let a = credential("{ preset: pos, params: { base_url: https://pos.example } }");
    let a = spec(&a, "a");
    let asked: Vec<_> = a.ask.iter().map(|ask| ask.name.as_str()).collect();
    assert_eq!(asked, ["username", "password"]);
    assert!(sign_in(a).contains("basic <ask:username>:<ask:password>"));
}

#[test]
fn flow_retail_exchanges_user_tokens_and_links_devices() {
    let text = "{ preset: flow-retail-user, subject: { tenant: \"${path:t}\", user_token: \"${header:X-Flow}\" } }\n\
                upstreams: { u: { credential: a } }\nroutes: { r: { path: \"/{t}/{*rest}\", upstream: u } }";
    let a = credential(text);
    assert_eq!(a.config.routes[0].subject_headers, ["x-flow"]);
    assert_eq!(a.config.routes[0].credential, Some("a".parse().unwrap()));
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://api.flowretail.com/v2/tenants/subject-tenant/account\nauthorization: Bearer <subject:user_token>\n\
         accept: application/json"
    );
    // In the preset's order: stored keys must not depend on the operator's.
    let parts: Vec<_> = a.subject.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(parts, ["user_token", "tenant"]);

    let a = credential("{ preset: flow-retail-device, params: { app_id: app, refresh_token: r } }");
    let a = spec(&a, "a");
    assert_eq!(
        refresh(a),
        "POST https://api.flowretail.com/v2/device/token\naccept: application/json\n\
         json {appId:\"app\",refreshToken:\"<token:refresh>\"}"
    );
    assert_eq!(a.seed.as_ref().unwrap().expose_secret(), "r");
    let step = &a.steps[0];
    assert_eq!(
        told(&step.grant.request),
        "POST https://api.flowretail.com/v2/device/ask-code/link\naccept: application/json"
    );
    assert_eq!(
        (step.ask[0].question.as_str(), step.then),
        ("The code of the device", Then::Refresh)
    );

    let a = credential(
        "{ preset: flow-retail-device, params: { app_id: x, link_method: put, link_path: \"/d/${ask:code}\" } }",
    );
    let step = &spec(&a, "a").steps[0];
    assert!(told(&step.grant.request).starts_with("PUT https://api.flowretail.com/d/ask-code\n"));

    let a = credential("{ preset: flow-retail-integration, params: { token: t } }");
    assert_eq!(spec(&a, "a").fixed.as_ref().unwrap().expose_secret(), "t");
}

#[test]
fn flowlu_places_keys_in_forms_and_tokens_in_basic() {
    let a = credential("{ preset: flowlu-api-key, params: { account: acme, api_key: k } }");
    assert!(matches!(&spec(&a, "a").placement, Placement::Form(name) if name == "api_key"));
    let a = credential(
        "{ preset: flowlu-oauth, params: { account: acme, client_id: c, username: u, password: p, token_path: /t } }",
    );
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://acme.flowlu.com/t\nform grant_type=password username=u password=p client_id=c"
    );
    assert!(a.refresh.is_none());
    match &a.placement {
        Placement::Basic { username, password } => {
            assert_eq!(
                (shown(username), shown(password)),
                ("bearer".into(), "<token:access>".into())
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(
        a.errors
            .hints
            .iter()
            .any(|(code, hint)| code == "invalid_grant" && hint.contains("administrators"))
    );
}

#[test]
fn the_operators_keys_lie_over_the_presets() {
    let a = credential(
        "{ preset: pos, params: { base_url: https://pos.example }, on_doubt: retry, placement: { header: x }, \
         errors: { dead: [E] }, steps: ~, sign_in: { request: { method: put, fields: { user_name: other } } } }",
    );
    let a = spec(&a, "a");
    assert_eq!(a.policy.on_doubt, Some(OnDoubt::Retry));
    assert!(matches!(&a.placement, Placement::Header { name, .. } if name == "x"));
    assert_eq!(a.errors.dead, [Sign::Code("E".into())]);
    assert_eq!(
        a.errors.login,
        [Sign::Status {
            status: 401,
            field: None
        }]
    );
    assert!(a.steps.is_empty());
    assert!(sign_in(a).starts_with("PUT ") && sign_in(a).contains("{user_name:\"other\",password:"));
}
