//! What `bearerd doctor` finds, and that it spends nothing.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    process::Output,
    thread,
};

use bearerd::demo::{Apis, Options};

use crate::world::{World, command};

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The verdicts on what begins like this, with their words.
fn lines<'a>(table: &'a str, what: &str) -> Vec<&'a str> {
    let lines = table.lines().filter(|line| {
        let after = line.trim_start_matches(|c: char| c.is_alphabetic()).trim_start();
        after.starts_with(what)
    });
    lines.collect()
}

/// A doctor of its own, where nothing runs.
fn doctor(config: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = config.replace("DIR", folder.path().to_str().unwrap());
    fs::write(folder.path().join("bearerd.yaml"), config).unwrap();
    let all: Vec<&str> = ["doctor"].iter().chain(arguments).copied().collect();
    let output = command(folder.path(), &all).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), said(&output) + &errors)
}

fn config(token_url: &str, more: &str) -> String {
    format!(
        "listeners: {{ main: {{ bind: \"unix:DIR/main.sock\" }} }}\n\
         admin: {{ bind: \"unix:DIR/admin.sock\" }}\n\
         state: {{ store: sqlite, path: DIR/state.db }}\n\
         credentials:\n  \
           a:\n    grant: {{ type: client_credentials, token_url: \"{token_url}\", client_id: i, client_secret: canary }}\n\
         {more}"
    )
}

#[test]
fn a_healthy_one_is_told_so_and_nothing_is_spent() {
    let world = World::start();
    let output = world.bearerd(&["doctor"]);
    let table = said(&output);
    assert_eq!(output.status.code(), Some(0), "{table}");
    assert!(!table.contains("FAIL"), "{table}");
    for what in [
        "state",
        "bearerd",
        "code: token endpoint",
        "device: device endpoint",
        "upstream code",
    ] {
        let lines = lines(&table, what);
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line.starts_with("ok")),
            "{what}: {table}"
        );
    }
    assert!(table.contains("0 s apart"), "{table}");
    let (counts, counted) = (world.idp.counts(), world.counted());
    assert_eq!(
        (counts.families, counts.spends, counts.authorised + counts.unauthorised),
        (0, 0, 0)
    );
    assert_eq!((counted.polls, counted.codes_refused, counted.refreshes), (0, 0, 0));

    let only = said(&world.bearerd(&["doctor", "device"]));
    assert!(only.contains("device: ") && only.contains("upstream device"), "{only}");
    assert!(
        !only.contains("code: token") && !only.contains("upstream code"),
        "{only}"
    );
    assert_eq!(world.bearerd(&["doctor", "devise"]).status.code(), Some(1));
}

#[test]
fn a_closed_port_a_strange_authority_and_a_missing_directory_fail() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let (code, table) = doctor(&config(&format!("http://127.0.0.1:{port}/token"), ""), &["--sign-in"]);
    assert_eq!(code, 1, "{table}");
    assert!(lines(&table, "a: token endpoint")[0].starts_with("FAIL"), "{table}");
    assert!(
        table.contains("nothing listens there") && !table.contains("canary"),
        "{table}"
    );
    assert!(lines(&table, "bearerd")[0].starts_with("warn"), "{table}");
    assert!(lines(&table, "state")[0].starts_with("ok"), "{table}");
    assert!(lines(&table, "a: sign-in")[0].contains("not tried"), "{table}");

    let missing = config(&format!("http://127.0.0.1:{port}/token"), "").replace("DIR/state.db", "DIR/else/state.db");
    let (_, table) = doctor(&missing, &[]);
    let state = lines(&table, "state")[0];
    assert!(
        state.starts_with("FAIL") && state.contains("make the directory"),
        "{table}"
    );

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let apis = runtime.block_on(Apis::start(Options::default())).unwrap();
    let url = format!("{}/token", apis.fluent().base_url());
    let (code, table) = doctor(&config(&url, ""), &[]);
    assert_eq!(code, 1, "{table}");
    assert!(table.contains("unknown authority"), "{table}");

    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, apis.ca_pem()).unwrap();
    let (code, table) = doctor(&config(&url, &format!("tls: {{ ca: {} }}\n", ca.display())), &[]);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("TLS 1.3"), "{table}");
}

#[test]
fn a_clock_that_is_off_and_a_wrong_path_are_warned_of() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/tokne", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            // Whoever only looked has hung up already.
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\ndate: Sat, 01 Jan 2022 00:00:00 GMT\r\ncontent-length: 0\r\n\
                  connection: close\r\n\r\n",
            );
        }
    });
    let (code, table) = doctor(&config(&url, ""), &[]);
    assert_eq!(code, 0, "warnings fail nothing: {table}");
    assert!(table.contains("answers 404: check the path"), "{table}");
    assert!(table.contains("s ahead of its clock"), "{table}");
}

#[test]
fn a_path_that_is_known_by_its_method_alone_is_no_wrong_path() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]);
            let status = match head.starts_with("POST /token ") {
                true if head.contains("canary") => "500 A Credential",
                true => "400 Bad Request",
                false => "404 Not Found",
            };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let (code, table) = doctor(&config(&url, ""), &[]);
    assert_eq!(code, 0, "{table}");
    let endpoint = lines(&table, "a: token endpoint");
    assert!(endpoint.iter().all(|line| line.starts_with("ok")), "{table}");
    assert!(table.contains("it answers (400)"), "{table}");
}
