//! Secrets of every shape reach the API byte for byte, wherever they are written and wherever they go; or their place
//! doesn't allow them, and `bearerd check` says so at their line.

use std::{collections::BTreeSet, fs};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    client::Ask,
    message::{Message, parameters},
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

const SECRETS: &[&str] = &[
    "0012345",
    "1e10",
    "0x1F",
    ".5",
    "yes",
    "true",
    "null",
    "~",
    "${env:HOME}",
    "$${x} $$ $5 ${",
    "\"double\" 'single'",
    "&=+%",
    "%41%2b+",
    "a b  c",
    " leading",
    "trailing ",
    "back\\slash\\n",
    "Fårikål пароль",
    "ключ🔑",
    "#hash: colon, {a: [1]}",
    "user:colon",
    "- *&!@`|>?",
    "one\ttab",
    "two\nlines",
];

/// A place that a secret goes to: what the credential says, and where the recorder finds it.
struct Spot {
    name: &'static str,
    /// `SECRET` is the secret's reference, `URL` the recorder's.
    credential: &'static str,
    find: fn(&Message) -> Vec<Vec<u8>>,
    /// Whether what is looked for is in the token request.
    in_token_request: bool,
    refuses: fn(&str) -> bool,
}

/// What no header field's value can hold (RFC 9110 §5.5): spaces at its ends, and controls but for the tab.
fn unfit_for_a_field(text: &str) -> bool {
    text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) || text.contains('\n')
}

fn nothing(_: &str) -> bool {
    false
}

fn basic(request: &Message, half: usize) -> Vec<Vec<u8>> {
    let of_field = |value: &[u8]| {
        let pair = STANDARD.decode(value.strip_prefix(b"Basic ").unwrap()).unwrap();
        let colon = pair.iter().position(|byte| *byte == b':').unwrap();
        [&pair[..colon], &pair[colon + 1..]][half].to_vec()
    };
    request.values("authorization").into_iter().map(of_field).collect()
}

/// What RFC 6749 §2.3.1 asks a server to do with either half.
fn form_decoded(halves: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let decoded = |half: Vec<u8>| parameters(&[b"half=", &half[..]].concat(), "half").remove(0);
    halves.into_iter().map(decoded).collect()
}

fn field(request: &Message, name: &str) -> Vec<Vec<u8>> {
    request.values(name).into_iter().map(<[u8]>::to_vec).collect()
}

const SPOTS: &[Spot] = &[
    Spot {
        name: "bearer",
        credential: "{ grant: { type: static, token: SECRET } }",
        find: |request| {
            let fields = field(request, "authorization").into_iter();
            fields
                .map(|value| value.strip_prefix(b"Bearer ").unwrap().to_vec())
                .collect()
        },
        in_token_request: false,
        refuses: |secret| secret.ends_with(' ') || secret.contains('\n'),
    },
    Spot {
        name: "header",
        credential: "{ grant: { type: static, token: SECRET }, placement: { header: x-key } }",
        find: |request| field(request, "x-key"),
        in_token_request: false,
        refuses: unfit_for_a_field,
    },
    Spot {
        name: "query",
        credential: "{ grant: { type: static, token: SECRET }, placement: { query: key } }",
        find: |request| parameters(request.query().as_bytes(), "key"),
        in_token_request: false,
        refuses: nothing,
    },
    Spot {
        name: "form",
        credential: "{ grant: { type: static, token: SECRET }, placement: { form: key } }",
        find: |request| parameters(&request.body, "key"),
        in_token_request: false,
        refuses: nothing,
    },
    Spot {
        name: "basic_password",
        credential: "{ grant: { type: static, token: SECRET }, \
                     placement: { basic: { username: u, password: \"${token:access}\" } } }",
        find: |request| basic(request, 1),
        in_token_request: false,
        refuses: |secret| secret.contains(char::is_control),
    },
    Spot {
        name: "basic_user",
        credential: "{ grant: { type: static, token: t }, \
                     placement: { basic: { username: SECRET, password: \"${token:access}\" } } }",
        find: |request| basic(request, 0),
        in_token_request: false,
        refuses: |secret| secret.contains(':') || secret.contains(char::is_control),
    },
    Spot {
        name: "client_secret_basic",
        credential: "{ grant: { type: client_credentials, token_url: URL, client_id: i, client_secret: SECRET } }",
        find: |request| form_decoded(basic(request, 1)),
        in_token_request: true,
        refuses: nothing,
    },
    Spot {
        name: "client_id_basic",
        credential: "{ grant: { type: client_credentials, token_url: URL, client_id: SECRET, client_secret: s } }",
        find: |request| form_decoded(basic(request, 0)),
        in_token_request: true,
        refuses: nothing,
    },
    Spot {
        name: "client_secret_post",
        credential: "{ grant: { type: client_credentials, token_url: URL, client_id: i, client_secret: SECRET, \
                     auth: post } }",
        find: |request| parameters(&request.body, "client_secret"),
        in_token_request: true,
        refuses: nothing,
    },
    Spot {
        name: "password_form",
        credential: "{ grant: { type: password, token_url: URL, client_id: i, username: u, password: SECRET } }",
        find: |request| parameters(&request.body, "password"),
        in_token_request: true,
        refuses: nothing,
    },
    Spot {
        name: "password_query",
        credential: "{ sign_in: { request: { url: URL, query: { password: SECRET } } } }",
        find: |request| parameters(request.query().as_bytes(), "password"),
        in_token_request: true,
        refuses: nothing,
    },
    Spot {
        name: "password_json",
        credential: "{ sign_in: { request: { url: URL, json: { password: SECRET } } } }",
        find: |request| vec![request.json()["password"].as_str().unwrap().as_bytes().to_vec()],
        in_token_request: true,
        refuses: nothing,
    },
    Spot {
        name: "password_basic",
        credential: "{ sign_in: { request: { url: URL, basic: { username: u, password: SECRET } } } }",
        find: |request| basic(request, 1),
        in_token_request: true,
        refuses: |secret| secret.contains(char::is_control),
    },
    Spot {
        name: "password_header",
        credential: "{ sign_in: { request: { url: URL, headers: { x-password: SECRET } } } }",
        find: |request| field(request, "x-password"),
        in_token_request: true,
        refuses: unfit_for_a_field,
    },
];

/// A credential, and what must arrive.
struct Cell<'a> {
    name: String,
    credential: String,
    spot: &'a Spot,
    secret: &'a str,
}

impl<'a> Cell<'a> {
    fn new(name: String, spot: &'a Spot, secret: &'a str, written: &str, url: &str) -> Self {
        let url = format!("\"{url}/token/{name}\"");
        Self {
            credential: spot.credential.replace("URL", &url).replace("SECRET", written),
            name,
            spot,
            secret,
        }
    }
}

fn recorder() -> Recorder {
    Recorder::start(|_| ok(r#"{"access_token": "issued", "expires_in": 3600}"#))
}

/// The config of these; each credential has a line of its own, and these are their numbers.
fn config(cells: &[Cell<'_>], url: &str) -> (String, Vec<usize>) {
    let mut config = format!("{HEAD}credentials:\n");
    let mut lines = Vec::new();
    for cell in cells {
        config += &format!("  {}: {}\n", cell.name, cell.credential);
        lines.push(config.lines().count());
    }
    config += &format!("upstreams: {{ api: {{ url: \"{url}\" }} }}\nroutes:\n");
    for Cell { name, .. } in cells {
        config += &format!("  {name}: {{ prefix: /{name}, upstream: api, credential: {name} }}\n");
    }
    (config, lines)
}

fn arrives(program: &Program, recorder: &Recorder, cell: &Cell<'_>) {
    let (before, name) = (recorder.seen().len(), &cell.name);
    let answer = program.send(&Ask::to("POST", &format!("/{name}/data")).form("a=1"));
    assert_eq!(answer.status(), 200, "{name} {:?}: {answer:?}", cell.secret);
    let seen: Vec<Message> = recorder.seen().drain(before..).map(|seen| seen.request).collect();
    let is_token_request = |request: &&Message| request.target().starts_with("/token/");
    let (token, data): (Vec<&Message>, Vec<&Message>) = seen.iter().partition(is_token_request);
    let request = if cell.spot.in_token_request { &token } else { &data };
    assert_eq!(request.len(), 1, "{name}");
    let found = (cell.spot.find)(request[0]);
    let found: Vec<_> = found.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
    assert_eq!(found, [cell.secret], "{name}");
}

#[test]
fn every_place_gets_the_very_bytes_or_a_fault_at_their_line() {
    let (recorder, mut place) = (recorder(), Place::new());
    recorder.write_ca(&place.path("ca.pem"));
    let url = recorder.url();
    let mut cells = Vec::new();
    for (nth, secret) in SECRETS.iter().enumerate() {
        place.env.insert(format!("S{nth}"), (*secret).into());
        for spot in SPOTS {
            let name = format!("s{nth}_{}", spot.name);
            cells.push(Cell::new(name, spot, secret, &format!("\"${{env:S{nth}}}\""), &url));
        }
    }
    let (all, lines) = config(&cells, &url);
    place.configure(&all);
    let said = place.ask(&["check"]);
    assert_eq!((said.code, &*said.output), (Some(78), ""), "{}", said.errors);
    let told: Vec<usize> = said
        .errors
        .lines()
        .map(|fault| fault.split(':').nth(1).and_then(|line| line.parse().ok()).expect(fault))
        .collect();
    let is_refused = |cell: &Cell<'_>| (cell.spot.refuses)(cell.secret);
    let expected = cells.iter().zip(&lines).filter(|(cell, _)| is_refused(cell));
    let expected: Vec<usize> = expected.map(|(_, line)| *line).collect();
    let names = |these: &[usize]| -> Vec<String> {
        let of_line = |line: &usize| {
            lines
                .iter()
                .position(|own| own == line)
                .map_or(String::new(), |nth| cells[nth].name.clone())
        };
        these.iter().map(of_line).collect()
    };
    assert_eq!(names(&told), names(&expected), "{}", said.errors);
    for secret in SECRETS.iter().filter(|secret| secret.len() > 6) {
        assert!(!said.errors.contains(secret), "a fault shows {secret:?}");
    }

    cells.retain(|cell| !is_refused(cell));
    place.configure(&config(&cells, &url).0);
    let program = place.run();
    for cell in &cells {
        arrives(&program, &recorder, cell);
    }
}

#[test]
fn every_way_to_write_a_secret_keeps_its_bytes() {
    let (recorder, mut place) = (recorder(), Place::new());
    recorder.write_ca(&place.path("ca.pem"));
    let url = recorder.url();
    let spot = SPOTS.iter().find(|spot| spot.name == "client_secret_post").unwrap();
    let mut cells = Vec::new();
    for (nth, secret) in SECRETS.iter().enumerate() {
        // A text of the config is a template; what a variable or a file holds is not.
        let template = secret.replace("${", "$${");
        let mut cell = |way: &str, written: &str| {
            cells.push(Cell::new(format!("s{nth}_{way}"), spot, secret, written, &url));
        };
        for (way, end) in [("ended", "\n"), ("endless", ""), ("carriage", "\r\n")] {
            let file = format!("s{nth}_{way}");
            fs::write(place.path(&file), format!("{secret}{end}")).unwrap();
            cell(way, &format!("\"${{file:DIR/{file}}}\""));
        }
        let escaped = template.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        cell("double", &format!("\"{escaped}\""));
        if !secret.contains('\n') {
            cell("single", &format!("'{}'", template.replace('\'', "''")));
        }
        if ["0012345", "1e10", "0x1F", ".5", "yes", "true"].contains(secret) {
            cell("plain", secret);
        }
        cell("variable", "replaced");
        let key = format!("BEARERD__CREDENTIALS__S{nth}_VARIABLE__GRANT__CLIENT_SECRET");
        place.env.insert(key, template);
    }
    place.configure(&config(&cells, &url).0);
    let program = place.run();
    for cell in &cells {
        arrives(&program, &recorder, cell);
    }
    let names: BTreeSet<&str> = cells.iter().map(|cell| &*cell.name).collect();
    assert_eq!(names.len(), cells.len());
}
