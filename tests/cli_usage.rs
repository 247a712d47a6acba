//! The command line without a config: help, versions, wrong usage and what is built in.

use assert_cmd::Command;

fn bearerd(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("bearerd").unwrap();
    let output = command.env_clear().args(arguments).output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn help_and_version_are_answers() {
    let (code, output, errors) = bearerd(&["--help"]);
    assert_eq!((code, &*errors), (0, ""));
    for command in ["run", "check", "health", "status", "presets", "init", "login", "demo"] {
        assert!(output.contains(&format!("\n  {command} ")), "{command}: {output}");
    }
    assert!(output.contains("/etc/bearerd/bearerd.yaml"), "{output}");
    let (code, output, _) = bearerd(&["--version"]);
    assert_eq!((code, output), (0, format!("bearerd {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_usage_is_64() {
    for arguments in [
        ["fly"].as_slice(),
        &["--fly"],
        &["login"],
        &["init", "--for", "desktop"],
        &["presets", "no-such-preset"],
        &["init", "no-such-preset"],
    ] {
        let (code, output, errors) = bearerd(arguments);
        assert_eq!((code, &*output), (64, ""), "{arguments:?}: {errors}");
        assert!(!errors.is_empty());
    }
    let (_, _, errors) = bearerd(&["login"]);
    assert!(errors.starts_with("bearerd: the following required"), "{errors}");
    let (_, _, errors) = bearerd(&["stauts"]);
    assert!(errors.contains("status"), "a suggestion: {errors}");
    let (_, _, errors) = bearerd(&["presets", "no-such-preset"]);
    assert!(
        errors.starts_with("bearerd: there is no preset 'no-such-preset'; there are: "),
        "{errors}"
    );
}

#[test]
fn presets_are_listed_and_shown() {
    let (code, list, _) = bearerd(&["presets"]);
    assert_eq!(code, 0);
    let names: Vec<&str> = list
        .lines()
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names.len(), bearerd::config::presets().len());
    for name in names {
        let (code, page, _) = bearerd(&["presets", name]);
        assert_eq!(code, 0);
        assert!(page.contains(&format!("preset: {name}")), "{page}");
    }
}
