//! YAML as bearerd reads it: every scalar stays the text that was written, every key keeps its position.
//!
//! `0012345`, `1e10` and `yes` are text, as quoted scalars are; only a plain `null`, `~` or nothing is absent. Faults
//! say line and column and never show the source, which holds secrets.

use std::{
    borrow::Cow,
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use config::{FileStoredFormat, Format, Map, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{
    fault::{Fault, Origin},
    layer,
    node::{FileId, Index, KeyPath, Node},
};

/// Deeper nesting than this is no config.
const DEEPEST: usize = 64;
/// More values than this is no config: aliases can multiply a few lines into billions.
const MOST_NODES: usize = 100_000;

/// What reading a text found besides its tree.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) index: Index,
    pub(super) faults: Vec<Fault>,
}

/// The format of one file, for the `config` crate. Positions and faults go into what all files share, because the
/// crate's own values and errors carry neither.
#[derive(Debug, Clone)]
pub(super) struct Yaml {
    pub(super) file: FileId,
    pub(super) found: Arc<Mutex<Found>>,
}

impl Format for Yaml {
    fn parse(&self, _: Option<&String>, text: &str) -> Result<Map<String, Value>, Box<dyn Error + Send + Sync>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(layer::under_root(parse(&self.file, text, &mut found)))
    }
}

impl FileStoredFormat for Yaml {
    fn file_extensions(&self) -> &'static [&'static str] {
        &["yaml", "yml"]
    }
}

/// Reads one document. What is faulty is absent from the tree.
pub(super) fn parse(file: &FileId, text: &str, found: &mut Found) -> Node {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut scan = Scan {
        parser: Parser::new_from_str(text),
        text,
        file,
        found,
        anchors: HashMap::new(),
        nodes: 0,
    };
    match scan.document() {
        Ok(node) => node,
        Err(Stop(fault)) => {
            scan.found.faults.push(fault);
            Node::Absent
        }
    }
}

/// A fault after which the rest of the text means nothing.
struct Stop(Fault);

struct Scan<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    file: &'a FileId,
    found: &'a mut Found,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Scan<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = Node::Absent;
        let mut documents = 0;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.stop(span, "a config file is one YAML document, and here a second one begins"));
                    }
                    let (event, span) = self.next()?;
                    let origin = self.origin(span);
                    self.found.index.note(KeyPath::default(), origin.clone(), origin);
                    root = self.node(event, span, &KeyPath::default(), 0)?;
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Stop(Fault {
                origin: self.mark(&error),
                path: KeyPath::default(),
                message: format!("not YAML: {}", reason(&error)),
                hint: Some(
                    "indent with spaces, and quote text that has `: `, ` #` or a leading special character".into(),
                ),
            })),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, path: &KeyPath, depth: usize) -> Result<Node, Stop> {
        self.nodes += 1;
        if self.nodes > MOST_NODES || depth > DEEPEST {
            return Err(self.stop(span, "this is larger or deeper than a config can be"));
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, self.scalar(text, style, tag.as_deref(), span)),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    let path = path.item(items.len());
                    let origin = self.origin(span);
                    self.found.index.note(path.clone(), origin.clone(), origin);
                    items.push(self.node(event, span, &path, depth + 1)?);
                }
                (anchor, Node::List(items))
            }
            Event::MappingStart(anchor, _) => (anchor, self.mapping(path, depth)?),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id).cloned() else {
                    return Err(self.stop(span, "this alias stands inside what it names"));
                };
                self.nodes += size(&node);
                (0, node)
            }
            // Between a document's start and its end the parser sends nothing else.
            _ => (0, Node::Absent),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self, path: &KeyPath, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Node::Map(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(self.stop(span, "a key is plain text, and this is a list, a mapping or an alias")),
            };
            let path = path.key(&key);
            let key_origin = self.origin(span);
            let (event, span) = self.next()?;
            let value_origin = self.origin(span);
            if entries.iter().any(|(earlier, _)| *earlier == key) {
                self.found.faults.push(Fault {
                    origin: key_origin,
                    path: path.clone(),
                    message: "this key stands here twice".into(),
                    hint: Some("keep one of the two".into()),
                });
                self.node(event, span, &path, depth + 1)?;
                continue;
            }
            self.found.index.note(path.clone(), key_origin, value_origin);
            let node = self.node(event, span, &path, depth + 1)?;
            entries.push((key, node));
        }
    }

    fn scalar(&mut self, text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == "str") => {
                let origin = self.origin(span);
                self.found.faults.push(Fault {
                    origin,
                    path: KeyPath::default(),
                    message: "tags are not used in a config".into(),
                    hint: Some("every scalar is text already; remove the tag".into()),
                });
                Node::Absent
            }
            None if style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => {
                Node::Absent
            }
            _ => Node::Text(text.into_owned()),
        }
    }

    /// Where an error is. The scanner says of a tab only where the scalar before it began.
    fn mark(&self, error: &ScanError) -> Origin {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        if error.info().contains("tab") {
            let indented = self.text.lines().enumerate().skip(line.saturating_sub(1));
            for (nth, text) in indented {
                let indent = &text[..text.len() - text.trim_start_matches([' ', '\t']).len()];
                if let Some(at) = indent.find('\t') {
                    return self.file.at(nth + 1, at + 1);
                }
            }
        }
        self.file.at(line, column)
    }

    fn origin(&self, span: Span) -> Origin {
        self.file.at(span.start.line(), span.start.col() + 1)
    }

    fn stop(&self, span: Span, message: &str) -> Stop {
        Stop(Fault {
            origin: self.origin(span),
            path: KeyPath::default(),
            message: message.into(),
            hint: None,
        })
    }
}

/// The scanner's own words, but for the one message that shows a character of the source.
fn reason(error: &ScanError) -> &str {
    let info = error.info();
    if info.starts_with("unexpected character") {
        "a character stands here that no plain text begins with"
    } else {
        info
    }
}

fn size(node: &Node) -> usize {
    1 + match node {
        Node::Absent | Node::Text(_) => 0,
        Node::List(items) => items.iter().map(size).sum(),
        Node::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    }
}

#[cfg(test)]
mod tests {
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
}
