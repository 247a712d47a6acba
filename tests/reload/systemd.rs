//! What a service manager sees and hands over.

use std::{
    fs,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    client::{Ask, PATIENCE},
    world::{api, place, simple, until},
};

/// The next state that is no sign of life, and how many of those came before it.
fn next(socket: &UnixDatagram) -> (String, usize) {
    let (mut text, mut alive) = ([0; 4096], 0);
    loop {
        let length = socket.recv(&mut text).unwrap();
        match String::from_utf8_lossy(&text[..length]).trim() {
            "WATCHDOG=1" => alive += 1,
            status if status.starts_with("STATUS=") => {}
            state => return (state.into(), alive),
        }
    }
}

fn notified(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn it_tells_when_it_is_ready_reloads_and_ends_and_that_it_is_alive() {
    let api = api();
    let mut place = place(&api, &["one"]);
    place.configure(&simple(&api));
    let socket = notified(&place.path("notify.sock"));
    let path = place.path("notify.sock").to_str().unwrap().to_owned();
    place.env.insert("NOTIFY_SOCKET".into(), path);
    place.env.insert("WATCHDOG_USEC".into(), "20000".into());
    let program = place.run();
    assert_eq!(next(&socket).0, "READY=1");
    let mut text = [0; 4096];
    let length = socket.recv(&mut text).unwrap();
    assert_eq!(String::from_utf8_lossy(&text[..length]).trim(), "WATCHDOG=1");

    program.signal(Signal::HUP);
    let reloading = next(&socket).0;
    let lines: Vec<_> = reloading.lines().collect();
    assert!(
        matches!(&lines[..], ["RELOADING=1", time] if time.starts_with("MONOTONIC_USEC=")),
        "{reloading}"
    );
    assert_eq!(next(&socket).0, "READY=1");
    program.signal(Signal::TERM);
    assert_eq!(next(&socket).0, "STOPPING=1");
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let api = api();
    let place = place(&api, &["one"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    place.configure(&simple(&api).replace("127.0.0.1:0", &address.to_string()));
    // Asked before anybody serves it: the socket is there, so nobody is refused.
    let asking = std::thread::spawn(move || Ask::get("/a/x").send(address).status());
    let log = fs::File::create(place.path("log")).unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .env_clear()
        .current_dir(place.folder.path())
        .args([
            "-c",
            "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" run",
        ])
        .arg(env!("CARGO_BIN_EXE_bearerd"))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(log);
    let mut child = command.spawn().unwrap();
    let log = || fs::read_to_string(place.path("log")).unwrap();
    until("it is ready", || {
        log().contains("\"ready\"") || child.try_wait().unwrap().is_some()
    });
    let status = asking.join().unwrap();
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    let ended = child.wait().unwrap();
    assert_eq!(status, 200, "{}", log());
    assert!(ended.success(), "{}", log());
}
