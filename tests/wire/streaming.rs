//! Large bodies, in memory that doesn't grow with them.
#![cfg(target_os = "linux")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    sync::Mutex,
};

use aws_lc_rs::digest::{Context, SHA256};
use bearerd::demo::{Options, flow_retail};

use crate::{
    client::connect,
    emulated::{Extra, stage},
    program::{Program, kibibytes},
};

const LARGE: usize = 100 * 1024 * 1024;
/// What both transfers together may add: buffers of sockets, of TLS and of HTTP/2's windows, not bodies.
const MOST_ADDED_KIB: u64 = 24 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_pass_in_constant_memory() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    for h2 in [true, false] {
        let (apis, program) = stage(
            Options {
                h2,
                ..Options::default()
            },
            |_| Extra::default(),
        )
        .await;
        let transfers = move || {
            let _alone = ONE_AT_A_TIME.lock().unwrap();
            let tenant = flow_retail::TENANT;
            download(&program, &format!("/flow/v2/tenants/{tenant}/demo/bytes/1000"), 1000);
            let before = kibibytes(program.pid(), "VmHWM");
            download(
                &program,
                &format!("/flow/v2/tenants/{tenant}/demo/bytes/{LARGE}"),
                LARGE,
            );
            upload(&program, &format!("/flow/v2/tenants/{tenant}/reasons"));
            let added = kibibytes(program.pid(), "VmHWM") - before;
            assert!(added < MOST_ADDED_KIB, "{added} KiB more, h2: {h2}");
        };
        tokio::task::spawn_blocking(transfers).await.unwrap();
        let seen = apis.flow_retail().last_data_call().unwrap();
        assert_eq!(seen.body_length, LARGE as u64);
        assert_eq!(seen.version == http::Version::HTTP_2, h2);
    }
}

fn download(program: &Program, target: &str, length: usize) {
    let mut stream = connect(program.address);
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    let (mut piece, mut total) = (vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert_eq!(total, length);
}

fn upload(program: &Program, target: &str) {
    let mut stream = connect(program.address);
    write!(
        stream,
        "POST {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {LARGE}\r\n\r\n"
    )
    .unwrap();
    let (mut sum, mut piece) = (Context::new(&SHA256), vec![0_u8; 1024 * 1024]);
    for nth in 0..LARGE / piece.len() {
        piece
            .iter_mut()
            .enumerate()
            .for_each(|(at, byte)| *byte = (at * 31 + nth) as u8);
        sum.update(&piece);
        stream.write_all(&piece).unwrap();
    }
    let sum: String = sum.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let answer = crate::message::Message::answer(&mut BufReader::new(stream), false).unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.json()["body_sha256"], sum);
}
