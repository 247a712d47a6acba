//! A config that can't be used changes nothing and is seen; what is put right is picked up by its content.

use std::{fs, os::unix::fs::symlink};

use crate::{
    client::Ask,
    program::Program,
    world::{act, api, metric, place, reload, simple, until},
};

fn readiness(program: &Program) -> (String, String) {
    let ready = program.probe("/readyz");
    assert_eq!(ready.status(), 200, "a stale config serves: {ready:?}");
    let ready = ready.json();
    (ready["status"].as_str().unwrap().into(), ready["reasons"].to_string())
}

fn is_served(program: &Program) -> bool {
    program.send(&Ask::get("/a/x")).status() == 200
}

#[test]
fn a_config_with_faults_changes_nothing_and_is_seen_everywhere() {
    let api = api();
    let place = place(&api, &["one"]);
    place.configure(&simple(&api));
    let program = place.run();
    assert!(is_served(&program));
    assert_eq!(readiness(&program).0, "ready");

    let broken = simple(&api).replace("upstream: api }", "upstream: nowhere, colour: red }");
    program.place.configure(&broken);
    let answer = act(&program, "/reload");
    assert_eq!(answer.status(), 422, "{answer:?}");
    assert_eq!(answer.header("x-bearerd-error").as_deref(), Some("config_refused"));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("routes.a.upstream") && detail.contains("routes.a.colour"),
        "every fault: {detail}"
    );

    let (status, reasons) = readiness(&program);
    assert_eq!(status, "degraded");
    assert!(
        reasons.contains("bearerd.yaml:") && reasons.contains("not in use"),
        "{reasons}"
    );
    assert_eq!(metric(&program, "bearerd_config_stale"), 1);
    assert_eq!(metric(&program, "bearerd_config_reloads_total{outcome=\"refused\"}"), 1);
    assert!(is_served(&program), "the config before it is in use");
    let told = program.place.ask(&["status"]);
    // Its own config is the broken one; what it needs of it is whole.
    assert!(
        told.output.contains("degraded") && told.output.contains("not in use"),
        "{told:?}"
    );
    until("the log says so", || {
        let log = program.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("can't be used")).collect();
        matches!(&lines[..], [line] if line.contains("routes.a.upstream") && line.contains("routes.a.colour"))
    });

    program.place.configure(&simple(&api));
    reload(&program);
    assert_eq!(readiness(&program).0, "ready");
    assert_eq!(metric(&program, "bearerd_config_stale"), 0);
}

#[test]
fn another_state_asks_for_a_restart() {
    let api = api();
    let place = place(&api, &["one"]);
    place.configure(&simple(&api));
    let program = place.run();
    let moved = simple(&api).replace("store: memory", "store: sqlite, path: DIR/state.db");
    program.place.configure(&moved.replace("prefix: /a", "prefix: /b"));
    let answer = act(&program, "/reload");
    assert_eq!(answer.status(), 422);
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("restart"),
        "{answer:?}"
    );
    assert!(is_served(&program), "nothing of it is in use");
    assert!(!program.place.path("state.db").exists());
}

/// A ConfigMap or a Secret in a pod: `..data` is a symlink to a directory, and is swapped for another.
#[test]
fn content_is_watched_through_symlinks_and_secrets_too() {
    let api = api();
    let place = place(&api, &["one"]);
    let version = |name: &str, secret: &str| {
        let folder = place.path(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("secret"), secret).unwrap();
        symlink(&folder, place.path("next")).unwrap();
        fs::rename(place.path("next"), place.path("data")).unwrap();
    };
    version("v1", "first");
    place.configure(&simple(&api).replace("DIR/one", "DIR/data/secret"));
    let folder = place.folder.path().to_owned();
    let program = place.run();
    assert!(is_served(&program));

    fs::create_dir(folder.join("v2")).unwrap();
    fs::write(folder.join("v2/secret"), "second").unwrap();
    symlink(folder.join("v2"), folder.join("next")).unwrap();
    fs::rename(folder.join("next"), folder.join("data")).unwrap();
    until("the swap is seen", || {
        metric(&program, "bearerd_config_reloads_total{outcome=\"applied\"}") == 1
    });
    // It starts anew over what the store holds, and the next sign-in is with the new secret.
    assert_eq!(act(&program, "/credentials/one/refresh").status(), 200);
    let basic = |secret: &str| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        format!("Basic {}", STANDARD.encode(format!("one:{secret}")))
    };
    until("a token request with the new secret", || {
        assert!(is_served(&program));
        let seen = api.seen();
        let last = seen.iter().rfind(|seen| seen.request.target() == "/token").unwrap();
        last.request.header("authorization") == Some(basic("second"))
    });

    // A file that goes away is a fault; that it comes back is seen as well.
    fs::remove_file(folder.join("v2/secret")).unwrap();
    until("the fault is seen", || readiness(&program).0 == "degraded");
    assert!(is_served(&program));
    fs::write(folder.join("v2/secret"), "second").unwrap();
    until("it is whole again", || readiness(&program).0 == "ready");
    assert_eq!(metric(&program, "bearerd_config_reloads_total{outcome=\"refused\"}"), 1);
}
