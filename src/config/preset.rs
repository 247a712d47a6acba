//! Presets: a vendor's grants, steps and placement as YAML with parameters. Data, not code.

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;

use super::{
    format::{self, Found},
    node::{FileId, KeyPath, Node},
    raw::{Entries, Field, Text},
    read::{Reader, Sink},
};

/// The built-in presets: their names and texts.
const BUILT_IN: [(&str, &str); 8] = [
    (
        "flow-retail-integration",
        include_str!("../../config/presets/flow-retail-integration.yaml"),
    ),
    (
        "flow-retail-user",
        include_str!("../../config/presets/flow-retail-user.yaml"),
    ),
    (
        "flow-retail-device",
        include_str!("../../config/presets/flow-retail-device.yaml"),
    ),
    (
        "fluent-commerce",
        include_str!("../../config/presets/fluent-commerce.yaml"),
    ),
    (
        "fluent-commerce-integration",
        include_str!("../../config/presets/fluent-commerce-integration.yaml"),
    ),
    ("pos", include_str!("../../config/presets/pos.yaml")),
    (
        "flowlu-api-key",
        include_str!("../../config/presets/flowlu-api-key.yaml"),
    ),
    ("flowlu-oauth", include_str!("../../config/presets/flowlu-oauth.yaml")),
];

/// What a preset says of itself, above the credential that it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    about: Field<Text>,
    source: Field<Text>,
    params: Field<Entries<Declaration>>,
    subject: Field<Entries<Field<Text>>>,
}

/// A parameter, declared.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Declaration {
    #[serde(rename = "type")]
    kind: Field<Kind>,
    pub(super) default: Field<Text>,
    required: Field<bool>,
    about: Field<Text>,
    seed: Field<bool>,
    ask: Field<bool>,
}

/// What a parameter is, which decides how it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A value, encoded for where it stands.
    Text,
    /// The same, asked for without echo.
    Secret,
    /// A URL: it keeps its slashes.
    Url,
    /// A path: it keeps its slashes.
    Path,
    /// A host name or a part of one.
    Host,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Url => "url",
            Self::Path => "path",
            Self::Host => "host",
        }
    }
}

impl Declaration {
    pub(super) fn kind(&self) -> Kind {
        self.kind.given().copied().unwrap_or(Kind::Text)
    }

    pub(super) fn is_required(&self) -> bool {
        self.required == Field::Given(true)
    }

    pub(super) fn is_seed(&self) -> bool {
        self.seed == Field::Given(true)
    }

    pub(super) fn asks(&self) -> bool {
        self.ask == Field::Given(true)
    }

    pub(super) fn about(&self) -> &str {
        self.about.given().map_or("", |about| &about.0)
    }
}

/// A preset.
#[derive(Debug)]
pub(super) struct Preset {
    pub(super) name: &'static str,
    head: Head,
    /// The credential that it is.
    pub(super) body: Node,
}

impl Preset {
    /// Its parameters.
    pub(super) fn params(&self) -> &[(String, Declaration)] {
        self.head.params.given().map_or(&[], |params| &params.0)
    }

    /// One of its parameters.
    pub(super) fn param(&self, name: &str) -> Option<&Declaration> {
        self.head.params.given()?.get(name)
    }

    /// The parts of its subject, and what they are.
    pub(super) fn subject(&self) -> Vec<(&str, &str)> {
        texts(&self.head.subject)
    }
}

fn texts(field: &Field<Entries<Field<Text>>>) -> Vec<(&str, &str)> {
    let entries = field.given().map_or(&[][..], |entries| &entries.0);
    entries
        .iter()
        .map(|(name, text)| (name.as_str(), text.given().map_or("", |text| &text.0)))
        .collect()
}

static PRESETS: LazyLock<Vec<Preset>> =
    LazyLock::new(|| BUILT_IN.iter().filter_map(|(name, text)| read(name, text)).collect());

/// Reads a preset; one that is faulty is none, and a test sees to it that all of them are read.
fn read(name: &'static str, text: &str) -> Option<Preset> {
    let file = FileId {
        order: 0,
        file: Arc::new(format!("{name}.yaml").into()),
    };
    let mut found = Found::default();
    let mut body = format::parse(&file, text, &mut found);
    let own = ["about", "source", "params", "subject"];
    let head = Node::Map(own.iter().map(|key| ((*key).to_owned(), body.take(key))).collect());
    let sink = Sink {
        index: &found.index,
        faults: RefCell::new(std::mem::take(&mut found.faults)),
    };
    let head = Head::deserialize(Reader {
        node: &head,
        path: KeyPath::default(),
        sink: &sink,
    })
    .ok()?;
    sink.faults
        .into_inner()
        .is_empty()
        .then_some(Preset { name, head, body })
}

/// The preset of that name.
pub(super) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// The names of all presets.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    PRESETS.iter().map(|preset| preset.name)
}

/// What is built in, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The preset's name.
    pub name: &'static str,
    /// What it is for.
    pub about: String,
    /// The vendor's document that it follows.
    pub source: String,
    /// Its parameters.
    pub params: Vec<Parameter>,
    /// The parts of its subject, and what they are.
    pub subject: Vec<(String, String)>,
    /// Its steps for `bearerd login`, and what they do.
    pub steps: Vec<(String, String)>,
}

/// A parameter of a preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `text`, `secret`, `url`, `path` or `host`.
    pub kind: &'static str,
    /// Its default, as written in the preset.
    pub default: Option<String>,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it is a refresh token to start from.
    pub seed: bool,
    /// Whether `bearerd login` asks for it where it isn't given.
    pub ask: bool,
    /// What it is.
    pub about: String,
}

/// Every preset that is built in.
pub fn presets() -> Vec<About> {
    PRESETS.iter().map(about).collect()
}

fn about(preset: &Preset) -> About {
    let text = |field: &Field<Text>| field.given().map_or(String::new(), |text| text.0.clone());
    let owned = |(name, about): (&str, &str)| (name.to_owned(), about.to_owned());
    let steps = match preset.body.get("steps") {
        Some(Node::Map(steps)) => steps
            .iter()
            .map(|(name, step)| match step.get("about") {
                Some(Node::Text(about)) => (name.clone(), about.clone()),
                _ => (name.clone(), String::new()),
            })
            .collect(),
        _ => Vec::new(),
    };
    About {
        name: preset.name,
        about: text(&preset.head.about),
        source: text(&preset.head.source),
        params: preset
            .params()
            .iter()
            .map(|(name, declaration)| Parameter {
                name: name.clone(),
                kind: declaration.kind().as_str(),
                default: declaration.default.given().map(|text| text.0.clone()),
                required: declaration.is_required(),
                seed: declaration.is_seed(),
                ask: declaration.asks(),
                about: declaration.about().to_owned(),
            })
            .collect(),
        subject: preset.subject().into_iter().map(owned).collect(),
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_read_and_says_what_it_is() {
        let presets = presets();
        assert_eq!(
            presets.iter().map(|preset| preset.name).collect::<Vec<_>>(),
            BUILT_IN.map(|(name, _)| name)
        );
        for preset in presets {
            assert!(!preset.about.is_empty() && !preset.source.is_empty(), "{}", preset.name);
            assert!(
                preset.params.iter().any(|param| param.name == "base_url"),
                "{}",
                preset.name
            );
            for param in &preset.params {
                assert!(!param.about.is_empty(), "{} {}", preset.name, param.name);
            }
            for (step, about) in &preset.steps {
                assert!(!about.is_empty(), "{} {step}", preset.name);
            }
        }
    }
}
