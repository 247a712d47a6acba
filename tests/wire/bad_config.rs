//! Configs that can't be used: one clear fault each, at its line, and never a value.

use std::fs;

use crate::program::{Place, Said};

/// Stands where values stand.
const CANARY: &str = "canary-value";

fn check(config: impl AsRef<[u8]>) -> Said {
    let place = Place::new();
    fs::write(place.path("bearerd.yaml"), config).unwrap();
    place.ask(&["check"])
}

/// The line that each fault names, and the rest of it.
fn faults(said: &Said) -> Vec<(usize, &str)> {
    assert_eq!((said.code, &*said.output), (Some(78), ""), "{}", said.errors);
    said.errors
        .lines()
        .map(|fault| {
            let mut parts = fault.splitn(4, ':');
            assert_eq!(parts.next(), Some("bearerd.yaml"), "{fault}");
            let line = parts.next().and_then(|line| line.parse().ok()).expect(fault);
            let column: usize = parts.next().and_then(|column| column.parse().ok()).expect(fault);
            assert!(column > 0);
            (line, parts.next().unwrap().trim())
        })
        .collect()
}

#[test]
fn every_kind_of_fault_is_told_once_at_its_line_and_all_at_once() {
    // Each line that is wrong, with what must be said of it; nothing follows from another's fault.
    let lines: &[(&str, Option<[&str; 2]>)] = &[
        ("listeners:", None),
        (
            "  main: { bind: \"0.0.0.0:8080\" }",
            Some(["listeners.main.bind", "expose"]),
        ),
        ("colour: canary-value", Some(["colour", "unknown key"])),
        ("log: { level: canary-value }", Some(["log.level", "debug"])),
        ("credentials:", None),
        (
            "  unset: { grant: { type: static, token: \"${env:UNSET}\" } }",
            Some(["credentials.unset.grant.token", "UNSET"]),
        ),
        (
            "  gone: { grant: { type: static, token: \"${file:/nowhere/gone}\" } }",
            Some(["credentials.gone.grant.token", "/nowhere/gone"]),
        ),
        (
            "  shop: { preset: flowlu-api-key, params: { account: shop, api_key: canary-value, acount: canary-value } }",
            Some(["credentials.shop.params.acount", "`account`"]),
        ),
        (
            "  other: { preset: flowlu-api-kee, params: { account: canary-value } }",
            Some(["credentials.other.preset", "`flowlu-api-key`"]),
        ),
        (
            "  typed: { grant: { type: static, token: canary-value }, keep_alive: canary-value }",
            Some(["credentials.typed.keep_alive", "true or false"]),
        ),
        (
            "  split: { grant: { type: static, token: \"canary-value\\nx\" } }",
            Some(["credentials.split.grant.token", "control character"]),
        ),
        ("upstreams:", None),
        ("  good: { url: \"https://shop.example\", credential: unset }", None),
        (
            "  plain: { url: \"http://shop.example\", credential: gone }",
            Some(["upstreams.plain.url", "insecure"]),
        ),
        (
            "  lost: { url: \"https://shop.example\", credential: unsett }",
            Some(["upstreams.lost.credential", "`unset`"]),
        ),
        ("routes:", None),
        ("  one: { prefix: /one, upstream: good }", None),
        ("  two: { prefix: /one, upstream: good }", Some(["routes.two", "`one`"])),
        (
            "  three: { prefix: /three, upstream: goood }",
            Some(["routes.three.upstream", "`good`"]),
        ),
        ("  four: { prefix: /four, upstream: plain }", None),
        ("  five: { prefix: /five, upstream: lost }", None),
        ("  word: canary-value", Some(["routes.word", "mapping"])),
        ("  six: [canary-value]", Some(["routes.six", "mapping"])),
    ];
    let config: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    let said = check(config);
    let told = faults(&said);
    let expected: Vec<usize> = (1..)
        .zip(lines)
        .filter(|(_, (_, fault))| fault.is_some())
        .map(|(nth, _)| nth)
        .collect();
    assert_eq!(
        told.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
        expected,
        "{}",
        said.errors
    );
    for (line, fault) in told {
        let [path, word] = lines[line - 1].1.unwrap();
        assert!(
            fault.starts_with(&format!("{path}: ")) && fault.contains(word),
            "{fault}"
        );
    }
    assert!(!said.errors.contains(CANARY), "{}", said.errors);
}

#[test]
fn run_refuses_what_check_refuses() {
    let place = Place::new();
    fs::write(
        place.path("bearerd.yaml"),
        "upstreams: { a: { url: \"http://shop.example\" } }\n",
    )
    .unwrap();
    let checked = place.ask(&["check"]);
    for arguments in [&["run"][..], &[]] {
        let said = place.ask(arguments);
        assert_eq!(
            (said.code, said.errors),
            (Some(78), checked.errors.clone()),
            "{arguments:?}"
        );
    }
}

#[test]
fn what_is_no_config_at_all_is_told_in_one_line() {
    let aliases: String = (1..12)
        .map(|nth| format!("b{nth}: &a{nth} [{}]\n", vec![format!("*a{}", nth - 1); 9].join(",")))
        .collect();
    for (name, config, word) in [
        ("tabs", b"routes:\n\tone: { prefix: /a }\n".to_vec(), "spaces"),
        ("twice", b"log:\n  level: info\n  level: debug\n".to_vec(), "twice"),
        ("unclosed", b"routes: { one: { prefix: /a\n".to_vec(), "YAML"),
        ("a list", b"- a\n- b\n".to_vec(), "mapping"),
        ("a word", b"hello\n".to_vec(), "mapping"),
        ("two documents", b"log: {}\n---\nlog: {}\n".to_vec(), "second"),
        ("a tag", b"log: { file: !secret canary-value }\n".to_vec(), "tag"),
        (
            "deep",
            format!("a: {}{}\n", "[".repeat(5_000), "]".repeat(5_000)).into_bytes(),
            "",
        ),
        (
            "deep blocks",
            (0..500)
                .map(|depth| format!("{}a:\n", " ".repeat(depth)))
                .collect::<String>()
                .into_bytes(),
            "",
        ),
        (
            "aliases",
            format!("b0: &a0 [x,x,x,x,x,x,x,x,x]\n{aliases}").into_bytes(),
            "larger",
        ),
        ("itself", b"a: &a [*a]\n".to_vec(), "alias"),
        (
            "large",
            format!("log: [{}]\n", "x, ".repeat(3_500_000)).into_bytes(),
            "larger",
        ),
        ("a zero byte", b"log: { level: \"a\0b\" }\n".to_vec(), "YAML"),
    ] {
        let said = check(config);
        assert_eq!(faults(&said).len(), 1, "{name}: {}", said.errors);
        assert!(said.errors.contains(word), "{name}: {}", said.errors);
        assert!(
            said.errors.len() < 400 && !said.errors.contains(CANARY),
            "{name}: {}",
            said.errors
        );
    }
}

#[test]
fn what_is_no_file_of_text_is_told_with_its_name() {
    let place = Place::new();
    fs::write(place.path("binary.yaml"), [0x7f, b'E', b'L', b'F', 0xff, 0xfe, 0x00]).unwrap();
    fs::create_dir(place.path("folder.yaml")).unwrap();
    for (file, word) in [
        ("binary.yaml", "UTF-8"),
        ("folder.yaml", "directory"),
        ("gone.yaml", "no such config file"),
    ] {
        let said = place.ask(&["check", "--config", file]);
        assert_eq!((said.code, &*said.output), (Some(78), ""), "{file}");
        assert_eq!(said.errors.lines().count(), 1, "{}", said.errors);
        assert!(
            said.errors.starts_with(&format!("{file}: ")) && said.errors.contains(word),
            "{}",
            said.errors
        );
    }
}

#[test]
fn an_empty_config_serves_nothing_and_says_so() {
    for config in ["", "\n\n", "# nothing\n", "---\n", "{}\n", "\u{feff}"] {
        let said = check(config);
        assert_eq!(said.code, Some(0), "{config:?}: {}", said.errors);
        assert!(
            said.errors.contains("no routes") && said.errors.lines().count() == 1,
            "{}",
            said.errors
        );
    }
}

#[test]
fn later_files_are_laid_over_earlier_ones_and_variables_over_all() {
    let mut place = Place::new();
    fs::write(
        place.path("base.yaml"),
        "upstreams:\n  shop: { url: \"https://one.example\" }\nroutes:\n  shop: { prefix: /shop, upstream: shop }\n",
    )
    .unwrap();
    fs::write(
        place.path("over.yaml"),
        "upstreams:\n  shop: { url: \"https://two.example\" }\n",
    )
    .unwrap();
    let both = ["check", "--config", "base.yaml", "--config", "over.yaml"];
    assert!(place.ask(&both).output.contains("https://two.example"));
    let turned = ["check", "--config", "over.yaml", "--config", "base.yaml"];
    assert!(place.ask(&turned).output.contains("https://one.example"));
    place
        .env
        .insert("BEARERD__UPSTREAMS__SHOP__URL".into(), "https://three.example".into());
    assert!(place.ask(&both).output.contains("https://three.example"));
    place.env.insert(
        "BEARERD__UPSTREAMS__SHOP__URL".into(),
        "http://three.example/canary-value".into(),
    );
    let said = place.ask(&both);
    assert_eq!(said.code, Some(78));
    assert!(
        said.errors.starts_with("BEARERD__UPSTREAMS__SHOP__URL: "),
        "{}",
        said.errors
    );
    assert!(!said.errors.contains(CANARY), "{}", said.errors);

    // $BEARERD_CONFIG names one where --config doesn't.
    place.env.clear();
    place.env.insert("BEARERD_CONFIG".into(), "base.yaml".into());
    assert!(place.ask(&["check"]).output.contains("https://one.example"));
}
