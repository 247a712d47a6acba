//! Every example is a good config, and the schema in the repository is the code's.

mod config_fixture;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use bearerd::config::load;
use config_fixture::{load_text, surroundings};
use proptest::prelude::*;

/// The variables that a text reads, each with a value.
fn variables(text: &str) -> Vec<(String, String)> {
    text.split("${env:")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| (name.to_owned(), format!("value of {name}").replace(' ', "-")))
        .collect()
}

/// The examples, and where they are.
fn examples() -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

/// What stands in for the certificates and keys that examples name.
fn pem() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["bearerd.internal".into()]).unwrap();
    certificate.self_signed(&key).unwrap().pem() + &key.serialize_pem()
}

#[test]
fn every_example_is_a_good_config_and_every_preset_has_one() {
    let mut used = BTreeSet::new();
    let (examples, pem) = (examples(), pem());
    for (path, text) in &examples {
        let env = variables(text);
        let env: Vec<(&str, &str)> = env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut files = vec![("bearerd.yaml", text.as_str())];
        let named = [
            "/etc/bearerd/tls/tls.crt",
            "/etc/bearerd/tls/tls.key",
            "/etc/bearerd/tls/ca.crt",
        ];
        files.extend(named.map(|path| (path, pem.as_str())));
        let loaded = load(&[PathBuf::from("bearerd.yaml")], &surroundings(&files, &env));
        let loaded = loaded.unwrap_or_else(|faults| panic!("{}:\n{faults}", path.display()));
        assert_eq!(loaded.warnings, [], "{}", path.display());
        assert!(!loaded.config.routes.is_empty(), "{}", path.display());
        used.extend(
            text.lines()
                .filter_map(|line| line.trim().strip_prefix("preset: ").map(ToOwned::to_owned)),
        );
    }
    assert!(examples.len() >= 10, "only {} examples were found", examples.len());
    let presets: BTreeSet<String> = bearerd::config::presets()
        .iter()
        .map(|preset| preset.name.to_owned())
        .collect();
    assert_eq!(used, presets);
}

/// `UPDATE_SCHEMA=1 cargo test --test config_examples` writes it anew.
#[test]
fn the_schema_in_the_repository_is_the_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    let schema = format!("{:#}\n", bearerd::config::schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap_or_default(),
        schema,
        "config/schema.json is out of step: UPDATE_SCHEMA=1 cargo test --test config_examples"
    );
}

#[test]
fn every_key_of_the_schema_says_what_it_is() {
    fn undescribed(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(|it| it.as_object()) {
            for (key, property) in properties {
                let path = format!("{path}.{key}");
                if property.get("description").is_none() {
                    found.push(path.clone());
                }
            }
        }
    }
    let schema = bearerd::config::schema();
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        undescribed(definition, name, &mut found);
    }
    assert_eq!(found, [] as [String; 0]);
}

proptest! {
    /// A config that somebody mistyped is good or told to be faulty; nothing else happens.
    #[test]
    fn a_mistyped_example_is_never_more_than_a_fault(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        length in 0_usize..12,
        typed in "[ -~\\n\\t]{0,12}|\\PC{0,4}|\\$\\{[a-z]{0,6}:?[a-z]{0,3}\\}",
    ) {
        let examples = examples();
        let (_, text) = which.get(&examples);
        let env = variables(text);
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        let end = (at + length).min(characters.len());
        let mistyped: String = characters[..at].iter().copied().chain(typed.chars()).chain(characters[end..].iter().copied()).collect();
        if let Err(faults) = load_text(&mistyped, &env) {
            prop_assert!(!faults.0.is_empty());
        }
    }
}
