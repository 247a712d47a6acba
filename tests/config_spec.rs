//! What a good config comes to: requests, placements, secrets byte for byte, layers, paths and fingerprints.

mod config_fixture;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bearerd::{
    config::{
        Loaded,
        checked::{Bind, LogFormat, State},
        load,
    },
    credential::{
        Spec,
        grant::{Body, Json, Request},
        placement::Placement,
        reply::{Sign, Unit},
        spec::{OnDoubt, Policy, Then},
    },
    template::{Scope, Template},
};
use config_fixture::{load_text, surroundings};
use proptest::prelude::*;
use secrecy::ExposeSecret;

fn loaded(text: &str, env: &[(&str, &str)]) -> Loaded {
    load_text(text, env).unwrap_or_else(|faults| panic!("{faults}"))
}

fn spec<'a>(loaded: &'a Loaded, name: &str) -> &'a Spec {
    &loaded.config.credentials[&name.parse().unwrap()].spec
}

/// A template with its references as they are written.
fn shown(template: &Template) -> String {
    let values = |scope: Scope, name: &str| Some(format!("<{}:{name}>", scope.as_str()));
    template.render(&values).unwrap().expose_secret().to_owned()
}

fn url(request: &Request) -> String {
    let values = |scope: Scope, name: &str| Some(format!("{}-{name}", scope.as_str()));
    request.url.render_url(&values).unwrap().expose_secret().to_owned()
}

fn pairs(fields: &[(String, Template)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    fields.join(" ")
}

fn json(json: &Json) -> String {
    match json {
        Json::Text(template) => format!("{:?}", shown(template)),
        Json::Plain(value) => value.to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(self::json).collect::<Vec<_>>().join(",")),
        Json::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", self::json(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// A request on a few lines.
fn told(request: &Request) -> String {
    let mut lines = vec![format!("{} {}", request.method, url(request))];
    if !request.query.is_empty() {
        lines.push(format!("? {}", pairs(&request.query)));
    }
    for (name, value) in &request.headers {
        lines.push(format!("{name}: {}", shown(value)));
    }
    if let Some(basic) = &request.basic {
        let encoded = if basic.form_encoded { " (form)" } else { "" };
        lines.push(format!(
            "basic {}:{}{encoded}",
            shown(&basic.username),
            shown(&basic.password)
        ));
    }
    match &request.body {
        Body::Empty => {}
        Body::Form(fields) => lines.push(format!("form {}", pairs(fields))),
        Body::Json(body) => lines.push(format!("json {}", json(body))),
    }
    lines.join("\n")
}

fn sign_in(spec: &Spec) -> String {
    told(&spec.sign_in.as_ref().unwrap().request)
}

fn refresh(spec: &Spec) -> String {
    told(&spec.refresh.as_ref().unwrap().request)
}

fn credential(text: &str) -> Loaded {
    loaded(&format!("credentials:\n  a: {text}\n"), &[])
}

#[test]
fn standard_grants_are_described_requests() {
    let common = "token_url: https://idp.example/token, client_id: id";
    let a = credential(&format!(
        "{{ grant: {{ type: client_credentials, {common}, client_secret: s, scope: x y, extra: {{ audience: z }} }} }}"
    ));
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://idp.example/token\nbasic id:s (form)\nform grant_type=client_credentials scope=x y audience=z"
    );
    assert!(a.refresh.is_none() && a.seed.is_none() && a.signs_in_alone());

    let a = credential(&format!(
        "{{ grant: {{ type: password, {common}, client_secret: s, auth: post, username: u, password: p }} }}"
    ));
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://idp.example/token\nform grant_type=password username=u password=p client_id=id client_secret=s"
    );
    assert_eq!(
        refresh(a),
        "POST https://idp.example/token\nform grant_type=refresh_token refresh_token=<token:refresh> client_id=id \
         client_secret=s"
    );

    let a = credential(&format!(
        "{{ grant: {{ type: refresh_token, {common}, refresh_token: r }} }}"
    ));
    let a = spec(&a, "a");
    assert!(a.sign_in.is_none());
    assert_eq!(
        refresh(a),
        "POST https://idp.example/token\nform grant_type=refresh_token refresh_token=<token:refresh> client_id=id"
    );
    assert_eq!(a.seed.as_ref().unwrap().expose_secret(), "r");

    let a = credential(&format!("{{ grant: {{ type: password, {common} }} }}"));
    let a = spec(&a, "a");
    let asked: Vec<_> = a.ask.iter().map(|ask| (ask.name.as_str(), ask.secret)).collect();
    assert_eq!(asked, [("username", false), ("password", true)]);
    assert!(!a.signs_in_alone());
}

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

#[test]
fn json_text_keeps_the_types_of_numbers_and_expands_its_strings() {
    let text = r#"{ sign_in: { request: { url: https://a.example, json: '{"n": 1, "b": true, "s": "x${env:S}", "l": [null, "y"]}' } } }"#;
    let a = loaded(&format!("credentials:\n  a: {text}\n"), &[("S", "\"${env:S}")]);
    assert_eq!(
        sign_in(spec(&a, "a")),
        "POST https://a.example\njson {n:1,b:true,s:\"x\\\"${env:S}\",l:[null,\"y\"]}"
    );
}

#[test]
fn values_in_urls_stay_values_and_a_leading_variable_is_the_urls_beginning() {
    let text = "{ sign_in: { request: { url: \"${env:BASE}/x/${env:V}?k=${env:V}\" } } }";
    let a = loaded(
        &format!("credentials:\n  a: {text}\n"),
        &[("BASE", "https://a.example/v1"), ("V", "b/../c&d")],
    );
    assert_eq!(
        sign_in(spec(&a, "a")),
        "POST https://a.example/v1/x/b%2F..%2Fc%26d?k=b%2F..%2Fc%26d"
    );
}

const ODD: [&str; 12] = [
    "0012345",
    "1e10",
    "yes",
    "null",
    "~",
    "${env:X}",
    "a\"b'c",
    "&=+%",
    " a b ",
    "ключ ✓",
    "$${",
    "-----",
];

#[test]
fn secrets_are_byte_for_byte_wherever_they_come_from() {
    for secret in ODD {
        let token = |text: &str, env: &[(&str, &str)], files: &[(&str, &str)]| {
            let mut all = vec![("bearerd.yaml", text)];
            all.extend(files);
            let loaded =
                load(&["bearerd.yaml".into()], &surroundings(&all, env)).unwrap_or_else(|faults| panic!("{faults}"));
            spec(&loaded, "a").fixed.as_ref().unwrap().expose_secret().to_owned()
        };
        let text = |token: &str| {
            format!(
                "credentials:\n  a:\n    grant: {{ type: static, token: {token} }}\n    placement: {{ query: k }}\n"
            )
        };
        assert_eq!(token(&text("\"${env:T}\""), &[("T", secret)], &[]), secret);
        let with_newline = format!("{secret}\n");
        assert_eq!(token(&text("\"${file:t}\""), &[], &[("t", &with_newline)]), secret);
        let preset = "credentials:\n  a: { preset: flowlu-api-key, params: { account: x, api_key: \"${env:T}\" } }\n";
        assert_eq!(token(preset, &[("T", secret)], &[]), secret);
        // Text of the config is expanded, so a literal `${` is written `$${`.
        let written = secret.replace("${", "$${").replace('\'', "''");
        assert_eq!(token(&text(&format!("'{written}'")), &[], &[]), secret);
        let variable = secret.replace("${", "$${");
        let env = [("BEARERD__CREDENTIALS__A__GRANT__TOKEN", variable.as_str())];
        assert_eq!(token(&text("replaced"), &env, &[]), secret);
    }
    let plain = loaded("credentials: { a: { grant: { type: static, token: 0012345 } } }", &[]);
    assert_eq!(spec(&plain, "a").fixed.as_ref().unwrap().expose_secret(), "0012345");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_of_the_config_is_kept(text in "\\PC{1,40}") {
        // In single quotes YAML knows one escape, and a template knows one.
        let written = text.replace('\'', "''").replace("${", "$${");
        let yaml = format!("credentials: {{ a: {{ grant: {{ type: static, token: '{written}' }}, placement: {{ query: k }} }} }}");
        let loaded = loaded(&yaml, &[]);
        prop_assert_eq!(spec(&loaded, "a").fixed.as_ref().unwrap().expose_secret(), &text);
    }

    #[test]
    fn any_secret_of_a_variable_is_kept(secret in "\\PC{1,40}") {
        let text = "credentials: { a: { grant: { type: static, token: \"${env:T}\" }, placement: { query: k } } }";
        let loaded = loaded(text, &[("T", &secret)]);
        prop_assert_eq!(spec(&loaded, "a").fixed.as_ref().unwrap().expose_secret(), &secret);
    }
}

#[test]
fn relative_files_are_beside_the_config_that_names_them_and_all_are_listed() {
    let files = [
        (
            "/etc/b/one.yaml",
            "credentials: { a: { grant: { type: static, token: \"${file:secrets/t}\" } } }\n",
        ),
        (
            "/srv/two.yaml",
            "state: { path: s.db }\nlog: { file: /var/log/b }\ntls: { ca: ca.pem }\n",
        ),
        ("/etc/b/secrets/t", "x"),
        ("/srv/ca.pem", "not a certificate"),
    ];
    let paths = [PathBuf::from("/etc/b/one.yaml"), PathBuf::from("/srv/two.yaml")];
    let told = load(&paths, &surroundings(&files, &[])).unwrap_err().to_string();
    assert_eq!(
        told,
        "/srv/two.yaml:3:12: tls.ca: there is no readable certificate in /srv/ca.pem; it is to be a PEM file, with \
         BEGIN CERTIFICATE"
    );

    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let (pem, key) = (certificate.pem(), key.serialize_pem());
    let both = format!("{pem}{key}");
    let mut files = files.to_vec();
    files[1].1 = "state: { path: s.db }\nlog: { file: /var/log/b }\ntls: { ca: ca.pem }\n\
                  upstreams: { u: { url: https://a.example, tls: { client_cert: both.pem, client_key: both.pem, server_name: b.example } } }\n";
    files[3].1 = &pem;
    files.push(("/srv/both.pem", &both));
    let loaded = load(&paths, &surroundings(&files, &[])).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(
        loaded.config.state,
        State::Sqlite {
            path: "/srv/s.db".into()
        }
    );
    let expected = [
        "/etc/b/one.yaml",
        "/srv/two.yaml",
        "/etc/b/secrets/t",
        "/srv/both.pem",
        "/srv/ca.pem",
    ];
    assert_eq!(loaded.files, expected.map(PathBuf::from));
    let tls = &loaded.config.upstreams[&"u".parse().unwrap()].tls;
    assert_eq!(tls.ca, [certificate.der().clone()]);
    assert!(tls.client.is_some() && tls.server_name.is_some());
}

#[test]
fn defaults_are_one_loopback_listener_and_a_store_beside_the_config() {
    let loaded = load(
        &["/etc/b/bearerd.yaml".into()],
        &surroundings(&[("/etc/b/bearerd.yaml", "")], &[]),
    )
    .unwrap();
    let main = &loaded.config.listeners[&"main".parse().unwrap()];
    assert_eq!(main.bind, Bind::Tcp("127.0.0.1:8080".parse().unwrap()));
    assert!(loaded.config.probes.is_none() && loaded.config.admin.is_none());
    let path = |state: &State| match state {
        State::Sqlite { path } => path.clone(),
        State::Memory => PathBuf::new(),
    };
    assert_eq!(path(&loaded.config.state), Path::new("/etc/b/bearerd-state.db"));
    assert!(loaded.warnings[0].to_string().contains("no routes"));
    let unit = [("STATE_DIRECTORY", "/var/lib/bearerd:/var/lib/other")];
    let loaded = load_text("", &unit).unwrap();
    assert_eq!(path(&loaded.config.state), Path::new("/var/lib/bearerd/state.db"));
    let exposed = load_text(
        "probes: { bind: 0.0.0.0:9900, expose: true }\nadmin: { bind: unix:/run/b.sock }",
        &[],
    )
    .unwrap();
    assert_eq!(exposed.config.admin, Some(Bind::Unix("/run/b.sock".into())));
}

#[test]
fn a_fingerprint_changes_with_whose_tokens_they_are_and_not_with_a_secret() {
    let of = |url: &str, client: &str, secret: &str, user: &str, scope: &str| {
        let a = credential(&format!(
            "{{ grant: {{ type: password, token_url: \"{url}\", client_id: {client}, client_secret: {secret}, username: {user}, \
             password: {secret}, scope: {scope} }} }}"
        ));
        spec(&a, "a").fingerprint.clone()
    };
    let one = of("https://a.example/t", "c", "s", "u", "x");
    assert_eq!(one, of("https://a.example/t", "c", "other", "u", "x"));
    assert_eq!(one, of("https://a.example/t?v=2", "c", "s", "u", "x"));
    for other in [
        of("https://b.example/t", "c", "s", "u", "x"),
        of("https://a.example/t", "d", "s", "u", "x"),
        of("https://a.example/t", "c", "s", "v", "x"),
        of("https://a.example/t", "c", "s", "u", "y"),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn base_urls_are_normal() {
    let url = |text: &str| {
        let loaded = loaded(&format!("upstreams: {{ u: {{ url: \"{text}\" }} }}"), &[]);
        let url = &loaded.config.upstreams[&"u".parse().unwrap()].url;
        format!("{}://{}{}", url.scheme, url.authority, url.path)
    };
    assert_eq!(url("https://A.example:443/v2/"), "https://a.example/v2");
    assert_eq!(url("https://a.example:8443"), "https://a.example:8443");
    assert_eq!(url("http://127.0.0.1:80/"), "http://127.0.0.1");
    assert_eq!(url("http://[::1]:99"), "http://[::1]:99");
}

#[test]
fn debug_shows_no_secret() {
    let text = "credentials:\n  a: { grant: { type: static, token: canary } }\n  b: { preset: pos, seed: canary, params: \
                { base_url: https://p.example, username: u, password: canary, client_secret: \"${env:S}\" } }\n";
    let loaded = loaded(text, &[("S", "canary")]);
    assert!(!format!("{loaded:?}").contains("canary"));
    assert!(!format!("{:?}", surroundings(&[("canary", "canary")], &[("x", "canary")])).contains("canary"));
}

#[test]
fn a_route_has_its_upstreams_credential_unless_it_names_another() {
    let text = "credentials: { a: { grant: { type: static, token: x } }, b: { grant: { type: static, token: y } } }\n\
                upstreams: { u: { url: https://u.example, credential: \"${env:C}\" } }\n\
                routes: { own: { prefix: /o, upstream: u, credential: b }, its: { prefix: /i, upstream: u }, \
                none: { prefix: /n, upstream: u, credential: none } }\n";
    let loaded = loaded(text, &[("C", "a")]);
    let credentials: Vec<_> = loaded
        .config
        .routes
        .iter()
        .map(|route| (route.name.as_str(), route.credential.as_ref().map(|name| name.as_str())))
        .collect();
    assert_eq!(credentials, [("own", Some("b")), ("its", Some("a")), ("none", None)]);
}

#[test]
fn every_setting_of_a_credential_arrives() {
    let text = include_str!("../config/examples/odd-vendor.yaml");
    let loaded = loaded(text, &[("ODD_PASSWORD", "p")]);
    let a = spec(&loaded, "odd_vendor");
    assert_eq!(
        sign_in(a),
        "POST https://odd.example/session\nbasic erp:p\njson {user_name:\"erp\",device:{kind:\"server\"}}"
    );
    let status = |status| Sign::Status { status, field: None };
    let spent = Some(("/fault/id".to_owned(), "E_SPENT".to_owned()));
    assert_eq!(
        a.errors.dead,
        [
            Sign::Code("E_STALE".into()),
            status(401),
            Sign::Status {
                status: 400,
                field: spent
            }
        ]
    );
    assert_eq!(
        (&a.errors.code[..], &a.errors.text[..]),
        (&["/fault/id".to_owned()][..], &["/fault/words".to_owned()][..])
    );
    assert_eq!(a.rejected[0].status, 401);
    assert_eq!(a.rejected[1].field.as_ref().unwrap().1, "E_SESSION");
    let reply = &a.refresh.as_ref().unwrap().reply;
    assert_eq!((&reply.ok[..], reply.unit), (&[200, 201][..], Unit::Milliseconds));
    assert_eq!(
        (&reply.access_token[0][..], &reply.expires_in[0][..]),
        ("/data/token", "/data/ttl")
    );
    // What isn't said keeps its default, the standard's name first.
    assert_eq!(reply.refresh_expires_in[0], "/refresh_expires_in");
    assert_eq!(
        (a.steps[0].grant.request.method.as_str(), a.steps[0].ask.len()),
        ("PUT", 1)
    );
}

#[test]
fn policies_and_seeds_arrive() {
    let text = "credentials:\n  a: { refresh: { request: { url: https://a.example, query: { k: v } }, reply: { ok: [204] } }, \
                reply: { access_token: [/t] }, errors: { subject: [403], unspent: [503] }, on_doubt: retry, grace: 1m, \
                min_age: 2m, refresh_lifetime: 30d, keep_alive: true, single_use: true, assume_lifetime: 1h, required: true, \
                spend_deadline: 5s, lease: 11s, seed: \"s ${env:S}\" }\n";
    let loaded = loaded(text, &[("S", "t")]);
    let a = spec(&loaded, "a");
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    assert_eq!(
        a.policy,
        Policy {
            on_doubt: Some(OnDoubt::Retry),
            grace: Some(minutes(1)),
            min_age: minutes(2),
            refresh_lifetime: Some(minutes(30 * 24 * 60)),
            keep_alive: true,
            single_use: true,
            assume_lifetime: Some(minutes(60)),
            required: true,
            spend_deadline: Duration::from_secs(5),
            lease: Duration::from_secs(11),
        }
    );
    assert_eq!(refresh(a), "POST https://a.example\n? k=v");
    let reply = &a.refresh.as_ref().unwrap().reply;
    assert_eq!(
        (&reply.ok[..], &reply.access_token[..]),
        (&[204][..], &["/t".to_owned()][..])
    );
    assert_eq!(
        (&a.errors.subject[..], &a.errors.unspent[..]),
        (&[Sign::Code("403".into())][..], &[503][..])
    );
    assert_eq!(a.seed.as_ref().unwrap().expose_secret(), "s t");
}

#[test]
fn routes_upstreams_and_log_arrive() {
    let text = "\
listeners: { main: { bind: localhost:0, hosts: [Bearerd], title_case_headers: true } }
upstreams: { u: { url: http://api.example/v1/, insecure: true, connect_timeout: 1s, response_timeout: 500ms } }
routes:
  r: { listener: main, host: ERP.localhost, prefix: /a/b/, path: \"/{x}/{*rest}\", methods: [get], upstream: u,
       allow: [\"GET /api/**\"], headers: { X-Tenant: \"${path:x}\" }, token_timeout: 3 }
log: { format: json, level: \"info,bearerd=debug\", file: b.log, access: false }
";
    let config = loaded(text, &[]).config;
    let main = &config.listeners[&"main".parse().unwrap()];
    assert_eq!(
        (main.hosts.as_slice(), main.title_case_headers),
        (&["bearerd".to_owned()][..], true)
    );
    let upstream = &config.upstreams[&"u".parse().unwrap()];
    assert_eq!(
        (upstream.url.path.as_str(), upstream.connect_timeout.as_secs()),
        ("/v1", 1)
    );
    assert_eq!(upstream.response_timeout.as_millis(), 500);
    let route = &config.routes[0];
    assert_eq!(
        (route.host.as_deref(), route.prefix.as_str()),
        (Some("erp.localhost"), "/a/b")
    );
    assert_eq!(
        (route.path.as_deref(), route.methods.as_slice()),
        (Some("/{x}/{*rest}"), &[http::Method::GET][..])
    );
    assert_eq!((route.allow.len(), route.token_timeout.as_secs()), (1, 3));
    assert_eq!(
        (route.headers[0].0.as_str(), shown(&route.headers[0].1)),
        ("x-tenant", "<path:x>".into())
    );
    assert_eq!((config.log.format, config.log.access), (Some(LogFormat::Json), false));
    assert_eq!(config.log.file, Some("b.log".into()));
}
