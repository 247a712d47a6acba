use std::collections::BTreeMap;

use super::*;
use crate::{
    clock::Clock,
    config::{
        self, Surroundings,
        checked::{BaseUrl, Tls, Traces},
    },
};

const BASE: &str = r#"
listeners: { main: { bind: "127.0.0.1:8080" } }
state: { store: memory }
credentials:
  one: { grant: { type: client_credentials, token_url: "https://idp.example/token", client_id: a, client_secret: s1 } }
  two: { grant: { type: static, token: t1 } }
upstreams:
  api: { url: "https://api.example", credential: one }
  other: { url: "https://other.example", credential: two }
routes:
  a: { prefix: /a, upstream: api }
  b: { prefix: /b, upstream: other }
"#;

fn loaded(text: &str) -> Config {
    let text = text.to_owned();
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        read: Box::new(move |_| Ok(text.clone().into_bytes())),
    };
    config::load(&["bearerd.yaml".into()], &surroundings)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .config
}

async fn program() -> Program {
    Program::build(loaded(BASE), Clock::manual()).await.unwrap()
}

/// What a config with this put in the place of that comes to.
fn change(program: &Program, this: &str, that: &str) -> Plan {
    assert!(BASE.contains(this), "{this}");
    program.plan(loaded(&BASE.replace(this, that))).unwrap()
}

#[tokio::test]
async fn what_is_the_same_goes_on() {
    let program = program().await;
    let same = program.plan(loaded(BASE)).unwrap();
    assert_eq!(same.change, Change::default());
    assert!(same.added.is_empty() && same.ended.is_empty());
    // Routes and listeners' other names are swapped with their router.
    for (this, that) in [
        ("prefix: /a", "prefix: /c"),
        ("8080\" }", "8080\", hosts: [erp] }"),
        ("\", credential: one }", "\", credential: two }"),
    ] {
        let plan = change(&program, this, that);
        assert_eq!(plan.change, Change::default(), "{that}");
        assert!(plan.added.is_empty() && plan.ended.is_empty(), "{that}");
    }
}

#[tokio::test]
async fn what_differs_starts_anew_and_nothing_else() {
    let program = program().await;
    let of = |this, that| change(&program, this, that).change.to_string();
    assert_eq!(of("s1", "s2"), "credentials that start anew: one");
    assert_eq!(of("token: t1", "token: t2"), "credentials that start anew: two");
    assert_eq!(of("client_id: a", "client_id: b"), "credentials that start anew: one");
    assert_eq!(
        of("https://api.example\"", "https://api.example\", connect_timeout: 3s"),
        "upstreams that are connected to anew: api"
    );
    let moved = change(&program, "8080", "8081");
    assert_eq!(moved.change, Change::default());
    assert_eq!((moved.added.len(), moved.ended.len()), (1, 1));
}

/// A config whose listener speaks TLS with a certificate that is made for it; `DIR` is where that is.
fn secured(folder: &std::path::Path, settings: &str) -> Config {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(vec!["localhost".into()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    std::fs::write(folder.join("own.pem"), made.pem() + &key.serialize_pem()).unwrap();
    let main = "bind: \"127.0.0.1:8080\", tls: { cert: DIR/own.pem, key: DIR/own.pem }";
    let text = BASE.replace("bind: \"127.0.0.1:8080\"", &format!("{main}{settings}"));
    let path = folder.join("bearerd.yaml");
    std::fs::write(&path, text.replace("DIR", folder.to_str().unwrap())).unwrap();
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        read: Box::new(|path| std::fs::read(path)),
    };
    let loaded = config::load(&[path], &surroundings);
    loaded.unwrap_or_else(|faults| panic!("{faults}")).config
}

#[tokio::test]
async fn another_certificate_is_put_in_and_callers_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::build(secured(folder.path(), ""), Clock::manual())
        .await
        .unwrap();
    let main: ListenerName = "main".parse().unwrap();
    let acceptor = program.acceptor(&main).unwrap();
    let before = acceptor.load_full();
    let plan = program
        .plan(secured(folder.path(), ", callers: { erp: { key: 0123456789abcdef } }"))
        .unwrap();
    assert_eq!(plan.change.to_string(), "listeners with another certificate: main");
    assert!(plan.added.is_empty() && plan.ended.is_empty());
    program.follow(plan).unwrap();
    assert!(!Arc::ptr_eq(&before, &acceptor.load_full()));
    // From TLS to none another way of accepting is needed.
    let plain = program.plan(loaded(BASE)).unwrap();
    assert_eq!((plain.added.len(), plain.ended.len()), (1, 1));
}

#[tokio::test]
async fn a_plan_is_followed_and_what_is_gone_is_forgotten() {
    let mut program = program().await;
    let (one, two) = ("one".parse().unwrap(), "two".parse::<CredentialName>().unwrap());
    program.metrics.token(&two, true, 1, None);
    let without = BASE
        .replace("  two: { grant: { type: static, token: t1 } }\n", "")
        .replace("credential: two", "credential: one");
    let plan = program.plan(loaded(&without)).unwrap();
    assert_eq!(plan.change.to_string(), "credentials that are gone: two");
    assert!(program.managers.contains_key(&two), "nothing is changed by a plan");
    let kept = program.managers[&one].spec().clone();
    program.follow(plan).unwrap();
    assert!(!program.managers.contains_key(&two) && !program.current().now().contains_key(&two));
    assert!(Arc::ptr_eq(&kept, program.managers[&one].spec()), "its manager goes on");
    assert!(!program.metrics.page().contains("credential=\"two\""));
}

#[tokio::test]
async fn another_state_or_other_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let with = |state: &str| {
        let path = folder.path().join("state.db");
        let state = state.replace("PATH", path.to_str().unwrap());
        loaded(&BASE.replace("store: memory", &state))
    };
    let sealed = "store: sqlite, path: PATH, keys: [a-key-that-is-long-enough-for-anybody]";
    let program = Program::build(with(sealed), Clock::manual()).await.unwrap();
    assert!(program.plan(with(sealed)).is_ok());
    for other in [
        "store: memory",
        "store: sqlite, path: PATH",
        &sealed.replace("a-key", "another-key"),
    ] {
        let refused = program.plan(with(other)).err().map(|error| error.to_string());
        assert!(refused.unwrap_or_default().contains("restart"), "{other}");
    }
}

#[tokio::test]
async fn other_traces_take_a_restart() {
    let program = program().await;
    let mut config = loaded(BASE);
    config.traces = Some(Traces {
        collector: BaseUrl {
            scheme: http::uri::Scheme::HTTP,
            authority: "127.0.0.1:4318".parse().unwrap(),
            path: String::new(),
        },
        sample: 1.0,
        tls: Tls::default(),
        proxy: None,
    });
    let plan = program.plan(config).unwrap();
    assert_eq!(plan.change.to_string(), "the settings under traces take a restart");
}
