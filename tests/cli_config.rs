//! `bearerd check`, and `bearerd init`, whose output it must accept.

use std::{collections::BTreeMap, fs, path::Path};

use assert_cmd::Command;

fn check(folder: &Path, arguments: &[&str], env: &BTreeMap<String, String>) -> (i32, String, String) {
    let mut command = Command::cargo_bin("bearerd").unwrap();
    command
        .env_clear()
        .envs(env)
        .current_dir(folder)
        .arg("check")
        .args(arguments);
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn without_a_config_it_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let (code, output, errors) = check(folder.path(), &["--config", "none.yaml"], &BTreeMap::new());
    assert_eq!((code, &*output), (78, ""));
    assert!(errors.contains("bearerd init"), "{errors}");
}

#[test]
fn every_fault_has_its_own_line_and_nothing_else_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let config = "\
upstreams:
  shop: { url: \"https://shop.example\", colour: red }
routes:
  shop: { prefix: /shop, upstream: sohp }
";
    fs::write(folder.path().join("bearerd.yaml"), config).unwrap();
    let (code, output, errors) = check(folder.path(), &[], &BTreeMap::new());
    assert_eq!((code, &*output), (78, ""), "{errors}");
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(lines[0].starts_with("bearerd.yaml:2:"), "{errors}");
    assert!(
        lines[1].starts_with("bearerd.yaml:4:") && lines[1].contains("shop"),
        "{errors}"
    );
}

#[test]
fn a_good_config_shows_its_routes_as_they_resolve() {
    let folder = tempfile::tempdir().unwrap();
    let config = "\
credentials:
  shop:
    grant: { type: static, token: canary }
    placement: { query: api_key }
upstreams:
  shop: { url: \"https://shop.example/v2/\", credential: shop }
routes:
  shop: { prefix: /shop, upstream: shop, methods: [GET] }
";
    fs::write(folder.path().join("bearerd.yaml"), config).unwrap();
    let (code, output, errors) = check(folder.path(), &[], &BTreeMap::new());
    assert_eq!((code, &*errors), (0, ""));
    let row = output
        .lines()
        .last()
        .unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(row, "shop * * /shop/* GET https://shop.example/v2/* shop query api_key");
    assert!(output.contains("main      127.0.0.1:8080"), "{output}");
    assert!(!output.contains("canary"));
}

/// The environment variables that a config names, each with a value that can stand anywhere.
fn variables(config: &str) -> BTreeMap<String, String> {
    config
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split("${env:").skip(1))
        .map(|rest| rest.split('}').next().unwrap().to_owned())
        .map(|name| {
            let value = if name.ends_with("URL") {
                "https://shop.example/x"
            } else {
                "x"
            };
            (name, value.to_owned())
        })
        .collect()
}

#[test]
fn what_init_writes_passes_check_once_its_variables_are_set() {
    let presets = bearerd::config::presets();
    let mut choices: Vec<Vec<&str>> = presets.iter().map(|preset| vec![preset.name]).collect();
    choices.push(presets.iter().map(|preset| preset.name).collect());
    choices.push(Vec::new());
    for setting in ["service", "sidecar", "compose"] {
        for choice in &choices {
            let folder = tempfile::tempdir().unwrap();
            let mut init = Command::cargo_bin("bearerd").unwrap();
            let written = init
                .env_clear()
                .args(["init", "--for", setting])
                .args(choice)
                .output()
                .unwrap();
            assert!(written.status.success());
            fs::write(folder.path().join("bearerd.yaml"), &written.stdout).unwrap();
            let config = String::from_utf8(written.stdout).unwrap();
            assert!(config.ends_with("}\n"), "{config}");

            let (code, output, errors) = check(folder.path(), &[], &variables(&config));
            assert_eq!(code, 0, "{setting} {choice:?}: {errors}\n{config}");
            for preset in choice {
                assert!(output.contains(&preset.replace('-', "_")), "{preset}: {output}");
            }
            if !variables(&config).is_empty() {
                let (code, _, errors) = check(folder.path(), &[], &BTreeMap::new());
                assert_eq!(code, 78, "{setting} {choice:?}: {errors}");
            }
        }
    }
}
