//! `bearerd demo`: each line that it prints works as printed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Ends the demonstration if the test fails.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The words of a shell line that quotes with single quotes only.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(character),
        }
    }
    words
}

/// Does what curl would, and returns the status.
fn curl(line: &str) -> u16 {
    let mut words = words(line).into_iter().skip(1);
    let (mut url, mut fields, mut body) = (String::new(), Vec::new(), None);
    while let Some(word) = words.next() {
        match &*word {
            "-i" => {}
            "-H" => fields.push(words.next().unwrap()),
            "-d" => body = words.next(),
            _ => url = word,
        }
    }
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.unwrap_or_default();
    if !body.is_empty() && !fields.iter().any(|field| field.starts_with("content-type")) {
        fields.push("content-type: application/x-www-form-urlencoded".into());
    }
    fields.push(format!("content-length: {}", body.len()));
    let fields = fields.join("\r\n");
    let mut stream = TcpStream::connect(authority).unwrap();
    write!(
        stream,
        "{method} /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{fields}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn each_line_that_the_demonstration_prints_works() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command
        .env_clear()
        .arg("demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut demo = Demo(command.spawn().unwrap());
    let mut log = demo.0.stderr.take().unwrap();
    // Read beside, so that a full pipe never matters.
    let log = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    let mut lines = Vec::new();
    for line in BufReader::new(demo.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let is_last = line.starts_with("Control-C");
        lines.push(line);
        if is_last {
            break;
        }
    }
    let curls: Vec<&String> = lines.iter().filter(|line| line.starts_with("curl ")).collect();
    assert!(curls.len() > 8, "{lines:#?}");
    for line in curls {
        let status = curl(line);
        assert!(matches!(status, 200 | 201), "{status}: {line}");
    }
    let page = lines
        .iter()
        .find_map(|line| line.strip_prefix("The status page, to watch all this in a browser: "));
    assert_eq!(curl(&format!("curl '{}'", page.unwrap())), 200);
    let config = lines.iter().find_map(|line| line.split_once("--config ")).unwrap().1;
    let status = Command::new(env!("CARGO_BIN_EXE_bearerd"))
        .args(["status", "--config", config])
        .output()
        .unwrap();
    assert!(status.status.success());
    let table = String::from_utf8(status.stdout).unwrap();
    let subjects = table.lines().find(|line| line.starts_with("flow_user")).unwrap();
    assert!(subjects.contains("subjects  2"), "two users were served: {table}");

    kill_process(Pid::from_child(&demo.0), Signal::INT).unwrap();
    assert!(demo.0.wait().unwrap().success());
    let log = log.join().unwrap();
    assert!(log.contains("\"ended\""), "{log}");
    assert!(!std::path::Path::new(config).exists(), "nothing is left behind");
}
