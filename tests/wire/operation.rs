//! What an operator meets: drains, logs that nobody reads, sockets, and commands beside a running proxy.

use std::{
    fs,
    io::{BufReader, Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Stdio,
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use bearerd::clock::Clock;
use rustix::process::Signal;

use crate::{
    client::{Ask, PATIENCE, connect},
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

/// A credential that needs nothing, one upstream at the recorder, one route.
fn config(recorder: &Recorder) -> String {
    format!(
        "{HEAD}credentials: {{ shop: {{ grant: {{ type: static, token: t }} }} }}\n\
         upstreams: {{ shop: {{ url: \"{}\", credential: shop }} }}\n\
         routes: {{ shop: {{ prefix: /shop, upstream: shop }} }}\n",
        recorder.url()
    )
}

fn start(recorder: &Recorder, config: &str) -> Program {
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    place.configure(config);
    place.run()
}

/// A recorder that answers once it is told to.
fn held() -> (Recorder, std::sync::mpsc::Sender<()>, Receiver<()>) {
    let (let_go, wait) = channel();
    let (arrived, arrival) = channel();
    let wait = Mutex::new(wait);
    let arrived = Mutex::new(arrived);
    let recorder = Recorder::start(move |_| {
        let _ = arrived.lock().unwrap().send(());
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        ok("{}")
    });
    (recorder, let_go, arrival)
}

#[test]
fn an_open_request_is_answered_before_the_end_and_new_ones_are_not_taken() {
    let (recorder, let_go, arrival) = held();
    let mut program = start(&recorder, &config(&recorder));
    let mut open = connect(program.address);
    open.write_all(&Ask::get("/shop/a").bytes()).unwrap();
    arrival.recv_timeout(PATIENCE).unwrap();
    // A connection that is kept alive and silent holds nothing up.
    let mut idle = connect(program.address);
    idle.write_all(&Ask::get("/nowhere").header("connection", "keep-alive").bytes())
        .unwrap();
    let mut idle = BufReader::new(idle);
    assert_eq!(Message::answer(&mut idle, false).expect("an answer").status(), 404);
    program.signal(Signal::TERM);
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "it is closed, and nothing is said");
    // The listener closes before the wait; the probes say why until the end.
    let begun = Clock::system().monotonic();
    while TcpStream::connect(program.address).is_ok() {
        assert!(
            (Clock::system().monotonic() - begun) < PATIENCE,
            "it still takes connections"
        );
        std::thread::yield_now();
    }
    let ready = program.probe("/readyz");
    assert_eq!(ready.status(), 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("draining"), "{ready:?}");
    let_go.send(()).unwrap();
    let answer = Message::answer(&mut BufReader::new(open), false).expect("an answer");
    assert_eq!(answer.status(), 200);
    let (status, log, _) = program.wait();
    assert!(status.success() && !log.contains("cut off"), "{log}");
}

#[test]
fn a_download_under_way_is_finished_before_the_end() {
    const LENGTH: usize = 8 * 1024 * 1024;
    let recorder = Recorder::start(|_| {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + LENGTH, b'x');
        answer
    });
    let mut program = start(&recorder, &config(&recorder));
    let mut stream = connect(program.address);
    stream.write_all(&Ask::get("/shop/a").bytes()).unwrap();
    // More than the sockets hold is still to come when the end begins.
    let mut beginning = [0; 1024];
    stream.read_exact(&mut beginning).unwrap();
    program.signal(Signal::TERM);
    while !program.log().contains("SIGTERM") {
        std::thread::yield_now();
    }
    let rest = beginning.chain(stream);
    let answer = Message::answer(&mut BufReader::new(rest), false).expect("an answer");
    assert_eq!((answer.status(), answer.body.len()), (200, LENGTH));
    assert!(program.wait().0.success());
}

#[test]
fn requests_go_on_where_nobody_reads_the_log() {
    let recorder = Recorder::start(|_| ok("{}"));
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    let config = config(&recorder).replace("127.0.0.1:0", "unix:DIR/main.sock");
    place.configure(&config);
    // The pipe is never read: it is full after a few hundred lines, and the queue before it after some thousand.
    let mut child = place.command(&["run"]).stderr(Stdio::piped()).spawn().unwrap();
    let socket = place.path("main.sock");
    let begun = Clock::system().monotonic();
    // Bound after the listeners.
    let last = place.path("probes.sock");
    while UnixStream::connect(&last).is_err() {
        assert!((Clock::system().monotonic() - begun) < PATIENCE);
        std::thread::yield_now();
    }
    let dropped = || {
        let page = Ask::get("/metrics").send_unix(&place.path("probes.sock"));
        let page = String::from_utf8(page.body).unwrap();
        let line = page
            .lines()
            .find(|line| line.starts_with("bearerd_log_lines_dropped"))
            .map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .expect("a counter")
    };
    // Each of these is a line or more, and needs no upstream.
    let many = Ask::get("/nowhere").header("connection", "keep-alive").bytes();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut sent = 0;
    while dropped() == 0 {
        for _ in 0..500 {
            stream.write_all(&many).unwrap();
            assert_eq!(Message::answer(&mut answers, false).expect("an answer").status(), 404);
        }
        sent += 500;
        assert!(sent < 50_000, "nothing is dropped and nothing blocks");
    }
    let answer = Ask::get("/shop/a").send_unix(&socket);
    assert_eq!(answer.status(), 200);
    // And its end comes, with the pipe as full as before.
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    let begun = Clock::system().monotonic();
    drop((stream, answers));
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if (Clock::system().monotonic() - begun) > PATIENCE => panic!("it does not end"),
            None => std::thread::yield_now(),
        }
    };
    assert!(status.success());
    assert!((Clock::system().monotonic() - begun) < Duration::from_secs(20));
}

#[test]
fn unix_sockets_are_this_users_and_are_taken_over_from_the_dead() {
    let recorder = Recorder::start(|_| ok("{}"));
    let config = config(&recorder).replace("127.0.0.1:0", "unix:DIR/main.sock");
    let mut program = start(&recorder, &config);
    let socket = program.place.path("main.sock");
    assert_eq!(Ask::get("/shop/a").send_unix(&socket).status(), 200);
    for name in ["main.sock", "probes.sock", "admin.sock"] {
        let mode = fs::metadata(program.place.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{name} is open to everybody: {mode:o}");
    }
    program.signal(Signal::KILL);
    program.wait();
    assert!(socket.exists(), "who is killed cleans nothing up");
    let again = Place::new();
    recorder.write_ca(&again.path("ca.pem"));
    again.configure(&config.replace("unix:DIR/main.sock", &format!("unix:{}", socket.display())));
    let program_again = again.run();
    assert_eq!(Ask::get("/shop/a").send_unix(&socket).status(), 200);
    assert!(program_again.end().0.success());
}

#[test]
fn commands_without_a_running_one_say_where_they_looked() {
    let recorder = Recorder::start(|_| ok("{}"));
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    place.configure(&config(&recorder));
    for (arguments, socket) in [(["health"], "probes.sock"), (["status"], "admin.sock")] {
        let said = place.ask(&arguments);
        assert_eq!((said.code, &*said.output), (Some(1), ""));
        assert!(
            said.errors.contains(socket) && said.errors.lines().count() == 1,
            "{}",
            said.errors
        );
    }
}
