//! Texts as they are read.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> (Node, Found) {
    let file = FileId {
        order: 0,
        file: Arc::new("a.yaml".into()),
    };
    let mut found = Found::default();
    (parse(&file, text, &mut found), found)
}

fn text(node: Option<&Node>) -> &str {
    match node {
        Some(Node::Text(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

#[test]
fn every_scalar_stays_as_it_was_written() {
    let (root, found) = read(concat!(
        "a: 0012345\nb: 1e10\nc: yes\nd: 'null'\ne: ~\nf:\ng: null\nh: 0x1F\ni: 1_000\nj: 2001-01-01\n",
        "k: \"\"\nl: !!str null\nm: .inf\nn: '~'\n"
    ));
    assert_eq!(found.faults, []);
    for (key, value) in [
        ("a", "0012345"),
        ("b", "1e10"),
        ("c", "yes"),
        ("d", "null"),
        ("h", "0x1F"),
        ("i", "1_000"),
        ("j", "2001-01-01"),
        ("k", ""),
        ("l", "null"),
        ("m", ".inf"),
        ("n", "~"),
    ] {
        assert_eq!(text(root.get(key)), value, "{key}");
    }
    for key in ["e", "f", "g"] {
        assert_eq!(root.get(key), Some(&Node::Absent), "{key}");
    }
}

#[test]
fn keys_and_values_have_positions() {
    let (_, found) = read("a:\n  b: x\n  c: [y, z]\n");
    let path = KeyPath::of(["a", "b"]);
    assert_eq!(found.index.key(&path).to_string(), "a.yaml:2:3");
    assert_eq!(found.index.value(&path).to_string(), "a.yaml:2:6");
    assert_eq!(
        found.index.value(&KeyPath::of(["a", "c"]).item(1)).to_string(),
        "a.yaml:3:10"
    );
    // What has no place of its own has that of the key above it.
    assert_eq!(
        found.index.value(&KeyPath::of(["a", "b", "q"])).to_string(),
        "a.yaml:2:3"
    );
}

#[test]
fn an_alias_is_what_it_names_and_cannot_explode() {
    let (root, found) = read("a: &x {k: v}\nb: *x\n");
    assert_eq!(found.faults, []);
    assert_eq!(text(root.get("b").and_then(|b| b.get("k"))), "v");

    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        bomb.push_str(&format!(
            "a{n}: &a{n} [{}]\n",
            vec![format!("*a{}", n - 1); 10].join(", ")
        ));
    }
    let (_, found) = read(&bomb);
    assert_eq!(found.faults.len(), 1);
    assert!(found.faults[0].message.contains("larger or deeper"));
}

#[test]
fn what_is_not_yaml_is_a_fault_without_its_source() {
    for (source, line) in [
        ("a: canary\n\tb: canary\n", 2),
        ("a: \"canary\n", 1),
        ("a: canary: canary\n", 1),
        ("a: @canary\n", 1),
        ("a: %canary\n", 1),
        ("a: `canary\n", 1),
    ] {
        let (_, found) = read(source);
        assert_eq!(found.faults.len(), 1, "{source}");
        let shown = found.faults[0].to_string();
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains(&format!("a.yaml:{line}")) || line == 1, "{shown}");
    }
}

#[test]
fn a_key_that_stands_twice_is_a_fault_at_the_second() {
    let (root, found) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(
        found.faults[0].to_string(),
        "a.yaml:3:1: a: this key stands here twice; keep one of the two"
    );
    assert_eq!(text(root.get("a")), "1");
}

proptest! {
    #[test]
    fn quoted_text_is_verbatim(value in any::<String>()) {
        // JSON's escapes are YAML's too, so a JSON string is a double-quoted scalar.
        let quoted = serde_json::to_string(&value).unwrap().replace('\u{7f}', "\\u007f").replace('\u{feff}', "\\ufeff");
        let quoted: String = quoted
            .chars()
            .map(|c| if ('\u{80}'..'\u{a0}').contains(&c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}') {
                format!("\\u{:04x}", c as u32)
            } else {
                c.to_string()
            })
            .collect();
        let (root, found) = read(&format!("k: {quoted}\n"));
        prop_assert_eq!(&found.faults, &[]);
        prop_assert_eq!(text(root.get("k")), value);
    }

    #[test]
    fn any_input_is_read_or_refused(source in any::<String>()) {
        let _ = read(&source);
    }
}
