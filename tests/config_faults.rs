//! What is wrong with a config is said at its line, all of it in one run, and never with a value.

mod config_fixture;

use std::path::PathBuf;

use bearerd::config::{find, load};
use config_fixture::{load_text, surroundings};

fn faults(text: &str) -> Vec<String> {
    match load_text(text, &[]) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.to_string().lines().map(ToOwned::to_owned).collect(),
    }
}

/// A config that is good but for what stands in `credentials`.
fn credential_faults(text: &str) -> Vec<String> {
    faults(&format!("credentials:\n  a:\n{text}"))
}

#[test]
fn nine_faults_are_told_in_one_run_each_at_its_line() {
    let text = "\
listeners:
  main: { bind: 127.0.0.1:8080 }
  open: { bind: 0.0.0.0:8081 }
credentials:
  fluent:
    preset: fluent-commerce-integration
    params:
      acount: acme.sandbox
      base_url: https://fluent.example
      client_secret: \"${env:NOT_SET}\"
      username: \"${file:/run/secrets/absent}\"
      password: canary
  key:
    grant: { type: static, token: canary }
    keep_alive: canary
upstreams:
  fluent: { credential: fluent }
  plain: { url: \"http://api.example\", credential: key }
routes:
  one: { prefix: /a, upstream: fluent }
  two: { prefix: /a, upstream: plain }
  three: { prefix: /c, upstream: fluentt }
  four: { prefix: /d, upsteam: plain, upstream: plain }
";
    assert_eq!(
        faults(text),
        [
            "bearerd.yaml:3:17: listeners.open.bind: this address is not loopback, so others than this host could use the \
             credentials; bind to 127.0.0.1, name who may call under `callers`, or say `expose: true`",
            "bearerd.yaml:8:7: credentials.fluent.params.acount: unknown parameter of preset fluent-commerce-integration; \
             did you mean `account`?",
            "bearerd.yaml:10:22: credentials.fluent.params.client_secret: the environment variable NOT_SET is not set; \
             set it, or give the value another way",
            "bearerd.yaml:11:17: credentials.fluent.params.username: the file /run/secrets/absent can't be read: \
             no such file; check its path and its permissions",
            "bearerd.yaml:15:17: credentials.key.keep_alive: this is to be true or false",
            "bearerd.yaml:18:17: upstreams.plain.url: this URL is plain http and not of this host, so the credential \
             would be sent in the clear; use https, or say `insecure: true`",
            "bearerd.yaml:21:3: routes.two: routes `one` and `two` want the same requests; tell them apart by listener, \
             host, prefix, path or methods",
            "bearerd.yaml:22:34: routes.three.upstream: there is no upstream of that name; did you mean `fluent`?",
            "bearerd.yaml:23:23: routes.four.upsteam: unknown key; did you mean `upstream`?",
        ]
    );
}

#[test]
fn no_fault_shows_a_value() {
    // The canary stands wherever a value can.
    let text = "\
listeners:
  main: { bind: canary, hosts: [canary/canary], expose: canary, key_header: \"can ary\", mode: canary, owner: canary, group: canary, tls: { cert: \"-canary\" }, callers: { one: { key: canary }, two: { key: \"canary canary canary\" }, three: { certificate: { dns: \"*.canary\" } }, four: { certificate: { sha256: canary } }, five: { user: canary }, six: { key: canary-canary-canary }, seven: { key: canary-canary-canary } } }
probes: canary
admin: [canary]
state: { store: canary, path: canary }
tls: { ca: \"-canary\", client_cert: x }
log: { level: \"canary=canary=canary\", format: canary, access: canary }
credentials:
  a: { preset: canary }
  b: { grant: canary }
  c: { grant: { type: canary, token: canary } }
  d: { grant: { type: static, token: \"canary\\ncanary\" } }
  e: { grant: { type: client_credentials, token_url: \"canary canary\", client_id: canary, client_secret: \"${canary\" } }
  f: { sign_in: { request: { method: \"can ary\", url: canary, json: \"{canary\" } } }
  g: { sign_in: { request: { url: \"https://canary:canary@host.example/\", headers: { x: \"canary\\rcanary\" } } } }
  h: { grant: { type: static, token: x }, placement: canary, on_doubt: canary, grace: canary, lease: 1s }
  i: { grant: { type: static, token: x }, placement: { basic: { username: canary, password: canary } } }
  j: { grant: { type: static, token: x }, reply: { ok: [canary], access_token: [canary] }, rejected: [canary] }
  k: { preset: pos, params: { base_url: canary, username: [canary] } }
  m: { grant: { type: static, token: \"ab${canary:canary}\" } }
  n: { sign_in: { request: { url: \"https://host.example/${header:canary}${subject:canary}${token:canary}${param:canary}\" } } }
  l: { preset: flowlu-api-key, params: { account: \"canary/canary\", api_key: canary } }
upstreams:
  a: { url: canary, credential: canary, connect_timeout: canary, limits: { queue: canary, rate: canary }, retries: canary }
  b: { url: \"https://host.example/?canary\", credential: l }
routes:
  a: { listener: canary, host: \"canary:1\", prefix: canary, path: canary, methods: [\"can ary\"], allow: [canary], callers: [canary], upstream: canary }
";
    let told = faults(text);
    assert!(told.len() > 35, "{told:#?}");
    for fault in &told {
        // Where a file can't be read its name is told: that is no secret.
        let fault = fault.replace("-canary can't be read", "");
        assert!(!fault.contains("canary"), "{fault}");
        assert!(fault.starts_with("bearerd.yaml:"), "{fault}");
    }
    let broken = faults("a: {canary: canary\nb: canary");
    assert!(broken.len() == 1 && !broken[0].contains("canary"), "{broken:?}");
}

#[test]
fn one_cause_is_one_fault() {
    // A faulty upstream and a faulty credential still count as known.
    assert_eq!(
        faults(
            "credentials: { a: { preset: poss } }\nupstreams: { u: { credential: a } }\nroutes: { r: { upstream: u, \
             credential: a } }\n"
        ),
        ["bearerd.yaml:1:29: credentials.a.preset: there is no preset of that name; did you mean `pos`?"]
    );
    assert_eq!(
        faults("upstreams: { u: { url: 5 } }\nroutes: { r: { upstream: u } }\n").len(),
        1
    );
    assert_eq!(
        faults("credentials: { a: { preset: pos, params: { base_url: x } } }\nupstreams: { u: { credential: a } }\n")
            .len(),
        1
    );
}

#[test]
fn a_misspelt_parameter_is_not_missed_as_well() {
    let told = credential_faults(
        "    preset: fluent-commerce\n    params: { acount: x, client_id: c, clientsecret: s }\nupstreams: { u: { credential: a } }\n",
    );
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(
        told[0].contains("`account`?") && told[1].contains("`client_secret`?"),
        "{told:#?}"
    );
}

#[test]
fn a_parameter_that_only_its_use_requires_names_both_ways_out() {
    assert_eq!(
        credential_faults(
            "    preset: flowlu-api-key\n    params: { api_key: x }\nupstreams: { u: { credential: a } }\n"
        ),
        [
            "bearerd.yaml:2:3: credentials.a: preset flowlu-api-key needs the parameter `account`, or `base_url` itself; \
          `account` is: The account's name, the first part of its address"
        ]
    );
    // Unused, it is not missed.
    let unused = "    preset: flowlu-api-key\n    params: { api_key: x }\nupstreams: { u: { credential: a, url: https://a.example } }\n";
    assert_eq!(credential_faults(unused), [] as [String; 0]);
}

#[test]
fn a_request_never_chooses_where_a_credential_goes() {
    for url in [
        "https://${subject:t}.example/",
        "https://api.example:${subject:t}/",
        "${subject:t}",
        "https://api.example${subject:t}",
    ] {
        let told = credential_faults(&format!(
            "    subject: {{ t: \"${{header:x}}\" }}\n    sign_in: {{ request: {{ url: \"{url}\" }} }}\n"
        ));
        assert!(
            told.len() == 1 && told[0].contains("no request may reach"),
            "{url}: {told:?}"
        );
    }
}

#[test]
fn references_must_have_answers_where_they_stand() {
    for (credential, words) in [
        (
            "sign_in: { request: { url: \"https://a.example/${header:x}\" } }",
            "nothing answers `${header:…}` here; declare a part of the subject",
        ),
        (
            "sign_in: { request: { url: \"https://a.example/${subject:x}\" } }",
            "the subject has no part of that name",
        ),
        (
            "sign_in: { request: { url: \"https://a.example/${token:refresh}\" } }",
            "nothing answers `${token:…}` here",
        ),
        (
            "refresh: { request: { url: \"https://a.example/${ask:x}\" } }",
            "nothing answers `${ask:…}` here",
        ),
        (
            "sign_in: { request: { url: \"https://a.example/${evn:x}\" } }",
            "a reference's scope is not known; did you mean `env`?",
        ),
        (
            "sign_in: { request: { url: \"https://a.example/${param:x}\" } }",
            "only a preset has parameters",
        ),
        (
            "grant: { type: static, token: \"${token:access}\" }",
            "nothing answers `${token:…}` here",
        ),
    ] {
        let told = credential_faults(&format!("    {credential}\n"));
        assert!(told.len() == 1 && told[0].contains(words), "{credential}: {told:?}");
    }
}

#[test]
fn a_seed_needs_a_store_or_a_sign_in() {
    let seeded = "credentials:\n  a: { preset: flow-retail-device, params: { app_id: x, refresh_token: y } }\n";
    let memory = format!("state: {{ store: memory }}\n{seeded}");
    let told = faults(&memory);
    assert!(
        told.len() == 1 && told[0].contains("use `state: {store: sqlite}`"),
        "{told:?}"
    );
    assert_eq!(faults(seeded), [] as [String; 0]);
}

#[test]
fn other_stores_and_settings_that_contradict_are_faults() {
    for (text, words) in [
        ("state: { store: redis }", "`url` is missing"),
        ("state: { store: sqlite, keys: [x] }", "a key is at least 32 characters"),
        (
            "state: { store: sqlite, keys: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] }",
            "drawn at random",
        ),
        (
            "state: { store: sqlite, forget_after: 23h }",
            "forgotten that are in use",
        ),
        (
            "state: { store: memory, forget_after: 90d }",
            "the store `memory` has no `forget_after`",
        ),
        ("state: { store: sqlite, keys: [] }", "there is no key in this list"),
        ("state: { store: memory, path: x }", "the store `memory` has no `path`"),
        (
            "state: { store: memory, keys: [x] }",
            "the store `memory` has no `keys`",
        ),
        ("state: { store: sqlite, url: x }", "the store `sqlite` has no `url`"),
        (
            "state: { store: postgres, url: 'postgres://db.example/b', username: b }",
            "the user is part of the url",
        ),
        (
            "state: { store: postgres, url: 'host=db.example' }",
            "url of a PostgreSQL database",
        ),
        ("state: { store: postgres, url: 'postgres:///b' }", "a host is missing"),
        (
            "state: { store: postgres, url: 'postgres://b:canary@db.example/b' }",
            "a password in a url",
        ),
        (
            "state: { store: postgres, url: 'postgres://b@db.example/b?sslmode=disable' }",
            "the connection would be plain",
        ),
        ("state: { store: redis, url: 'redis://r.example' }", "use `rediss:`"),
        (
            "state: { store: redis, url: 'redis://u:canary@localhost' }",
            "a password in a url",
        ),
        (
            "state: { store: redis, url: 'redis://localhost/x' }",
            "url of a Redis server",
        ),
        (
            "state: { store: redis, url: 'http://localhost' }",
            "url of a Redis server",
        ),
        (
            "state: { store: redis, url: 'redis://localhost', tls: { ca: x.pem } }",
            "`redis:` is plain",
        ),
        ("admin: { bind: 0.0.0.0:1 }", "never exposed"),
        ("probes: { bind: 0.0.0.0:1 }", "not loopback"),
        (
            "credentials: { none: { grant: { type: static, token: x } } }",
            "`none` says that there is no credential",
        ),
        (
            "credentials: { A: { grant: { type: static, token: x } } }",
            "a name is made of a-z",
        ),
        (
            "credentials: { a: { grant: { type: static, token: x }, lease: 20s } }",
            "at least twice",
        ),
        (
            "credentials: { a: { grant: { type: static, token: x, scope: y } } }",
            "a grant of type static has no `scope`",
        ),
        ("credentials: { a: { grant: { type: static } } }", "`token` is missing"),
        ("credentials: { a: {} }", "nothing of how to get a token"),
        (
            "credentials: { a: { params: { x: y }, grant: { type: static, token: x } } }",
            "a preset's",
        ),
        (
            "credentials: { a: { refresh: { request: { url: https://a.example } }, on_doubt: sign_in } }",
            "has no sign-in",
        ),
        (
            "credentials: { a: { grant: { type: authorization_code, authorize_url: https://a.example/a, token_url: https://a.example/t } } }",
            "`client_id` is missing",
        ),
        (
            "credentials: { a: { grant: { type: authorization_code, token_url: https://a.example/t, client_id: i } } }",
            "authorize_url: a URL is missing",
        ),
        (
            "credentials: { a: { grant: { type: device_code, device_url: https://a.example/d, token_url: https://a.example/t, client_id: i, redirect_port: 1 } } }",
            "type device_code has no `redirect_port`",
        ),
        (
            "credentials: { a: { grant: { type: authorization_code, authorize_url: https://a.example/a, token_url: https://a.example/t, client_id: i, redirect_port: 0 } } }",
            "port 0",
        ),
        (
            "credentials: { a: { grant: { type: authorization_code, authorize_url: https://a.example/a, token_url: https://a.example/t, client_id: i, redirect_port: 1, redirect_uri: https://a.example } } }",
            "keep one of the two",
        ),
        (
            "credentials: { a: { grant: { type: authorization_code, authorize_url: https://a.example/a, token_url: https://a.example/t, client_id: i, redirect_uri: done } } }",
            "no absolute URI",
        ),
        (
            "credentials: { a: { grant: { type: authorization_code, authorize_url: https://a.example/a, token_url: https://a.example/t, client_id: i, extra: { state: x } } } }",
            "writes `state` itself",
        ),
        (
            "credentials: { a: { grant: { type: device_code, device_url: https://a.example/d, token_url: https://a.example/t, client_id: i }, on_doubt: sign_in } }",
            "no sign-in that needs no person",
        ),
        (
            "credentials: { a: { grant: { type: device_code, device_url: https://a.example/d, token_url: https://a.example/t, client_id: i }, subject: { t: '${header:x-t}' } } }",
            "nobody could for each subject",
        ),
        (
            "credentials: { a: { sign_in: { request: { url: https://a.example, form: { a: b }, json: { a: b } } } } }",
            "a request has one body",
        ),
        (
            "credentials: { a: { sign_in: { request: { url: http://a.example } } } }",
            "plain http",
        ),
        (
            "credentials: { a: { preset: flow-retail-user } }",
            "needs the part `user_token` of its subject",
        ),
        (
            "credentials: { a: { preset: flow-retail-integration } }",
            "needs the parameter `token`",
        ),
        ("upstreams: { u: {} }", "`url` is missing"),
        (
            "upstreams: { u: { url: https://a.example, connect_timeout: 0 } }",
            "over before it began",
        ),
        (
            "upstreams: { u: { url: https://a.example, limits: { deadline: 0 } } }",
            "over before it began",
        ),
        (
            "upstreams: { u: { url: https://a.example, limits: { concurrency: 0 } } }",
            "room for no request",
        ),
        (
            "upstreams: { u: { url: https://a.example, limits: { rate: { per: 1m } } } }",
            "`requests` is missing",
        ),
        (
            "upstreams: { u: { url: https://a.example, limits: { rate: { requests: 1, burst: 0 } } } }",
            "no request is ever sent",
        ),
        (
            "upstreams: { u: { url: https://a.example, retries: { attempts: 11 } } }",
            "this is at most 10",
        ),
        (
            "upstreams: { u: { url: https://a.example, retries: { budget: 5 } } }",
            "`attempts` is missing",
        ),
        (
            "upstreams: { u: { url: https://user:x@a.example } }",
            "belong into `basic`",
        ),
        ("upstreams: { u: { url: ftp://a.example } }", "neither https nor http"),
        (
            "upstreams: { u: { url: https://a.example/b/../c } }",
            "no empty segment",
        ),
        (
            "credentials: { a: { preset: pos, params: { base_url: https://a.example/?b=c } } }",
            "no query and no fragment",
        ),
        (
            "credentials: { a: { preset: pos, params: { base_url: https://a.example, token_path: t } } }",
            "begins with a slash",
        ),
        ("credentials: { a: { preset: pos, fields: x } }", "unknown key"),
        (
            "credentials: { a: { sign_in: { request: { url: https://a.example, headers: { x: \" y\" } } } } }",
            "begins or ends with space",
        ),
        (
            "credentials: { a: { sign_in: { request: { url: https://a.example, headers: { host: y } } } } }",
            "of the connection",
        ),
        (
            "credentials: { a: { refresh: { request: { url: https://a.example } }, seed: x, subject: { t: \"${header:t}\" } } }",
            "can't be every subject's",
        ),
        ("a: !!int 5", "tags are not used"),
        ("log: { level: info, level: warn, levl: x }", "did you mean `level`?"),
        ("routes: { r: {} }", "`upstream` is missing"),
        ("tls: { client_cert: x }", "of no use without `client_key`"),
        (
            "upstreams: { u: { url: https://a.example, tls: { server_name: \"a b\" } } }",
            "name or the address of a host",
        ),
        (
            "credentials: { a: { preset: pos, params: { base_url: https://a.example, fields_in: jsn } } }",
            "fields go in one of",
        ),
        (
            "credentials: { a: { sign_in: { request: { url: https://a.example, json: [x] } } } }",
            "a mapping or JSON text",
        ),
        (
            "credentials: { a: { grant: { type: static, token: x }, placement: { header: x, value: y } } }",
            "no place in this",
        ),
        (
            "credentials: { a: { grant: { type: static, token: x }, placement: { header: x, query: y } } }",
            "one of bearer",
        ),
        (
            "credentials: { a: { grant: { type: client_credentials, token_url: https://a.example, client_secret: s } } }",
            "`client_id` is missing",
        ),
        ("a: 1\na: 2", "stands here twice"),
        ("- a", "this is to be a mapping, and here is a list"),
    ] {
        let told = faults(text);
        assert!(told.iter().any(|fault| fault.contains(words)), "{text}: {told:?}");
    }
}

#[test]
fn a_fixed_token_that_its_place_cannot_hold_is_a_fault_and_any_other_is_not() {
    let load = |token: &str, placement: &str| {
        load_text(
            &format!(
                "credentials:\n  a:\n    grant: {{ type: static, token: \"${{env:T}}\" }}\n    placement: {placement}\n"
            ),
            &[("T", token)],
        )
        .is_ok()
    };
    let basic = "{ basic: { username: \"${token:access}\", password: x } }";
    for (token, placement, fits) in [
        ("a\nb", "bearer", false),
        (" a", "{ header: x-key }", false),
        (" a", "bearer", true),
        ("a ", "bearer", false),
        ("", "{ query: k }", false),
        ("a:b", basic, false),
        ("a b", basic, true),
        ("a\nb", "{ query: k }", true),
        ("ключ \"&=+%${x}", "bearer", true),
    ] {
        assert_eq!(load(token, placement), fits, "{token:?} as {placement}");
    }
}

#[test]
fn a_subject_of_the_path_must_be_captured() {
    let text = "\
credentials: { a: { preset: flow-retail-user, subject: { user_token: \"${header:x-t}\", tenant: \"${path:tenantUid}\" } } }
upstreams: { u: { credential: a } }
routes:
  good: { path: \"/t/{tenantUid}/{*rest}\", upstream: u }
  bad: { path: \"/u/{tenant}/{*rest}\", upstream: u }
  other: { path: /v, upstream: u, credential: none }
";
    let told = faults(text);
    assert!(
        told.len() == 1 && told[0].starts_with("bearerd.yaml:5:3: routes.bad: "),
        "{told:?}"
    );
}

#[test]
fn routes_tie_only_where_neither_is_the_more_specific() {
    let tie = |one: &str, other: &str| {
        let text = format!(
            "listeners: {{ main: {{ bind: 127.0.0.1:0 }}, more: {{ bind: 127.0.0.1:0 }} }}\n\
             upstreams: {{ u: {{ url: https://a.example }} }}\nroutes:\n  one: {{ {one}, upstream: u }}\n  other: {{ {other}, upstream: u }}\n"
        );
        let told = faults(&text);
        assert!(told.len() < 2, "{told:?}");
        told.len() == 1
    };
    assert!(tie("prefix: /a", "prefix: /a/"));
    assert!(tie("path: \"/{x}\"", "path: \"/{y}\""));
    assert!(tie("methods: [GET, PUT], prefix: /a", "methods: [put], prefix: /a"));
    assert!(tie("listener: main, prefix: /a", "prefix: /a"));
    assert!(tie("host: A.localhost", "host: a.localhost"));
    assert!(!tie("prefix: /a", "prefix: /a/b"));
    assert!(!tie("methods: [GET], prefix: /a", "methods: [PUT], prefix: /a"));
    assert!(!tie("methods: [GET], prefix: /a", "methods: [HEAD], prefix: /a"));
    assert!(!tie("methods: [GET], prefix: /a", "prefix: /a"));
    assert!(!tie("listener: main, prefix: /a", "listener: more, prefix: /a"));
    assert!(!tie("path: \"/{x}\"", "path: \"/x\""));
}

#[test]
fn faults_come_from_every_layer_and_point_into_it() {
    let files = [
        ("a.yaml", "log: { level: info, colour: x }\n"),
        ("b.yaml", "\n\nlog: { access: 1 }\n"),
    ];
    let env = [
        ("BEARERD__LOG__FORMAT", "canary"),
        ("BEARERD__ROUTES__X Y__Z", "canary"),
    ];
    let paths = [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")];
    let told = load(&paths, &surroundings(&files, &env[..1])).unwrap_err().to_string();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("a.yaml:1:21: log.colour: unknown key"), "{told:?}");
    assert!(told[1].starts_with("b.yaml:3:16: log.access: "), "{told:?}");
    assert!(told[2].starts_with("BEARERD__LOG__FORMAT: log.format: "), "{told:?}");
    let told = load(&paths, &surroundings(&files, &env)).unwrap_err().to_string();
    assert!(
        told.contains("\nBEARERD__ROUTES__X Y__Z: this variable's name is no key"),
        "{told}"
    );
}

#[test]
fn a_braced_reference_without_quotes_is_told_to_be_quoted() {
    let told = faults("credentials: { a: { grant: { type: static, token: ${env:T} } } }\n");
    assert!(told[0].contains("quote `${…}` within braces"), "{told:?}");
}

#[test]
fn a_missing_config_says_what_to_do() {
    let told = find(&[], &surroundings(&[], &[])).unwrap_err().to_string();
    assert!(told.contains("bearerd init") && told.contains("bearerd demo"), "{told}");
    let told = load(&["gone.yaml".into()], &surroundings(&[], &[]))
        .unwrap_err()
        .to_string();
    assert_eq!(
        told,
        "gone.yaml: there is no such config file; `bearerd init` writes one, and `bearerd demo` needs none"
    );
}

#[test]
fn a_value_of_the_wrong_type_hides_none_of_its_neighbours() {
    let unset = "${env:NOT_SET}";
    for credential in [
        format!("sign_in: {{ request: {{ url: https://a.example, fields_in: [1], fields: {{ x: \"{unset}\" }} }} }}"),
        format!("preset: pos\n    params: {{ base_url: https://a.example, fields_in: [1], username: \"{unset}\" }}"),
        format!("grant: {{ type: [1], token: \"{unset}\" }}"),
        format!("grant: {{ type: passwort, token_url: https://a.example, extra: {{ x: \"{unset}\" }} }}"),
        format!("grant: {{ type: static, token: x }}\n    placement: {{ header: [1], value: \"{unset}\" }}"),
    ] {
        let told = credential_faults(&format!("    {credential}\n"));
        assert!(
            told.len() == 2 && told.iter().any(|fault| fault.contains("NOT_SET is not set")),
            "{credential}: {told:?}"
        );
    }
}

#[test]
fn a_level_that_is_none_is_told_among_the_others() {
    let told = faults("log: { level: verbos, file: /no/such/bearerd.log }\nroutes: { r: {} }\n");
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].starts_with("bearerd.yaml:1:15: log.level: this is to be a level"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("bearerd.yaml:1:29: log.file: there is no directory /no/such; "),
        "{told:?}"
    );
}

#[test]
fn a_file_that_is_missing_is_told_once_for_each_place_that_names_it() {
    let missing = "${file:/no/such}";
    let told = faults(&format!(
        "credentials: {{ a: {{ preset: pos, params: {{ base_url: https://a.example, username: \"{missing}{missing}\", password: \"{missing}\" }} }} }}\n\
         upstreams: {{ u: {{ credential: a }} }}\n"
    ));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter()
            .all(|fault| fault.contains("/no/such can't be read: no such file; ")),
        "{told:?}"
    );
}

#[test]
fn a_misspelt_variable_is_told_by_its_name() {
    let told = |name: &str| {
        let env = [(name, "127.0.0.1:0")];
        load_text("log: { level: info }\n", &env).map_or_else(|faults| faults.to_string(), |_| String::new())
    };
    assert_eq!(
        told("BEARERD__LISTNERS__MAIN__BIND"),
        "BEARERD__LISTNERS__MAIN__BIND: listners: unknown key; did you mean `listeners`?"
    );
    assert_eq!(
        told("BEARERD__LISTENERS__MAIN__BINT"),
        "BEARERD__LISTENERS__MAIN__BINT: listeners.main: `bind` is missing; \
         give an address: `127.0.0.1:8080` or `unix:/run/bearerd/main.sock`\n\
         BEARERD__LISTENERS__MAIN__BINT: listeners.main.bint: unknown key; did you mean `bind`?"
    );
}

#[test]
fn a_variable_with_one_underscore_is_warned_of() {
    let warnings = |env: &[(&str, &str)]| -> Vec<String> {
        let text = "upstreams: { u: { url: \"https://a.example/${env:BEARERD_STATE_OF_MINE}\" } }\n\
                    routes: { r: { upstream: u } }\n";
        let mut all = vec![("BEARERD_STATE_OF_MINE", "x")];
        all.extend_from_slice(env);
        let loaded = load_text(text, &all).unwrap_or_else(|faults| panic!("{faults}"));
        loaded.warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        warnings(&[("BEARERD_LISTENERS__MAIN__BIND", "127.0.0.1:0")]),
        [
            "BEARERD_LISTENERS__MAIN__BIND: this variable changes nothing: two underscores stand between keys; \
             write BEARERD__LISTENERS__…"
        ]
    );
    for innocent in [
        "BEARERD_CONFIG",
        "BEARERD_SERVICE_HOST",
        "BEARERD_ADMIN_PORT_9901_TCP_ADDR",
        "BEARERD_SHOP_SECRET",
        "BEARERD__LOG__LEVEL",
    ] {
        assert_eq!(warnings(&[(innocent, "info")]), [] as [String; 0], "{innocent}");
    }
}

/// A certificate for this name and its key, in PEM.
fn identity(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn a_client_key_must_be_the_certificates() {
    let ((one, one_key), (_, other_key)) = (identity("one.example"), identity("other.example"));
    let told = |key: &str| {
        let text = "tls: { client_cert: c.pem, client_key: k.pem }\nroutes: {}\n";
        let files = [("bearerd.yaml", text), ("c.pem", &one), ("k.pem", key)];
        match load(&["bearerd.yaml".into()], &surroundings(&files, &[])) {
            Ok(_) => String::new(),
            Err(faults) => faults.to_string(),
        }
    };
    assert_eq!(told(&one_key), "");
    let wrong = told(&other_key);
    assert!(
        wrong.starts_with("bearerd.yaml:1:40: tls.client_key: this is not the key of the first certificate")
            && wrong.lines().count() == 1,
        "{wrong}"
    );
}

#[test]
fn an_authority_that_is_none_is_told_at_load() {
    use base64::Engine as _;
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64::engine::general_purpose::STANDARD.encode([48, 3, 2, 1, 1])
    );
    let files = [("bearerd.yaml", "tls: { ca: ca.pem }\n"), ("ca.pem", &*pem)];
    let told = load(&["bearerd.yaml".into()], &surroundings(&files, &[]))
        .unwrap_err()
        .to_string();
    assert!(
        told.starts_with("bearerd.yaml:1:12: tls.ca: a certificate in this file"),
        "{told}"
    );
}

#[test]
fn a_name_is_captured_once() {
    let told = faults(
        "upstreams: { u: { url: https://a.example } }\nroutes: { r: { path: \"/{a}/{b}/{*a}\", upstream: u } }\n",
    );
    assert!(
        told.len() == 1 && told[0].starts_with("bearerd.yaml:2:22: routes.r.path: this captures two segments"),
        "{told:?}"
    );
}

#[test]
fn what_a_parameter_spoils_is_one_fault_at_the_parameter() {
    let used = "upstreams: { u: { credential: a } }\n";
    for (params, told) in [
        (
            "base_url: http://a.example",
            "bearerd.yaml:4:25: credentials.a.params.base_url: this URL is plain http and not of this host, so the \
             credential would be sent in the clear; use https, or say `insecure: true` on the credential and on its \
             upstream",
        ),
        (
            "base_url: https://a:b@a.example",
            "bearerd.yaml:4:25: credentials.a.params.base_url: this URL's host is not a host's name or address alone; \
             user and password belong into `basic`, not into the URL",
        ),
        (
            "base_url: https://a.example, fields_in: jsn",
            "bearerd.yaml:4:55: credentials.a.params.fields_in: fields go in one of query, form, json; did you mean \
             `json`?",
        ),
        (
            "base_url: https://a.example, token_path: \"/a b\"",
            "bearerd.yaml:4:56: credentials.a.params.token_path: this is no path of a URL; percent-encode what a path \
             can't hold, such as a space",
        ),
        (
            "base_url: https://a.example, refresh_prefix: \"a\\nb \"",
            "bearerd.yaml:4:60: credentials.a.params.refresh_prefix: this holds a control character, so it can't stand \
             in a header field; a secret's file may hold more than the secret",
        ),
        (
            "base_url: https://a.example, username: \"a:b\"",
            "bearerd.yaml:4:54: credentials.a.params.username: a Basic user name can't hold a colon",
        ),
    ] {
        let text = format!("    preset: pos\n    params: {{ {params} }}\n{used}");
        assert_eq!(credential_faults(&text), [told], "{params}");
    }
    // What the operator wrote over the preset is mended there.
    let own = "    preset: pos\n    params: { base_url: http://a.example }\n    insecure: true\n    \
               sign_in: { request: { fields_in: jsn } }\n";
    let told = credential_faults(own);
    assert!(
        told.len() == 1 && told[0].starts_with("bearerd.yaml:6:38: credentials.a.sign_in.request.fields_in: "),
        "{told:?}"
    );
}

#[test]
fn no_two_that_listen_share_an_address() {
    for (text, told) in [
        (
            "listeners: { a: { bind: 127.0.0.1:1 }, b: { bind: localhost:1 } }",
            "bearerd.yaml:1:51: listeners.b.bind: listener `a` has this address too; give each an address of its own",
        ),
        (
            "probes: { bind: 0.0.0.0:8080, expose: true }",
            "bearerd.yaml:1:17: probes.bind: listener `main` has this address too; give each an address of its own",
        ),
        (
            "probes: { bind: 127.0.0.1:1 }\nadmin: { bind: 127.0.0.1:1 }",
            "bearerd.yaml:2:16: admin.bind: the probes have this address too; give each an address of its own",
        ),
        (
            "probes: { bind: unix:/s }\nadmin: { bind: unix:/s }",
            "bearerd.yaml:2:16: admin.bind: the probes have this address too; give each an address of its own",
        ),
    ] {
        assert_eq!(faults(text), [told], "{text}");
    }
    let apart = "listeners: { a: { bind: 127.0.0.1:0 }, b: { bind: 127.0.0.1:0 }, c: { bind: \"[::1]:1\" } }\n\
                 probes: { bind: 127.0.0.1:1 }\nadmin: { bind: 127.0.0.2:1 }\n";
    assert_eq!(faults(apart), [] as [String; 0]);
}

#[test]
fn callers_that_nobody_could_tell_or_trust_are_faults_without_their_keys() {
    let text = "\
listeners:
  main:
    bind: 127.0.0.1:8080
    key_header: host
    mode: 0660
    callers:
      short: { key: canary }
      empty: { key: \"\" }
      spaced: { key: \"canary canary canary\" }
      one: { key: canary-canary-canary }
      two: { key: canary-canary-canary }
      both: { key: canary-canary-other, user: 0 }
      none: {}
      named: { certificate: { dns: batch.internal } }
      local: { user: 0 }
      Bad: { key: canary-canary-third }
  empty: { bind: 127.0.0.1:8081, callers: {} }
  lost: { bind: 127.0.0.1:8082, key_header: x-key }
  socket:
    bind: unix:/run/main.sock
    mode: \"0999\"
    owner: nobody-here
    callers: { own: { user: 7 }, same: { user: 7 }, odd: { certificate: { sha256: ab } }, nobody: { user: 65534 } }
  half: { bind: 127.0.0.1:8083, tls: { cert: canary.pem } }
upstreams: { api: { url: \"https://api.example\" } }
routes:
  a: { prefix: /a, upstream: api, callers: [one, onne] }
  b: { prefix: /b, upstream: api, listener: lost, callers: [one] }
  c: { prefix: /c, upstream: api, callers: [] }
";
    let hint = "make one with `openssl rand -hex 32`";
    let unix = "bind the listener to one: `unix:/run/bearerd/main.sock`";
    let expected = [
        "4:17: listeners.main.key_header: this is to be the name of a header field that means nothing else; such as \
         `x-erp-key`, or `authorization` for `Bearer KEY`"
            .to_owned(),
        format!("5:5: listeners.main.mode: only a Unix socket has a mode and an owner; {unix}"),
        format!("7:21: listeners.main.callers.short.key: a key of fewer than 16 characters can be guessed; {hint}"),
        format!("8:21: listeners.main.callers.empty.key: a key of fewer than 16 characters can be guessed; {hint}"),
        "9:22: listeners.main.callers.spaced.key: a key has a character that no header field carries as it is; use \
         visible ASCII characters, without spaces"
            .to_owned(),
        "11:19: listeners.main.callers.two.key: caller `one` shows the same, so nobody could tell them apart; give each \
         caller something of its own"
            .to_owned(),
        "12:41: listeners.main.callers.both.user: a caller shows one thing; make two callers of it, each with a name of \
         its own"
            .to_owned(),
        "13:7: listeners.main.callers.none: what this caller shows is missing; give `key`, `certificate: { dns | uri | \
         sha256: … }`, `user` or `group`"
            .to_owned(),
        "14:31: listeners.main.callers.named.certificate.dns: this listener asks for no client certificates; give it \
         `tls: { cert: …, key: …, client_ca: … }`"
            .to_owned(),
        format!("15:16: listeners.main.callers.local.user: only Unix sockets tell which user connects; {unix}"),
        "16:7: listeners.main.callers.Bad: a name is made of a-z, 0-9 and _, and this one has 'B'".to_owned(),
        "17:34: listeners.empty.callers: with no caller named, nobody could call; name one, or leave `callers` out"
            .to_owned(),
        "18:33: listeners.lost.key_header: `key_header` is of no use without `callers`; name who may call: `callers: { \
         NAME: { key: … } }`"
            .to_owned(),
        "21:11: listeners.socket.mode: this is no mode of a file in octal digits; such as `0660`: the owner and the \
         group may connect"
            .to_owned(),
        "22:12: listeners.socket.owner: there is no user of that name in /etc/passwd; give its number, which `id` prints, \
         if it is known elsewhere"
            .to_owned(),
        "23:48: listeners.socket.callers.same.user: caller `own` shows the same, so nobody could tell them apart; give \
         each caller something of its own"
            .to_owned(),
        "23:83: listeners.socket.callers.odd.certificate.sha256: this is no SHA-256 digest in hexadecimal digits; \
         `openssl x509 -in client.pem -noout -fingerprint -sha256` prints it"
            .to_owned(),
        "23:107: listeners.socket.callers.nobody.user: the system says this of everybody whom it can't name, such as users of \
         other containers; run the caller as a user of its own"
            .to_owned(),
        "24:33: listeners.half.tls: `key` is missing; give `cert` and `key`; both may name the same file".to_owned(),
        "24:46: listeners.half.tls.cert: the file canary.pem can't be read: no such file; check its path and its \
         permissions"
            .to_owned(),
        "27:50: routes.a.callers[1]: no listener of this route has a caller of that name; did you mean `one`?".to_owned(),
        "28:61: routes.b.callers[0]: no listener of this route has a caller of that name; name it: `listeners: { NAME: { \
         callers: { … } } }`"
            .to_owned(),
        "29:44: routes.c.callers: with no caller named, nobody could use this route; name one of its listener's \
         `callers`, or leave this out"
            .to_owned(),
    ];
    let told = faults(text);
    for fault in &told {
        assert!(!fault.replace("canary.pem", "").contains("canary"), "{fault}");
    }
    let expected: Vec<String> = expected.iter().map(|fault| format!("bearerd.yaml:{fault}")).collect();
    assert_eq!(told, expected);
}

#[test]
fn an_upstreams_headers_are_what_its_routes_can_say() {
    let text = "upstreams:\n  api: { url: \"https://api.example\", forwarded: always, headers: { host: a, x-tenant: \"${path:tenant}\", x: \"${token:access}\" } }\n\
                routes:\n  a: { upstream: api }\n";
    let told = faults(text);
    for fault in [
        "upstreams.api.forwarded: ",
        "upstreams.api.headers.host: ",
        "upstreams.api.headers.x: ",
    ] {
        assert!(told.iter().any(|line| line.contains(fault)), "{fault}: {told:?}");
    }
    let text = "upstreams:\n  api: { url: \"https://api.example\", headers: { x-tenant: \"${path:tenant}\" } }\n\
                routes:\n  a: { upstream: api }\n";
    assert_eq!(
        faults(text),
        [
            "bearerd.yaml:4:3: routes.a: its upstream's header `x-tenant` reads `${path:tenant}`, and this route doesn't \
             capture it; capture it: `path: /…/{tenant}/{*rest}`, or give the route its own `headers: { x-tenant: … }`"
        ]
    );
}

#[test]
fn law_8_a_header_that_the_credential_would_remove_is_a_fault() {
    let text = "credentials:\n  a: { grant: { type: static, token: canary }, placement: { header: x-session } }\n\
                upstreams:\n  own: { url: \"https://api.example\", credential: a, headers: { X_Session: canary } }\n  \
                none: { url: \"https://api.example\", headers: { Authorization: canary, x-session: fits } }\n\
                routes:\n  a: { prefix: /a, upstream: own, headers: { x-session: canary } }\n  \
                b: { prefix: /b, upstream: own, credential: none, headers: { x-session: fits, authorization: canary } }\n  \
                c: { prefix: /c, upstream: none, credential: a, headers: { authorization: } }\n";
    let by_credential = "credential `a` has its token in this header field, so this would be dropped; leave it out, or \
                         say `credential: none`";
    let by_law = "only a credential sets this header field, so this would be dropped; make it one: \
                  `credentials: { NAME: { grant: { type: static, token: … } } }`";
    assert_eq!(
        faults(text),
        [
            format!("bearerd.yaml:4:64: upstreams.own.headers.X_Session: {by_credential}"),
            format!("bearerd.yaml:5:50: upstreams.none.headers.Authorization: {by_law}"),
            format!("bearerd.yaml:7:46: routes.a.headers.x-session: {by_credential}"),
            format!("bearerd.yaml:8:81: routes.b.headers.authorization: {by_law}"),
        ]
    );
}
