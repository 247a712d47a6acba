//! Law 9: no secret and no token in the log at its loudest, in any answer of bearerd's own, on any page or at the
//! command line; however it is encoded.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::Stdio,
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bearerd::demo::{Apis, Misbehaviour, Options, Times, flow_retail, flowlu, fluent, pos};
use form_urlencoded::byte_serialize;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;

use crate::{
    client::{Ask, PATIENCE},
    emulated::{Extra, stage},
    message::Message,
    program::Program,
};

/// Shorter spellings are found by accident.
const SHORTEST: usize = 6;

/// RFC 3986 §2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const WRONG_PASSWORD: &str = "wr0ng pass&word=+%";
const WRONG_TOKEN: &str = "no-token-of-anybody";
const UNREACHED_PASSWORD: &str = "unreached pässword/+";
const CLIENT_SECRET: &str = "own secret: 5%+";
const NEW_USER: &str = "till-user";
const NEW_PASSWORD: &str = "till \"password\" \\ 7";
const CALLERS_TOKEN: &str = "callers-own-token-19";
const CALLERS_QUERY: &str = "callers-own-question";

/// What the config and the callers bring; tokens come later.
fn known_secrets(apis: &Apis) -> Vec<String> {
    let mut secrets: Vec<String> = [
        flow_retail::INTEGRATION_TOKEN,
        flow_retail::DEVICE_CODE,
        fluent::PASSWORD,
        fluent::API_CLIENT.secret,
        fluent::INTEGRATION_CLIENT.secret,
        pos::PASSWORD,
        pos::CLIENT_SECRET,
        flowlu::API_KEY,
        flowlu::PASSWORD,
        WRONG_PASSWORD,
        WRONG_TOKEN,
        UNREACHED_PASSWORD,
        CLIENT_SECRET,
        NEW_PASSWORD,
        CALLERS_TOKEN,
        CALLERS_QUERY,
    ]
    .map(str::to_owned)
    .into();
    secrets.push(apis.device_seed().to_owned());
    secrets.extend(flow_retail::USERS.iter().map(|user| user.token.to_owned()));
    for (user, password) in [
        (pos::CLIENT_ID, pos::CLIENT_SECRET),
        (fluent::USERNAME, fluent::PASSWORD),
        (NEW_USER, NEW_PASSWORD),
    ] {
        secrets.push(format!("{user}:{password}"));
    }
    secrets
}

/// Every way in which a secret may stand in a text.
fn spellings(secret: &str) -> BTreeSet<String> {
    let lower_hex = |text: &str| -> String {
        let mut hex = 0;
        let lowered = text.chars().map(|c| {
            hex = if c == '%' { 2 } else { i32::max(hex - 1, -1) };
            if hex >= 0 { c.to_ascii_lowercase() } else { c }
        });
        lowered.collect()
    };
    let json = serde_json::to_string(secret).unwrap();
    let ascii: String = secret.chars().flat_map(char::escape_default).collect();
    let mut found: BTreeSet<String> = [
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        ascii,
        format!("{secret:?}").trim_matches('"').to_owned(),
    ]
    .into();
    let encoded = [
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, UNRESERVED).to_string(),
        byte_serialize(secret.as_bytes()).collect(),
    ];
    for text in encoded {
        found.insert(lower_hex(&text));
        found.insert(text);
    }
    // Within longer text, base64 shows the secret in one of three ways; what its neighbours share is left away.
    for offset in 0..3 {
        let mut bytes = vec![0; offset];
        bytes.extend(secret.as_bytes());
        let (skipped, whole) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            found.insert(text[skipped..whole].to_owned());
        }
    }
    found.retain(|spelling| spelling.len() >= SHORTEST);
    found
}

/// The secrets that a text shows. Each is named by its place in the list: a failure must not print it either.
fn shown(text: &str, secrets: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for (nth, secret) in secrets.iter().enumerate() {
        for spelling in spellings(secret) {
            if let Some(at) = text.find(&spelling) {
                let line = text[..at].lines().count();
                all.push(format!("secret {nth} ({} bytes) at line {line}", secret.len()));
            }
        }
    }
    all
}

#[test]
fn a_secret_is_found_however_it_is_spelt() {
    let secrets = [
        fluent::PASSWORD,
        flowlu::PASSWORD,
        NEW_PASSWORD,
        "0012345",
        "a-uuid-or-so",
    ];
    for secret in secrets {
        let percent = utf8_percent_encode(secret, UNRESERVED).to_string();
        for text in [
            format!("password={secret}!"),
            format!("?a=1&password={percent}&b"),
            format!("?a=1&password={}&b", percent.to_lowercase()),
            byte_serialize(secret.as_bytes()).collect(),
            serde_json::json!({"message": format!("it was {secret}")}).to_string(),
            format!("{:?}", Some(secret)),
            STANDARD_NO_PAD.encode(format!("user:{secret}")),
            STANDARD_NO_PAD.encode(format!("usr:{secret} ")),
            URL_SAFE_NO_PAD.encode(format!("a user:{secret}, and more")),
        ] {
            assert!(!shown(&text, &[secret.into()]).is_empty(), "{text}");
        }
        assert!(shown("nothing of the kind", &[secret.into()]).is_empty());
    }
}

/// A fluent or POS credential for each misbehaviour and each kind of token request, and some that never work.
fn extra(apis: &Apis) -> Extra {
    let mut extra = Extra {
        // Dependencies are asked for all they have, too; they are capped where they would tell.
        level: "trace,hyper=trace,hyper_util=trace,h2=trace,rustls=trace,tower=trace,tokio_rustls=trace,rusqlite=trace",
        ..Extra::default()
    };
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let (fluent_url, pos_url, flow_url) = (
        apis.fluent().base_url(),
        apis.pos().base_url(),
        apis.flow_retail().base_url(),
    );
    let fluent = |password: &str| {
        let client = fluent::API_CLIENT;
        format!(
            "preset: fluent-commerce, spend_deadline: 1s, lease: 2s, params: {{ base_url: \"{fluent_url}\", \
             client_id: {}, client_secret: {}, username: {}, password: {} }}",
            quoted(client.id),
            quoted(client.secret),
            quoted(fluent::USERNAME),
            quoted(password)
        )
    };
    let pos = |user: Option<(&str, &str)>| {
        let user = user.map_or_else(String::new, |(user, password)| {
            format!(", username: {}, password: {}", quoted(user), quoted(password))
        });
        format!(
            "preset: pos, spend_deadline: 1s, lease: 2s, params: {{ base_url: \"{pos_url}\", client_id: {}, \
             client_secret: {}{user} }}",
            quoted(pos::CLIENT_ID),
            quoted(pos::CLIENT_SECRET)
        )
    };
    let mut add = |name: &str, credential: &str, url: &str| {
        extra.credentials += &format!("  {name}: {{ {credential} }}\n");
        extra.upstreams += &format!("  {name}: {{ url: \"{url}\", credential: {name} }}\n");
        extra.routes += &format!(
            "  {name}: {{ prefix: /{}, upstream: {name}, token_timeout: 300ms }}\n",
            name.replace('_', "-")
        );
    };
    for misbehaviour in Misbehaviour::ALL {
        for kind in ["first", "later"] {
            add(
                &format!("fluent_{kind}_{misbehaviour}"),
                &fluent(fluent::PASSWORD),
                fluent_url,
            );
            let user = Some((pos::USER_NAME, pos::PASSWORD));
            add(&format!("pos_{kind}_{misbehaviour}"), &pos(user), pos_url);
        }
    }
    add("wrong_password", &fluent(WRONG_PASSWORD), fluent_url);
    add("asked", &pos(None), pos_url);
    add("made", &pos(Some((NEW_USER, NEW_PASSWORD))), pos_url);
    let token =
        format!("preset: flow-retail-integration, params: {{ base_url: \"{flow_url}\", token: {WRONG_TOKEN} }}");
    add("wrong_token", &token, flow_url);
    let device = format!(
        "preset: flow-retail-device, params: {{ base_url: \"{flow_url}\", app_id: {} }}",
        flow_retail::APP_ID
    );
    add("device", &device, flow_url);
    let grant = |url: &str, auth: &str| {
        format!(
            "grant: {{ type: password, token_url: \"{url}\", client_id: {}, client_secret: {}, auth: {auth}, \
             username: u, password: {} }}",
            flowlu::CLIENT_ID,
            quoted(CLIENT_SECRET),
            quoted(UNREACHED_PASSWORD)
        )
    };
    let flowlu_url = apis.flowlu().base_url();
    add(
        "unknown_user",
        &grant(&format!("{flowlu_url}/oauth/token"), "basic"),
        flowlu_url,
    );
    add("unreached", &grant("http://127.0.0.1:1/token", "post"), flowlu_url);
    add(
        "not_tls",
        &grant(&format!("{}/token", fluent_url.replace("https", "http")), "post"),
        flowlu_url,
    );
    let query = format!(
        "sign_in: {{ request: {{ url: \"https://127.0.0.1:1/{{}}?a=1\", query: {{ password: {} }} }} }}",
        quoted(UNREACHED_PASSWORD)
    );
    add("in_query", &query, "https://127.0.0.1:1");
    extra
}

/// A step of `bearerd login`, with these answers at its standard input.
fn login(program: &Program, arguments: &[&str], answers: &[&str]) -> String {
    let mut child = program
        .place
        .command(&[&["login"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for answer in answers {
        // A command that has no questions has closed it.
        let _ = writeln!(input, "{answer}");
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    format!(
        "login {arguments:?}: {:?}\n{}{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A request as a careless caller sends it.
fn ask(method: &str, target: &str) -> Ask {
    let mark = if target.contains('?') { '&' } else { '?' };
    // Where it isn't the placement's own parameter, the API is right to take offence at it.
    let own = if target.starts_with("/flowlu/") { "api_key" } else { "a" };
    Ask::to(
        method,
        &format!("{target}{mark}q={CALLERS_QUERY}&{own}={CALLERS_TOKEN}"),
    )
    .header("authorization", format!("Bearer {CALLERS_TOKEN}"))
    .header("x-flow-user-token", flow_retail::USERS[0].token)
}

fn text(answer: &Message) -> String {
    format!("{answer:?}\n{}\n", String::from_utf8_lossy(&answer.body))
}

/// What whoever watches hears: all that is true now, and what the routes did.
fn watch(admin: &Path) -> String {
    let mut stream = UnixStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(b"GET /events HTTP/1.0\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let (mut reader, mut heard) = (BufReader::new(stream), String::new());
    while heard.matches("event: beat").count() < 3 {
        assert_ne!(reader.read_line(&mut heard).unwrap(), 0, "{heard}");
    }
    assert!(
        heard.contains("event: status") && heard.contains("refresh_token_refused"),
        "{heard}"
    );
    heard
}

/// Everything that can go right and wrong, and what was said about it.
fn drive(apis: &Apis, program: &Program) -> String {
    let mut said = String::new();
    let mut once = |ask: &Ask| {
        let mut answer = program.send(ask);
        let status = answer.status();
        if answer.header("x-bearerd-error").is_none() {
            // The upstream's own words: it tells what it was asked.
            answer.body.clear();
        }
        said += &text(&answer);
        status
    };
    // These routes wait for a token for a moment only, and the machine may be slow: the token comes all the same.
    let mut send = |ask: &Ask| (0..200).map(|_| once(ask)).find(|status| *status != 504).unwrap_or(504);
    let tenant = flow_retail::TENANT;
    let targets = [
        format!("/flow/v2/tenants/{tenant}/reasons"),
        format!("/flow-user/v2/tenants/{tenant}/reasons"),
        format!("/flow-device/v2/tenants/{tenant}/reasons"),
        "/fluent/graphql".into(),
        "/fluent-integration/api/v4.1/order/1001".into(),
        "/pos/dishes".into(),
        "/flowlu/api/v1/module/crm/lead/list".into(),
        "/flowlu-oauth/api/v1/module/crm/lead/list".into(),
    ];
    let all_work = |send: &mut dyn FnMut(&Ask) -> u16| {
        for target in &targets {
            let method = if target.ends_with("graphql") { "POST" } else { "GET" };
            assert_eq!(send(&ask(method, target)), 200, "{target}");
        }
    };
    // Sign-ins, and renewals because of a 401 whose request is replayed.
    all_work(&mut send);
    for api in apis.all() {
        api.revoke_all();
    }
    all_work(&mut send);
    assert_eq!(
        send(&ask("POST", "/flowlu/api/v1/module/crm/lead/create").form("name=x")),
        200
    );
    // A rejection that no renewal mends, and a body too large to send again.
    apis.pos().refuse(Times::Next(2));
    assert_eq!(send(&ask("GET", "/pos/dishes")), 401);
    apis.fluent().refuse(Times::Next(1));
    assert_eq!(
        send(&ask("POST", "/fluent-integration/graphql").body(vec![b'x'; 100_000])),
        401
    );
    all_work(&mut send);
    // A family that is revoked, so that its refresh is refused.
    apis.fluent().revoke_family();
    all_work(&mut send);

    for (api, family, data) in [
        (apis.fluent(), "fluent", "/api/v4.1/order/1001"),
        (apis.pos(), "pos", "/dishes"),
    ] {
        for misbehaviour in Misbehaviour::ALL {
            let [first, later] = ["first", "later"]
                .map(|kind| format!("/{family}-{kind}-{}{data}", misbehaviour.name().replace('_', "-")));
            api.misbehave(*misbehaviour, Times::Next(1));
            send(&ask("GET", &first));
            api.behave();
            assert_eq!(send(&ask("GET", &later)), 200, "{later}");
            api.misbehave(*misbehaviour, Times::Next(1));
            api.revoke_all();
            send(&ask("GET", &later));
            api.behave();
        }
    }
    for (route, data, statuses) in [
        ("wrong-password", "/graphql", [503]),
        ("asked", "/dishes", [503]),
        ("made", "/dishes", [503]),
        ("wrong-token", &*format!("/v2/tenants/{tenant}/reasons"), [401]),
        ("device", &*format!("/v2/tenants/{tenant}/reasons"), [503]),
        ("unknown-user", "/api/v1/x", [503]),
        ("unreached", "/api/v1/x", [503]),
        ("not-tls", "/api/v1/x", [503]),
        ("in-query", "/", [503]),
    ] {
        let status = send(&ask("GET", &format!("/{route}{data}")));
        assert!(statuses.contains(&status), "{route}: {status}");
    }
    // Refusals of bearerd's own.
    for (target, status) in [
        ("/nowhere", 404),
        ("/flow/a%00", 400),
        ("/fluent/oauth/token?password=x", 403),
    ] {
        assert_eq!(send(&ask("POST", target)), status, "{target}");
    }
    assert_eq!(send(&Ask::get("/pos/dishes").header("host", "evil.example")), 421);
    assert_eq!(
        send(&Ask::get("/pos/dishes").header("origin", "https://evil.example")),
        403
    );
    assert_eq!(
        send(&Ask::get("/flow-user/v2/tenants/t/reasons").header("x-flow-user-token", WRONG_TOKEN)),
        401
    );

    // What people do.
    said += &login(program, &["asked"], &[NEW_USER, WRONG_PASSWORD]);
    said += &login(program, &["made", "create_account"], &[]);
    said += &login(program, &["asked"], &[NEW_USER, NEW_PASSWORD]);
    said += &login(program, &["device", "link"], &[WRONG_PASSWORD]);
    said += &login(program, &["device", "link"], &[flow_retail::DEVICE_CODE]);
    said += &login(program, &["flow"], &[]);
    for target in ["/made/dishes", "/asked/dishes"] {
        let mut answers = (0..200).map(|_| program.send(&ask("GET", target)).status());
        assert_eq!(answers.find(|status| *status != 504), Some(200), "{target}");
    }
    for arguments in [&["status"][..], &["status", "--json"], &["check"], &["health"]] {
        let told = program.place.ask(arguments);
        said += &format!("{arguments:?}\n{}{}", told.output, told.errors);
    }
    for page in ["/metrics", "/readyz", "/livez"] {
        said += &text(&program.probe(page));
    }
    let admin = program.place.path("admin.sock");
    for page in ["/status", "/", "/log"] {
        said += &text(&Ask::get(page).send_unix(&admin));
    }
    said += &watch(&admin);
    for name in [
        "fluent",
        "pos",
        "flow_user",
        "wrong_password",
        "unreached",
        "not_tls",
        "in_query",
        "device",
    ] {
        let ask = Ask::to("POST", &format!("/credentials/{name}/refresh"));
        let ask = ask.header("content-type", "application/json").body("{}");
        said += &text(&ask.send_unix(&admin));
    }
    let broken = format!(r#"{{"level": "{CALLERS_TOKEN}"}}"#);
    let ask = Ask::to("PUT", "/log").header("content-type", "application/json");
    let mut answer = ask.body(broken).send_unix(&admin);
    // What a filter says is no secret: its own words are given back.
    answer.body.clear();
    said += &text(&answer);
    said += &text(
        &Ask::to("POST", "/credentials/fluent/login")
            .header("content-type", "application/json")
            .body(format!(
                "{{\"answers\": {{\"password\": \"{CALLERS_TOKEN}\"}}, \"broken"
            ))
            .send_unix(&program.place.path("admin.sock")),
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn law_9_no_secret_is_written_or_said_anywhere() {
    let options = Options {
        keep_issued: true,
        drip: Duration::from_millis(1),
        ..Options::default()
    };
    let (apis, program) = stage(options, extra).await;
    let (apis, program, said) = tokio::task::spawn_blocking(move || {
        let said = drive(&apis, &program);
        (apis, program, said)
    })
    .await
    .unwrap();
    let (status, log, output) = tokio::task::spawn_blocking(|| program.end()).await.unwrap();
    assert!(status.success(), "{status}");

    let mut secrets = known_secrets(&apis);
    let issued = apis.all().into_iter().flat_map(|api| api.issued());
    secrets.extend(issued.map(|token| token.expose_secret().to_owned()));
    assert!(secrets.len() > 150, "only {} secrets were used", secrets.len());
    // The log has heard of everything, or its silence proves nothing.
    for event in [
        "bearerd::access",
        "bearerd::token",
        "\"level\":\"DEBUG\"",
        "\"target\":\"h2",
        "\"target\":\"hyper",
    ] {
        assert!(log.contains(event), "the log has nothing of {event}");
    }
    assert!(log.lines().count() > 1_000, "{} lines", log.lines().count());
    for (place, text) in [("the log", &log), ("standard output", &output), ("an answer", &said)] {
        assert_eq!(shown(text, &secrets), Vec::<String>::new(), "{place}");
    }
}
