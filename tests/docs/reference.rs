//! docs/configuration.md is made of the schema, and what the schema calls a default is one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use bearerd::config::{self, Surroundings};
use serde_json::Value;

use crate::markdown::{root, text};

const PAGE: &str = "docs/configuration.md";

const HEAD: &str = "\
# Every key of the config

<!-- Made of config/schema.json: UPDATE_DOCS=1 cargo test --test docs -->

Made of the [JSON Schema](../config/schema.json), which editors can check a config against. What the parts are for is in the
[README](../README.md#the-config); how to describe a vendor is in [presets.md](presets.md).

- **Text** is any scalar, exactly as written: `0012345`, `1e10` and `yes` are text too. `${env:NAME}` and `${file:PATH}` in it
  are replaced at load (one final newline of a file is left out); `$${` is a literal `${`.
- **Durations** are `500ms`, `30s`, `5m`, `1h`, `7d`, or a number of seconds.
- **Names** (`NAME` below) are made of `a-z`, `0-9` and `_`.
- A plain `null`, `~` or nothing is absent.
- Files are laid over one another, mappings key by key; lists, `grant` and `placement` are replaced whole. Environment variables
  lie over all files: `BEARERD__UPSTREAMS__SHOP__CONNECT_TIMEOUT=3s` is `upstreams.shop.connect_timeout`.
- An unknown key is a fault.
";

/// A mapping of the config: where it is, and its keys.
struct Section<'s> {
    paths: Vec<String>,
    schema: &'s Value,
}

fn definition<'s>(schema: &'s Value, root: &'s Value) -> (Option<&'s str>, &'s Value) {
    match schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
        Some(name) => (Some(name), &root["$defs"][name]),
        None => (None, schema),
    }
}

/// The words of a choice without settings: each value and what it means.
fn choices(schema: &Value) -> Option<Vec<(&str, &str)>> {
    let all = schema["oneOf"].as_array()?.iter();
    all.map(|one| Some((one["const"].as_str()?, one["description"].as_str()?)))
        .collect()
}

/// The alternatives of a schema that has some, else itself.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let several = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    several.map_or_else(|| vec![schema], |all| all.iter().collect())
}

fn is_duration(schema: &Value) -> bool {
    schema["anyOf"][0]["pattern"].is_string()
}

/// Every mapping with keys of its own, in the order in which a reader meets them.
fn sections(root: &Value) -> Vec<(String, Section<'_>)> {
    fn walk<'s>(name: &str, path: String, schema: &'s Value, root: &'s Value, found: &mut Vec<(String, Section<'s>)>) {
        if let Some((_, known)) = found.iter_mut().find(|(known, _)| known == name) {
            known.paths.push(path);
            return;
        }
        found.push((
            name.to_owned(),
            Section {
                paths: vec![path.clone()],
                schema,
            },
        ));
        let below = |key: &str| {
            if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            }
        };
        for one in alternatives(schema) {
            for (key, property) in one["properties"].as_object().into_iter().flatten() {
                let (values, end) = match (
                    property["additionalProperties"].is_object(),
                    property["items"].is_object(),
                ) {
                    (true, _) => (&property["additionalProperties"], ".NAME"),
                    (_, true) => (&property["items"], "[]"),
                    _ => (property, ""),
                };
                if let (Some(name), schema) = definition(values, root)
                    && choices(schema).is_none()
                {
                    walk(name, below(key) + end, schema, root, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk("", String::new(), root, root, &mut found);
    found
}

fn heading<'a>(section: &'a Section<'_>) -> &'a str {
    match section.paths[0].as_str() {
        "" => "The top",
        path => path,
    }
}

fn fragment(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The type of a value, in words.
fn kind(schema: &Value, root: &Value, sections: &[(String, Section<'_>)]) -> String {
    let (name, inside) = definition(schema, root);
    if let Some(values) = choices(inside) {
        let values: Vec<String> = values.iter().map(|(value, _)| format!("`{value}`")).collect();
        return values.join(", ");
    }
    if let Some((_, section)) = name.and_then(|name| sections.iter().find(|(known, _)| known == name)) {
        return format!("[mapping](#{})", fragment(heading(section)));
    }
    if is_duration(schema) {
        return "duration".into();
    }
    if schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"], root, sections));
    }
    if schema["additionalProperties"].is_object() {
        return format!(
            "mapping of names to {}",
            kind(&schema["additionalProperties"], root, sections)
        );
    }
    match &schema["type"] {
        Value::String(kind) => match kind.as_str() {
            "boolean" => "`true`, `false`".into(),
            "integer" => match schema["maximum"].as_u64() {
                Some(most) => format!("whole number up to {most}"),
                None => "whole number".into(),
            },
            "number" => "number".into(),
            "string" => "text".into(),
            other => panic!("{other}"),
        },
        Value::Array(kinds) if kinds.iter().any(|kind| kind == "object") => "mapping, or JSON text".into(),
        Value::Array(_) => "text".into(),
        _ => panic!("{schema}"),
    }
}

/// What a key means, and what holds without it.
fn meaning(at: &str, schema: &Value, root: &Value) -> (String, String) {
    let described = schema["description"]
        .as_str()
        .unwrap_or_else(|| panic!("{at} isn't described"));
    let described = described.replace('\n', " ");
    let (mut words, absent) = match (described.split_once(" Absent: "), described.split_once(" Required")) {
        (Some((words, absent)), _) => (words.to_owned(), Some(absent.trim_end_matches('.').to_owned())),
        (None, Some((words, absent))) => (
            words.to_owned(),
            Some(format!("required{}", absent.trim_end_matches('.'))),
        ),
        (None, None) => (described.clone(), None),
    };
    for (value, about) in choices(definition(schema, root).1).unwrap_or_default() {
        let _ = write!(words, " `{value}`: {about}");
    }
    let default = match &schema["default"] {
        Value::Null => absent,
        Value::String(text) => Some(format!("`{text}`")),
        other => Some(format!("`{other}`")),
    };
    let default = default.unwrap_or_else(|| {
        panic!("{at}: say what holds without it: a default, `Absent: …`, or `Required`, at the end of its comment")
    });
    (words, default)
}

fn render(root: &Value) -> String {
    let sections = sections(root);
    let mut page = HEAD.to_owned();
    let cell = |text: &str| text.replace('|', "\\|");
    for (_, section) in &sections {
        let _ = write!(page, "\n## {}\n", heading(section));
        let about = section.schema["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        let _ = write!(page, "\n{about}\n");
        if let Some(others) = section.paths.get(1..).filter(|others| !others.is_empty()) {
            let others: Vec<String> = others.iter().map(|path| format!("`{path}`")).collect();
            let _ = write!(page, "\nThe same at {}.\n", others.join(", "));
        }
        page.push('\n');
        let alternatives = alternatives(section.schema);
        for word in alternatives.iter().filter(|one| !one["properties"].is_object()) {
            let value = word["const"]
                .as_str()
                .map_or_else(|| "Text".to_owned(), |word| format!("The word `{word}`"));
            let _ = writeln!(
                page,
                "{value}: {} Or one of the mappings:\n",
                word["description"].as_str().unwrap()
            );
        }
        page.push_str("| key | type | without it | meaning |\n| --- | --- | --- | --- |\n");
        for one in alternatives {
            for (key, property) in one["properties"].as_object().into_iter().flatten() {
                let at = format!("{}.{key}", heading(section));
                let (words, default) = meaning(&at, property, root);
                let kind = kind(property, root, &sections);
                let _ = writeln!(
                    page,
                    "| `{key}` | {} | {} | {} |",
                    cell(&kind),
                    cell(&default),
                    cell(&words)
                );
            }
        }
    }
    page
}

#[test]
fn the_page_is_the_schemas() {
    let page = render(&config::schema());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join(PAGE), &page).unwrap();
    }
    assert_eq!(
        text(PAGE),
        page,
        "{PAGE} is out of step: UPDATE_DOCS=1 cargo test --test docs"
    );
}

/// Where each definition with defaults stands, in a config that has it: the rest is around it.
const PLACES: &[(&str, &str, &str)] = &[
    (
        "Listener",
        "listeners.a",
        "listeners: { a: { bind: 'unix:/a.sock', callers: { b: { key: 0123456789abcdef } } } }",
    ),
    ("Probes", "probes", "probes: { bind: '127.0.0.1:0' }"),
    ("State", "state", "state: { url: 'redis://127.0.0.1' }"),
    (
        "Upstream",
        "upstreams.a",
        "upstreams: { a: { url: 'https://a.example' } }",
    ),
    (
        "Limits",
        "upstreams.a.limits",
        "upstreams: { a: { url: 'https://a.example' } }",
    ),
    (
        "Rate",
        "upstreams.a.limits.rate",
        "upstreams: { a: { url: 'https://a.example', limits: { rate: { requests: 3 } } } }",
    ),
    (
        "Retries",
        "upstreams.a.retries",
        "upstreams: { a: { url: 'https://a.example', retries: { attempts: 2 } } }",
    ),
    (
        "Route",
        "routes.a",
        "{ upstreams: { a: { url: 'https://a.example' } }, routes: { a: { upstream: a } } }",
    ),
    ("Log", "log", "log: {}"),
    ("Traces", "traces", "traces: { otlp: 'http://127.0.0.1:4318' }"),
    (
        "Credential",
        "credentials.a",
        "credentials: { a: { sign_in: { request: { url: 'https://a.example' } } } }",
    ),
    (
        "Request",
        "credentials.a.sign_in.request",
        "credentials: { a: { sign_in: { request: { url: 'https://a.example', fields: { b: c } } } } }",
    ),
    (
        "Basic",
        "credentials.a.sign_in.request.basic",
        "credentials: { a: { sign_in: { request: { url: 'https://a.example', basic: { username: b, password: c } } } } }",
    ),
    (
        "Reply",
        "credentials.a.reply",
        "credentials: { a: { sign_in: { request: { url: 'https://a.example' } }, reply: { ok: [200] } } }",
    ),
    (
        "Step",
        "credentials.a.steps.b",
        "credentials: { a: { sign_in: { request: { url: 'https://a.example' } }, \
         steps: { b: { request: { url: 'https://b.example' } } } } }",
    ),
    (
        "Placement",
        "credentials.a.placement",
        "credentials: { a: { grant: { type: static, token: t }, placement: { header: x-token } } }",
    ),
];

/// What a config comes to, in words; the store where a default needs another one.
fn told(yaml: &str, set: Option<(&str, &str)>) -> String {
    let yaml = match set {
        // These are of Redis alone.
        Some((path, _)) if path.starts_with("state.") && path != "state.store" => {
            yaml.replace("url", "store: redis, url")
        }
        Some(("state.store", _)) => "state: {}".to_owned(),
        _ => yaml.to_owned(),
    };
    let load = |set: Option<(&str, &str)>| {
        let variable = |(path, value): (&str, &str)| {
            (
                format!("BEARERD__{}", path.replace('.', "__").to_uppercase()),
                value.to_owned(),
            )
        };
        let yaml = yaml.clone();
        let surroundings = Surroundings {
            env: set.into_iter().map(variable).collect(),
            read: Box::new(move |_| Ok(yaml.clone().into_bytes())),
        };
        let loaded = config::load(&["bearerd.yaml".into()], &surroundings);
        format!(
            "{:?}",
            loaded.unwrap_or_else(|faults| panic!("{set:?}: {faults}")).config
        )
    };
    let (without, with) = (load(None), load(set));
    assert_eq!(without, with, "{set:?} is no default");
    with
}

#[test]
fn what_the_schema_calls_a_default_is_one() {
    let schema = config::schema();
    let mut defaults: BTreeMap<&str, Vec<(&str, String)>> = BTreeMap::new();
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for one in alternatives(definition) {
            for (key, property) in one["properties"].as_object().into_iter().flatten() {
                let value = match &property["default"] {
                    Value::Null => continue,
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                defaults.entry(name).or_default().push((key, value));
            }
        }
    }
    let placed: BTreeSet<&str> = PLACES.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(defaults.keys().copied().collect::<BTreeSet<_>>(), placed);
    for (name, path, yaml) in PLACES {
        if *name == "Traces" && !cfg!(feature = "otlp") {
            continue;
        }
        for (key, value) in &defaults[name] {
            told(yaml, Some((&format!("{path}.{key}"), value)));
        }
    }
}
