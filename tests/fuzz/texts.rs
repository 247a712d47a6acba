//! Texts of operators and of token endpoints.

use std::path::PathBuf;

use bearerd::{
    clock::Clock,
    config::{Surroundings, load},
    credential::{
        grant::Secrets,
        reply::{Answer, ErrorRules, Outcome, Purpose, ReplyRules, Sign, Unit, read},
    },
    template::{Part, Scope, Template, parse},
};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use crate::{fuzz, mutate::mutated, seeds};

/// What stands for every secret.
const CANARY: &str = "canary0secret";

const WORDS_OF_CONFIGS: &[&[u8]] = &[
    b"\n",
    b"  ",
    b": ",
    b"{ ",
    b" }",
    b"[",
    b"]",
    b"- ",
    b"~",
    b"null",
    b"\"",
    b"'",
    b"|\n",
    b">-\n",
    b"&a ",
    b"*a",
    b"<<: ",
    b"!!binary ",
    b"#",
    b"\t",
    b"${env:S}",
    b"${env:",
    b"${file:/s}",
    b"${param:a}",
    b"${header:x}",
    b"$${",
    b"routes:\n",
    b"credentials: ",
    b"upstreams: ",
    b"headers: ",
    b"allow: [\"GET /**\"]",
    b"prefix: /a",
    b"url: \"https://a@b/\"",
    b"1e999",
    b"-1",
    b"18446744073709551616",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\0",
    b"? ",
    b"---\n",
    b"...\n",
    b"preset: pos",
    b"none",
];

#[test]
fn a_config_is_loaded_or_its_faults_are_told_without_a_secret() {
    let mut corpus = seeds("config/examples", ".yaml");
    corpus.push(b"upstreams: { a: { url: \"https://a.example/\", headers: { x: \"${path:b}\" } } }\nroutes: { a: { upstream: a, path: \"/{b}/{*c}\" } }\n".to_vec());
    // Every variable that an example reads, and every file.
    let names: Vec<String> = corpus
        .iter()
        .flat_map(|text| {
            let text = String::from_utf8_lossy(text).into_owned();
            let after = text.split("${env:").skip(1);
            after
                .filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()))
                .collect::<Vec<_>>()
        })
        .chain(["S".into()])
        .collect();
    fuzz("config", &mutated(corpus, WORDS_OF_CONFIGS), |text| {
        let config = text.clone();
        let surroundings = Surroundings {
            env: names.iter().map(|name| (name.clone(), CANARY.to_owned())).collect(),
            read: Box::new(move |path| {
                if path.ends_with("bearerd.yaml") {
                    Ok(config.clone())
                } else {
                    Ok(CANARY.into())
                }
            }),
        };
        let told = match load(&[PathBuf::from("bearerd.yaml")], &surroundings) {
            Ok(loaded) => format!("{:?}", loaded.warnings),
            Err(faults) => format!("{faults} {faults:?}"),
        };
        prop_assert!(!told.contains(CANARY), "{}\n{told}", String::from_utf8_lossy(&text));
        Ok(())
    });
}

/// Any text that was written keeps its meaning, and no value adds a segment, a parameter or an authority.
#[test]
fn a_template_is_what_was_written_with_values_that_stay_in_their_place() {
    let text = prop::collection::vec(
        prop_oneof![
            prop::sample::select(vec![
                "$",
                "{",
                "}",
                "${",
                "$${",
                ":",
                "${header:a}",
                "${path:b}",
                "env",
                " ",
                "\u{e9}"
            ])
            .prop_map(str::to_owned),
            "[a-z:/?#&=%]{0,4}",
        ],
        0..8,
    );
    fuzz("template", &(text, any::<String>()), |(words, value)| {
        let text = words.concat();
        // Whatever it is, it is read or refused.
        let read = parse(&text);
        if !text.contains("${") {
            prop_assert!(read.is_ok(), "{text}");
        }
        let url = Template::new(vec![
            Part::Written("https://a.example/x/".into()),
            Part::Reference(Scope::Path, "b".into()),
            Part::Written("/y?z=".into()),
            Part::Reference(Scope::Header, "a".into()),
        ]);
        let rendered = url.render_url(&|_: Scope, _: &str| Some(value.clone())).unwrap();
        let rendered = rendered.expose_secret();
        let parsed: http::Uri = rendered
            .parse()
            .map_err(|error| TestCaseError::fail(format!("{rendered}: {error}")))?;
        prop_assert_eq!(parsed.host(), Some("a.example"));
        let segments: Vec<_> = parsed.path().split('/').collect();
        prop_assert_eq!(segments.len(), 4, "{}", rendered);
        prop_assert_eq!(parsed.query().unwrap_or_default().split('&').count(), 1, "{}", rendered);
        prop_assert!(!rendered.contains('#'), "{}", rendered);
        Ok(())
    });
}

const WORDS_OF_REPLIES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"1e400",
    b"-0",
    b"\"access_token\":",
    b"\"refresh_token\":\"canary0secret\",",
    b"\"expires_in\":",
    b"\"expires_at\":\"2038-01-19T03:14:08Z\",",
    b"\xff",
    b"\xef\xbb\xbf",
    b"access_token=a&",
    b"error=invalid_grant",
    b"<html>",
    b"\n",
    b"9223372036854775808",
    b"[[[[[[[[",
    b"{\"error\":",
];

fn rules() -> ReplyRules {
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ReplyRules {
        ok: vec![],
        access_token: of(&["/access_token", "/data/token"]),
        refresh_token: of(&["/refresh_token"]),
        expires_in: of(&["/expires_in"]),
        expires_at: of(&["/expires_at"]),
        refresh_expires_in: of(&["/refresh_expires_in"]),
        unit: Unit::Seconds,
    }
}

fn errors() -> ErrorRules {
    ErrorRules {
        code: vec!["/error".into(), "/errors/0/code".into()],
        text: vec!["/error_description".into(), "/message".into()],
        dead: vec![Sign::Code("invalid_grant".into())],
        subject: vec![],
        login: vec![],
        unspent: vec![],
        hints: vec![],
    }
}

#[test]
fn a_reply_is_read_or_lost_and_no_refresh_token_that_is_there_is_dropped() {
    let replies = mutated(seeds("tests/fuzz/seeds", ".json"), WORDS_OF_REPLIES);
    let statuses = prop::sample::select(vec![200_u16, 201, 204, 302, 400, 401, 403, 429, 500, 503]);
    let purposes = prop::sample::select(vec![Purpose::Refresh, Purpose::SignIn, Purpose::Step]);
    let types = prop::sample::select(vec![
        None,
        Some("application/json"),
        Some("application/x-www-form-urlencoded"),
        Some("text/html; charset=iso-8859-1"),
    ]);
    fuzz(
        "reply",
        &(replies, statuses, purposes, types),
        |(body, status, purpose, content_type)| {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            }
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: &headers,
                body: &body,
                cut: false,
            };
            let mut secrets = Secrets::default();
            secrets.add(CANARY);
            let now = Clock::system().now();
            let outcome = read(&answer, purpose, &rules(), &errors(), &secrets, now);
            if let Outcome::Refused(refusal) = &outcome {
                let told = format!("{:?} {:?}", refusal.code, refusal.text);
                prop_assert!(!told.contains(CANARY), "law 9: {told}");
            }
            let sent: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            let token = sent.as_ref().and_then(|sent| sent.get("refresh_token")?.as_str());
            if let Some(token) =
                token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric()))
                && (200..300).contains(&status)
            {
                let Outcome::Granted(tokens) = &outcome else {
                    return Err(TestCaseError::fail(format!(
                        "law 5: {} is {outcome:?}",
                        String::from_utf8_lossy(&body)
                    )));
                };
                prop_assert_eq!(tokens.refresh.as_ref().map(|kept| kept.expose_secret()), Some(token));
            }
            Ok(())
        },
    );
}
