//! What a good config comes to: requests, placements, secrets byte for byte, layers, paths and fingerprints.

mod config_fixture;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bearerd::{
    config::{
        checked::{Bind, LogFormat, State},
        load,
    },
    credential::{
        reply::{Sign, Unit},
        spec::{OnDoubt, Policy},
    },
};
use config_fixture::{credential, load_text, loaded, refresh, shown, sign_in, spec, surroundings, told};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use tokio_postgres::config::SslMode;

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
fn grants_with_a_browser_begin_with_a_request_of_their_own() {
    let common = "token_url: https://idp.example/token, client_id: id, scope: x y, extra: { audience: z }";
    let a = credential(&format!(
        "{{ grant: {{ type: authorization_code, authorize_url: 'https://idp.example/auth?p=1', {common} }} }}"
    ));
    let a = spec(&a, "a");
    assert_eq!(
        sign_in(a),
        "POST https://idp.example/token\nform grant_type=authorization_code code=<ask:code> \
         redirect_uri=<ask:redirect_uri> code_verifier=<ask:code_verifier> client_id=id"
    );
    assert_eq!(
        refresh(a),
        "POST https://idp.example/token\nform grant_type=refresh_token refresh_token=<token:refresh> client_id=id"
    );
    let browser = a.browser.as_ref().unwrap();
    assert_eq!(
        told(browser.begins()),
        "GET https://idp.example/auth?p=1\n? response_type=code client_id=id redirect_uri=<ask:redirect_uri> \
         state=<ask:state> code_challenge=<ask:code_challenge> code_challenge_method=S256 scope=x y audience=z"
    );
    assert!(!a.signs_in_alone() && a.ask.is_empty());

    let b = credential(&format!(
        "{{ grant: {{ type: device_code, device_url: https://idp.example/device, client_secret: s, {common} }} }}"
    ));
    let b = spec(&b, "a");
    assert_eq!(
        sign_in(b),
        "POST https://idp.example/token\nbasic id:s (form)\nform \
         grant_type=urn:ietf:params:oauth:grant-type:device_code device_code=<ask:device_code>"
    );
    assert_eq!(
        told(b.browser.as_ref().unwrap().begins()),
        "POST https://idp.example/device\nbasic id:s (form)\nform scope=x y audience=z"
    );
    assert!(!b.signs_in_alone());

    let with_scope = |scope: &str| {
        let config = credential(&format!(
            "{{ grant: {{ type: device_code, device_url: https://i.example/d, token_url: https://i.example/t, \
             client_id: id, scope: {scope} }} }}"
        ));
        spec(&config, "a").fingerprint.clone()
    };
    assert_ne!(
        with_scope("x"),
        with_scope("y"),
        "stored tokens belong to the scope that was asked for"
    );
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
        ("/var/log/other", ""),
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
        _ => PathBuf::new(),
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
                spend_deadline: 5s, lease: 11s, max_subjects: 100000, seed: \"s ${env:S}\" }\n";
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
            max_subjects: 100_000,
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
fn limits_arrive_and_have_defaults() {
    let text = "\
upstreams:
  u: { url: https://a.example, limits: { concurrency: 5, queue: 0, queue_timeout: 1s, rate: { requests: 30, per: 1m },
       obey_retry_after: true, request_body: 1000, deadline: 5m, idle: 30s }, retries: { attempts: 2 } }
  v: { url: https://a.example, limits: { rate: { requests: 2, burst: 7 } } }
";
    let config = loaded(text, &[]).config;
    let limits = |name: &str| &config.upstreams[&name.parse().unwrap()].limits;
    let u = limits("u");
    assert_eq!((u.concurrency, u.queue, u.queue_timeout.as_secs()), (5, 0, 1));
    assert_eq!((u.request_body, u.obey_retry_after), (Some(1000), true));
    assert_eq!(
        u.deadline.zip(u.idle),
        Some((Duration::from_secs(300), Duration::from_secs(30)))
    );
    let rate = |name: &str| limits(name).rate.map(|rate| (rate.interval, rate.burst.get()));
    assert_eq!(rate("u"), Some((Duration::from_secs(2), 30)));
    assert_eq!(rate("v"), Some((Duration::from_millis(500), 7)));
    let retries = |name: &str| config.upstreams[&name.parse().unwrap()].retries;
    assert_eq!((retries("u").attempts, retries("u").budget), (2, 20));
    assert_eq!(retries("v").attempts, 0);
    assert_eq!((limits("v").concurrency, limits("v").deadline), (1024, None));
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

#[test]
fn who_asks_the_running_one_needs_no_secret_of_the_config() {
    let text = "\
probes: { bind: 127.0.0.1:1 }
admin: { bind: \"unix:/run/b.sock\" }
state: { path: \"${env:NOT_SET}\" }
tls: { ca: /no/such.pem }
log: { level: verbos }
credentials:
  pos: { preset: pos, params: { base_url: \"${env:NOT_SET}\", username: \"${file:/no/such}\", fields_in: \"${env:NOT_SET}\" } }
  idp: { grant: { type: password, token_url: \"${env:NOT_SET}\", client_id: \"${env:NOT_SET}\", username: u },
         tls: { client_cert: /no/such.pem, client_key: /no/such.pem } }
upstreams: { u: { url: \"${env:NOT_SET}\" } }
routes: { r: { upstream: gone } }
";
    let files = [("bearerd.yaml", text)];
    let paths = [PathBuf::from("bearerd.yaml")];
    let found = bearerd::config::addresses(&paths, &surroundings(&files, &[])).unwrap();
    assert_eq!(found.probes, Some(Bind::Tcp(([127, 0, 0, 1], 1).into())));
    assert_eq!(found.admin, Some(Bind::Unix("/run/b.sock".into())));

    let specs = bearerd::config::specs(&paths, &surroundings(&files, &[])).unwrap();
    let asked = |name: &str| -> Vec<String> {
        let spec = &specs[&name.parse().unwrap()];
        spec.ask.iter().map(|ask| ask.name.clone()).collect()
    };
    assert_eq!(asked("pos"), ["password"]);
    assert_eq!(asked("idp"), ["password"]);

    // What is wrong with the addresses themselves is told, and with them alone.
    let env = [("BEARERD__ADMIN__BIND", "${env:NOT_SET}")];
    let told = bearerd::config::addresses(&paths, &surroundings(&files, &env)).unwrap_err();
    assert_eq!(
        told.to_string(),
        "BEARERD__ADMIN__BIND: admin.bind: the environment variable NOT_SET is not set; set it, or give the value \
         another way"
    );
}

#[test]
fn a_server_of_state_is_encrypted_unless_it_is_near() {
    let state = |text: &str| {
        let text = format!("state: {{ {text} }}");
        load_text(&text, &[("P", "canary-password")])
            .unwrap_or_else(|faults| panic!("{faults}"))
            .config
            .state
    };
    for (url, more, is_encrypted) in [
        ("postgres://b@db.example/b", "", true),
        ("postgres://b@db.example/b", ", insecure: true", false),
        ("postgres://b@127.0.0.1/b", "", false),
        ("postgres://b@localhost/b?sslmode=require", "", true),
        ("postgres:///b?host=/run/postgresql&user=b", "", false),
        ("postgres://b@localhost/b", ", tls: { server_name: db.example }", true),
    ] {
        let State::Postgres { server, tls } =
            state(&format!("store: postgres, url: '{url}', password: '${{env:P}}'{more}"))
        else {
            panic!("{url}");
        };
        assert_eq!(tls.is_some(), is_encrypted, "{url}{more}");
        let mode = if is_encrypted {
            SslMode::Require
        } else {
            SslMode::Disable
        };
        assert_eq!(server.get_ssl_mode(), mode, "never the server's choice: {url}");
        assert_eq!(server.get_password(), Some(b"canary-password".as_slice()));
        assert!(!format!("{server:?}").contains("canary"));
    }
    for (text, host, port, database, is_encrypted) in [
        ("url: 'rediss://r.example'", "r.example", 6379, 0, true),
        ("url: 'rediss://[::1]:7000/4'", "::1", 7000, 4, true),
        ("url: 'redis://127.0.0.1:7000/'", "127.0.0.1", 7000, 0, false),
        ("url: 'redis://r.example', insecure: true", "r.example", 6379, 0, false),
    ] {
        let State::Redis(redis) = state(&format!("store: redis, {text}, username: u, password: '${{env:P}}'")) else {
            panic!("{text}");
        };
        assert_eq!(
            (redis.host.as_str(), redis.port, redis.database),
            (host, port, database)
        );
        assert_eq!((redis.tls.is_some(), redis.accept_loss), (is_encrypted, false));
        assert_eq!(redis.username.as_deref(), Some("u"));
        assert!(!format!("{redis:?}").contains("canary"));
    }
}

#[test]
fn state_keys_keep_their_order_and_stay_secret() {
    let [old, new] = ["old-canary-0123456789-0123456789", "new-canary-0123456789-0123456789"];
    let text = "state: { keys: ['${env:OLD}', '${env:NEW}'] }";
    let config = load_text(text, &[("OLD", old), ("NEW", new)]).unwrap().config;
    let keys: Vec<&str> = config.state_keys.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(keys, [old, new]);
    assert!(!format!("{config:?}").contains("canary"));
    let short = load_text("state: { keys: [short-canary] }", &[])
        .unwrap_err()
        .to_string();
    assert!(
        short.contains("openssl rand -base64 32") && !short.contains("canary"),
        "{short}"
    );
}

#[test]
fn callers_are_what_they_show() {
    use bearerd::config::checked::{KeyDigest, Shown};

    let text = "\
listeners:
  main:
    bind: unix:/run/main.sock
    mode: 0660
    owner: erp
    group: 7
    key_header: X-ERP-Key
    callers:
      erp: { key: \"${file:key}\" }
      cron: { user: erp }
      team: { group: staff }
  open: { bind: 0.0.0.0:8443, callers: { erp: { key: 0123456789abcdef } } }
upstreams: { api: { url: \"https://api.example\" } }
routes: { a: { upstream: api, callers: [cron, erp] } }
";
    let files = [
        ("bearerd.yaml", text),
        ("key", "a-key-of-a-file-0\n"),
        ("/etc/passwd", "root:x:0:0::/:\nerp:x:1001:33::/:\n"),
        ("/etc/group", "staff:x:50:erp\n"),
    ];
    let loaded = load(&[PathBuf::from("bearerd.yaml")], &surroundings(&files, &[])).unwrap();
    let main = &loaded.config.listeners[&"main".parse().unwrap()];
    assert_eq!(
        (main.access.mode, main.access.owner, main.access.group),
        (0o660, Some(1001), Some(7))
    );
    let callers = main.callers.as_ref().unwrap();
    assert_eq!(callers.takes_keys_in().unwrap(), "x-erp-key");
    let each: Vec<_> = callers
        .each
        .iter()
        .map(|it| (it.name.as_str(), it.shows.clone()))
        .collect();
    assert_eq!(
        each,
        [
            ("erp", Shown::Key(KeyDigest::of(b"a-key-of-a-file-0"))),
            ("cron", Shown::User(1001)),
            ("team", Shown::Group(50)),
        ]
    );
    let names: Vec<_> = loaded.config.routes[0]
        .callers
        .iter()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["cron", "erp"]);
    // No `expose` is needed where callers prove who they are, but a key in the clear is warned of.
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("bearerd.yaml:12:31: listeners.open.callers: keys are sent here in the clear"),
        "{warnings:?}"
    );
}

#[test]
fn an_upstreams_headers_go_by_each_of_its_routes() {
    let text = "upstreams:\n  api: { url: \"https://api.example\", via: true, forwarded: add, \
                headers: { x-tenant: \"${path:tenant}\", x-version: \"7\" } }\n\
                routes:\n  a: { prefix: /a, path: \"/{tenant}/{*rest}\", upstream: api }\n  \
                b: { prefix: /b, upstream: api, headers: { x-tenant: fixed, x-own: \"1\" } }\n";
    let config = loaded(text, &[]).config;
    let headers = |nth: usize| -> Vec<String> {
        let headers = config.routes[nth].headers.iter();
        headers
            .map(|(name, value)| format!("{name}: {}", shown(value)))
            .collect()
    };
    assert_eq!(headers(0), ["x-tenant: <path:tenant>", "x-version: 7"]);
    assert_eq!(headers(1), ["x-tenant: fixed", "x-own: 1", "x-version: 7"]);
    let told = config.routes[0].told;
    assert!(
        told.via && told.forwarded == bearerd::config::raw::Forwarded::Add,
        "{told:?}"
    );
    let told = loaded(
        "upstreams: { api: { url: \"https://api.example\" } }\nroutes: { a: { upstream: api } }\n",
        &[],
    )
    .config
    .routes[0]
        .told;
    assert!(
        !told.via && told.forwarded == bearerd::config::raw::Forwarded::Drop,
        "{told:?}"
    );
}
