//! Upstreams and token endpoints behind a company's HTTP proxy.

use std::{
    io::{BufReader, Write, copy},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    client::Ask,
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{OTHER_NAME, Recorder, ok},
};

const PASSWORD: &str = "pr0xy-canary";
/// `erp:` and the password.
const BASIC: &str = "Basic ZXJwOnByMHh5LWNhbmFyeQ==";

/// A proxy that wants a user, and leads everywhere to one place.
struct Corporate {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Corporate {
    fn start(leads_to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
        };
        let asked = proxy.asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = asked.clone();
                thread::spawn(move || tunnel(stream, leads_to, &asked));
            }
        });
        proxy
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn tunnel(mut stream: TcpStream, leads_to: SocketAddr, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(request) = Message::request(&mut reader) else {
        return;
    };
    asked.lock().unwrap().push(request.start.clone());
    if request.header("proxy-authorization").as_deref() != Some(BASIC) {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n";
        let _ = stream.write_all(refusal);
        return;
    }
    let mut server = TcpStream::connect(leads_to).unwrap();
    stream
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .unwrap();
    let (mut out, mut back) = (server.try_clone().unwrap(), stream.try_clone().unwrap());
    thread::spawn(move || {
        let _ = copy(&mut server, &mut back);
        let _ = back.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut reader, &mut out);
    let _ = out.shutdown(Shutdown::Write);
}

/// A program whose API, and its token endpoint, have a name that resolves behind the proxy only.
fn stage(
    user: &str,
    setting: impl Fn(&str) -> String,
    env: impl Fn(&str) -> Vec<(String, String)>,
) -> (Corporate, Program) {
    let recorder = Recorder::start(|request| match request.target() {
        "/token" => ok(r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":3600}"#),
        _ => ok("{}"),
    });
    let proxy = Corporate::start(recorder.address);
    let mut place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    let url = format!("http://{user}{}", proxy.address);
    let setting = setting(&url);
    place.env.extend(env(&url));
    place.configure(&format!(
        "{HEAD}credentials:\n  idp:\n    {setting}\n    grant: {{ type: client_credentials, \
         token_url: \"https://{OTHER_NAME}/token\", client_id: erp, client_secret: s, auth: basic }}\n\
         upstreams:\n  api:\n    {setting}\n    url: \"https://{OTHER_NAME}:8443\"\n    credential: idp\n\
         routes: {{ api: {{ upstream: api }} }}\n"
    ));
    (proxy, place.run())
}

fn is_reached_through(proxy: &Corporate, program: Program) {
    assert_eq!(program.send(&Ask::get("/a")).status(), 200);
    let mut asked = proxy.asked();
    asked.sort();
    let connect = |port| format!("CONNECT {OTHER_NAME}:{port} HTTP/1.1");
    assert_eq!(asked, [connect(443), connect(8443)]);
    let (_, log, _) = program.end();
    assert!(!log.contains(PASSWORD) && !log.contains(BASIC), "{log}");
}

#[test]
fn a_setting_leads_through_a_proxy() {
    let user = format!("erp:{PASSWORD}@");
    let (proxy, program) = stage(&user, |url| format!("proxy: \"{url}\""), |_| vec![]);
    is_reached_through(&proxy, program);
}

#[test]
fn the_environment_leads_through_a_proxy() {
    let user = format!("erp:{PASSWORD}@");
    let env = |url: &str| {
        vec![
            ("HTTPS_PROXY".into(), url.into()),
            ("no_proxy".into(), "other.example,10.0.0.0/8".into()),
        ]
    };
    let (proxy, program) = stage(&user, |_| "insecure: false".into(), env);
    is_reached_through(&proxy, program);
}

#[test]
fn no_proxy_and_none_lead_past_it() {
    let user = format!("erp:{PASSWORD}@");
    let both = |url: &str| {
        vec![
            ("HTTPS_PROXY".into(), url.into()),
            ("NO_PROXY".into(), OTHER_NAME.into()),
        ]
    };
    let one = |url: &str| vec![("https_proxy".into(), url.to_owned())];
    let stages = [
        stage(&user, |_| "insecure: false".into(), both),
        stage(&user, |_| "proxy: none".into(), one),
    ];
    for (proxy, program) in stages {
        assert_eq!(
            program.send(&Ask::get("/a")).status(),
            503,
            "nothing resolves that name here"
        );
        assert_eq!(proxy.asked(), Vec::<String>::new());
    }
}

#[test]
fn law_9_a_refused_user_is_told_and_the_password_is_not() {
    let (_, program) = stage(
        &format!("erp:{PASSWORD}x@"),
        |url| format!("proxy: \"{url}\""),
        |_| vec![],
    );
    let answer = program.send(&Ask::get("/a"));
    assert_eq!(answer.status(), 503);
    let (_, log, _) = program.end();
    assert!(log.contains("refuses the user or password"), "{log}");
    let told = format!("{answer:?}{log}");
    assert!(!told.contains(PASSWORD) && !told.contains("ZXJwOn"), "{told}");
}
