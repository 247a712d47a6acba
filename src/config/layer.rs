//! Layers: each laid over those before it by the `config` crate, which merges mappings and replaces everything else.
//!
//! Choices (`placement`, `grant`) are replaced whole too, though they may be mappings: they travel through the crate
//! as lists of one. All of a config travels under one key, because the crate reads a top-level key as a path.

use std::collections::BTreeMap;

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::{
    fault::{Fault, Origin},
    node::{Index, KeyPath, Node},
};

/// The key that a whole config travels under.
const ROOT: &str = "bearerd";
/// What every variable of the environment layer begins with.
pub(super) const PREFIX: &str = "BEARERD__";
/// The keys of a credential whose values are replaced whole.
const CHOICES: [&str; 2] = ["placement", "grant"];

fn is_choice(path: &KeyPath) -> bool {
    let keys: Vec<&str> = path.keys().collect();
    matches!(keys[..], ["credentials", _, choice] if CHOICES.contains(&choice))
}

/// A tree as the crate's layer.
pub(super) fn under_root(root: Node) -> Map<String, Value> {
    let mut layer = Map::new();
    // A file without anything in it changes nothing.
    if root != Node::Absent {
        layer.insert(ROOT.into(), value(root, &KeyPath::default()));
    }
    layer
}

fn value(node: Node, path: &KeyPath) -> Value {
    let plain = match node {
        Node::Absent => return Value::new(None, ValueKind::Nil),
        Node::Text(text) => Value::new(None, text),
        Node::List(items) => {
            let items: Vec<Value> = items
                .into_iter()
                .enumerate()
                .map(|(nth, item)| value(item, &path.item(nth)))
                .collect();
            Value::new(None, items)
        }
        Node::Map(entries) => {
            let mut table = Map::new();
            for (key, node) in entries {
                let path = path.key(&key);
                table.insert(key, value(node, &path));
            }
            Value::new(None, table)
        }
    };
    if is_choice(path) {
        Value::new(None, vec![plain])
    } else {
        plain
    }
}

fn node(value: Value, path: &KeyPath) -> Node {
    match value.kind {
        ValueKind::Nil => Node::Absent,
        ValueKind::Array(mut items) if is_choice(path) => match items.pop() {
            Some(Value {
                kind: ValueKind::Array(items),
                ..
            }) => list(items, path),
            Some(choice) => plain(choice, path),
            None => Node::Absent,
        },
        _ => plain(value, path),
    }
}

fn plain(value: Value, path: &KeyPath) -> Node {
    match value.kind {
        ValueKind::Nil => Node::Absent,
        ValueKind::Array(items) => list(items, path),
        ValueKind::Table(table) => Node::Map(
            table
                .into_iter()
                .map(|(key, value)| {
                    let path = path.key(&key);
                    (key, node(value, &path))
                })
                .collect(),
        ),
        ValueKind::String(text) => Node::Text(text),
        // Our layers hold nothing but text.
        other => Node::Text(other.to_string()),
    }
}

fn list(items: Vec<Value>, path: &KeyPath) -> Node {
    let items = items.into_iter().enumerate();
    Node::List(items.map(|(nth, item)| plain(item, &path.item(nth))).collect())
}

/// What the merged layers are.
pub(super) fn merged(builder: config::ConfigBuilder<config::builder::DefaultState>) -> Result<Node, ConfigError> {
    let mut cache = builder.build()?.cache;
    let root = match &mut cache.kind {
        ValueKind::Table(table) => table.swap_remove(ROOT),
        _ => None,
    };
    Ok(root.map_or(Node::Absent, |root| node(root, &KeyPath::default())))
}

/// A tree that is laid over others as a file would be.
#[derive(Debug, Clone)]
pub(super) struct Tree(pub(super) Node);

impl Source for Tree {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(under_root(self.0.clone()))
    }
}

/// The layer of `BEARERD__SECTION__NAME__KEY` variables: a value each, and it stays text.
#[derive(Clone)]
pub(super) struct Environment(Vec<(KeyPath, String)>);

/// Shows keys only: any value may be a secret.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(path, _)| path)).finish()
    }
}

impl Environment {
    /// Whether it changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The variables of an environment that are of this layer; their places go into the index.
    pub(super) fn read(env: &BTreeMap<String, String>, index: &mut Index, faults: &mut Vec<Fault>) -> Self {
        let mut values = Vec::new();
        for (variable, value) in env {
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let keys: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
            let origin = Origin::Variable(variable.clone());
            let nameable = |key: &String| {
                !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            };
            if !keys.iter().all(nameable) {
                faults.push(Fault {
                    origin,
                    path: KeyPath::default(),
                    message: "this variable's name is no key of the config".into(),
                    hint: Some("write BEARERD__SECTION__NAME__KEY, with two underscores between keys".into()),
                });
                continue;
            }
            let path = KeyPath::of(keys.iter().map(String::as_str));
            // A key that no file has is written in the variable's name.
            let mut above = path.parent();
            while let Some(key) = above.filter(|key| !key.is_empty() && !index.has(key)) {
                index.note(key.clone(), origin.clone(), origin.clone());
                above = key.parent();
            }
            index.note(path.clone(), origin.clone(), origin);
            values.push((path, value.clone()));
        }
        Self(values)
    }
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut layer = Map::new();
        for (path, value) in &self.0 {
            let mut expression = String::from(ROOT);
            let mut above = KeyPath::default();
            for key in path.keys() {
                expression.push('.');
                expression.push_str(key);
                above = above.key(key);
                // One key of a choice is set in place; a whole choice takes its place below.
                if is_choice(&above) {
                    expression.push_str("[0]");
                }
            }
            layer.insert(expression, Value::new(None, value.clone()));
        }
        Ok(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Node)]) -> Node {
        Node::Map(
            entries
                .iter()
                .map(|(key, node)| ((*key).into(), node.clone()))
                .collect(),
        )
    }

    fn text(text: &str) -> Node {
        Node::Text(text.into())
    }

    fn credential(entries: &[(&str, Node)]) -> Node {
        map(&[("credentials", map(&[("a", map(entries))]))])
    }

    fn lay(layers: &[Node], env: &[(&str, &str)]) -> Node {
        let mut builder = config::Config::builder();
        for layer in layers {
            builder = builder.add_source(Tree(layer.clone()));
        }
        let env = env
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect();
        let mut faults = Vec::new();
        builder = builder.add_source(Environment::read(&env, &mut Index::default(), &mut faults));
        assert_eq!(faults, []);
        merged(builder).unwrap()
    }

    #[test]
    fn mappings_are_merged_and_choices_and_lists_replaced() {
        let below = credential(&[
            ("grant", map(&[("type", text("password")), ("username", text("u"))])),
            ("rejected", Node::List(vec![text("1"), text("2")])),
            (
                "reply",
                map(&[("unit", text("seconds")), ("ok", Node::List(vec![text("200")]))]),
            ),
        ]);
        let above = credential(&[
            ("grant", map(&[("type", text("static"))])),
            ("rejected", Node::List(vec![text("3")])),
            ("reply", map(&[("unit", text("milliseconds"))])),
        ]);
        assert_eq!(
            lay(&[below, above], &[]),
            credential(&[
                ("grant", map(&[("type", text("static"))])),
                ("rejected", Node::List(vec![text("3")])),
                (
                    "reply",
                    map(&[("unit", text("milliseconds")), ("ok", Node::List(vec![text("200")]))])
                ),
            ])
        );
    }

    #[test]
    fn a_variable_sets_one_key_even_of_a_choice_and_stays_text() {
        let file = credential(&[
            ("grant", map(&[("type", text("static"))])),
            ("placement", text("bearer")),
        ]);
        let laid = lay(
            &[file],
            &[
                ("BEARERD__CREDENTIALS__A__GRANT__TOKEN", "0012345"),
                ("BEARERD__CREDENTIALS__A__PLACEMENT__HEADER", "x-key"),
                ("BEARERD__LOG__LEVEL", "yes"),
                ("BEARERD_CONFIG", "not of this layer"),
            ],
        );
        let a = laid.get("credentials").and_then(|c| c.get("a")).unwrap();
        assert_eq!(
            a.get("grant"),
            Some(&map(&[("type", text("static")), ("token", text("0012345"))]))
        );
        assert_eq!(a.get("placement"), Some(&map(&[("header", text("x-key"))])));
        assert_eq!(laid.get("log"), Some(&map(&[("level", text("yes"))])));
    }

    #[test]
    fn a_key_with_a_dot_or_a_bracket_stays_one_key() {
        let odd = map(&[("a.b[0]", map(&[("c.d", text("x"))]))]);
        assert_eq!(lay(std::slice::from_ref(&odd), &[]), odd);
    }

    #[test]
    fn nothing_over_something_takes_it_away() {
        let laid = lay(
            &[
                map(&[("log", map(&[("level", text("info"))]))]),
                map(&[("log", Node::Absent)]),
            ],
            &[],
        );
        assert_eq!(laid.get("log"), Some(&Node::Absent));
    }
}
