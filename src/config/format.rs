//! YAML as bearerd reads it: every scalar stays the text that was written, every key keeps its position.
//!
//! `0012345`, `1e10` and `yes` are text, as quoted scalars are; only a plain `null`, `~` or nothing is absent. Faults
//! say line and column and never show the source, which holds secrets.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
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
/// More values than this is no config: aliases can multiply a few lines into billions. Ten thousand routes with every
/// key that a route can have are less than half of it.
const MOST_NODES: usize = 1_000_000;

/// What reading a text found besides its tree.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) index: Index,
    pub(super) faults: Vec<Fault>,
    /// Whether a text ended in a fault: what is missing from its tree then means nothing.
    pub(super) cut: bool,
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
            scan.found.cut = true;
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
                    "indent with spaces; quote text that holds `: ` or ` #` or begins with a special character, and quote \
                     `${…}` within braces and brackets"
                        .into(),
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
        // Looking through the entries would take the square of them.
        let mut seen: HashSet<Cow<'a, str>> = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Node::Map(entries)),
                Event::Scalar(text, ..) => text,
                _ => return Err(self.stop(span, "a key is plain text, and this is a list, a mapping or an alias")),
            };
            let path = path.key(&key);
            let key_origin = self.origin(span);
            let (event, span) = self.next()?;
            let value_origin = self.origin(span);
            if !seen.insert(key.clone()) {
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
            entries.push((key.into_owned(), node));
        }
    }

    fn scalar(&mut self, text: Cow<'a, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if tag.is_some() && !is_text {
            let origin = self.origin(span);
            self.found.faults.push(Fault {
                origin,
                path: KeyPath::default(),
                message: "tags are not used in a config".into(),
                hint: Some("every scalar is text already; remove the tag".into()),
            });
        }
        if tag.is_none() && style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
            return Node::Absent;
        }
        Node::Text(text.into_owned())
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
mod tests;
