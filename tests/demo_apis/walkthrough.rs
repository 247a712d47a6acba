//! The config and the commands that a person is given.

use std::path::Path;

use bearerd::demo::{Places, PosRefresh, config_yaml, curl_lines};

use crate::client::Stage;

const PRESETS: [&str; 8] = [
    "flow-retail-integration",
    "flow-retail-user",
    "flow-retail-device",
    "fluent-commerce",
    "fluent-commerce-integration",
    "pos",
    "flowlu-api-key",
    "flowlu-oauth",
];

const PREFIXES: [&str; 8] = [
    "/flow",
    "/flow-user",
    "/flow-device",
    "/fluent",
    "/fluent-integration",
    "/pos",
    "/flowlu",
    "/flowlu-oauth",
];

fn places<'a>() -> Places<'a> {
    Places {
        ca: Path::new("/var/lib/demo/demo ca.pem"),
        state: Path::new("/var/lib/demo/state.db"),
        listener: ([127, 0, 0, 1], 8080).into(),
        probes: ([127, 0, 0, 1], 9900).into(),
        admin: ([127, 0, 0, 1], 9901).into(),
    }
}

#[tokio::test]
async fn the_config_uses_every_preset_against_the_running_apis() {
    let stage = Stage::with(|options| options.pos_refresh = PosRefresh::Raw).await;
    let yaml = config_yaml(&stage.apis, &places());
    for preset in PRESETS {
        assert!(yaml.contains(&format!("    preset: {preset}\n")), "{preset}:\n{yaml}");
    }
    for prefix in PREFIXES {
        assert!(yaml.contains(&format!("prefix: {prefix},")), "{prefix}:\n{yaml}");
    }
    for api in stage.apis.all() {
        assert!(
            yaml.contains(&format!("base_url: \"{}\"", api.base_url())),
            "{}",
            api.name()
        );
    }
    assert!(yaml.contains(stage.apis.device_seed()));
    assert!(yaml.contains("refresh_prefix: \"\""));
    assert!(yaml.contains("ca: \"/var/lib/demo/demo ca.pem\""));
}

#[test]
fn every_prefix_has_a_command() {
    let places = places();
    let lines = curl_lines(places.listener);
    for prefix in PREFIXES {
        let start = format!("'http://127.0.0.1:8080{prefix}/");
        let found = lines.iter().any(|line| line.command.contains(&start));
        assert!(found, "{prefix}");
    }
    for line in &lines {
        assert!(line.command.starts_with("curl -i "), "{}", line.command);
    }
}
