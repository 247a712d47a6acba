//! What `deploy/` holds is accepted by the programs that read it, and says what the program does.
//!
//! Where a program isn't installed, the test that wants it skips and says so; with `BEARERD_TESTS_DEMAND=1` it fails,
//! unless the program is none of Debian's.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use bearerd::{
    admin::prometheus_text,
    config::{self, Loaded, Surroundings},
    metrics::{Answered, Metrics, Usage},
};
use http::StatusCode;

/// The exposure that the unit may have, in tenths ("systemd-analyze security", `--threshold`).
const EXPOSURE: &str = "20";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The program, where it is installed.
fn installed(program: &str, is_debians: bool) -> Option<Command> {
    let places = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&places).any(|place| place.join(program).is_file()) {
        return Some(Command::new(program));
    }
    assert!(
        !is_debians || env::var_os("BEARERD_TESTS_DEMAND").is_none(),
        "{program} is not installed, and BEARERD_TESTS_DEMAND is set"
    );
    let _ = writeln!(std::io::stderr(), "skipped: {program} is not installed");
    None
}

/// What a program that succeeded says.
fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout
}

/// Loads configs as the program would there: each secret is there, and each authority a real one.
fn loaded(paths: &[&str]) -> Loaded {
    let authority = rcgen::generate_simple_self_signed(["apis".into()]).unwrap().cert.pem();
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        read: Box::new(move |path| match path.starts_with("/run") {
            true if path.extension().is_some_and(|end| end == "pem") => Ok(authority.clone().into_bytes()),
            true => Ok(b"a secret of more than thirty-two characters".to_vec()),
            false => fs::read(path),
        }),
    };
    let paths: Vec<PathBuf> = paths.iter().map(|path| root().join("deploy").join(path)).collect();
    config::load(&paths, &surroundings).unwrap_or_else(|faults| panic!("{paths:?}\n{faults}"))
}

#[test]
fn each_config_is_good_and_has_the_probes_that_are_asked() {
    for paths in [
        &["compose/bearerd.yaml"][..],
        &["systemd/bearerd.yaml"],
        &["kubernetes/base/apis.yaml", "kubernetes/sidecar/place.yaml"],
        &["kubernetes/base/apis.yaml", "kubernetes/shared/place.yaml"],
    ] {
        let loaded = loaded(paths);
        assert_eq!(loaded.warnings, [], "{paths:?}");
        let probes = format!("{:?}", loaded.config.probes);
        assert!(probes.contains(":9900"), "{paths:?}: {probes}");
        assert!(!loaded.config.routes.is_empty());
    }
}

#[test]
fn the_image_runs_without_rights_and_ends_in_order() {
    let file = text("Dockerfile");
    let lines: BTreeSet<&str> = file.lines().collect();
    for line in [
        "FROM rust:1-bookworm AS build",
        "FROM debian:bookworm-slim",
        "USER 65532:65532",
        "STOPSIGNAL SIGTERM",
        "ENV STATE_DIRECTORY=/var/lib/bearerd",
        "VOLUME /var/lib/bearerd",
    ] {
        assert!(lines.contains(line), "{line}");
    }
    let health = file.lines().find(|line| line.starts_with("HEALTHCHECK")).unwrap();
    assert!(health.ends_with(r#"CMD ["/usr/local/bin/bearerd", "health"]"#));
    // What the build reads gets into its context, and nothing that holds secrets does.
    let context = text(".dockerignore");
    assert!(context.lines().any(|line| line == "*"));
    for read in [".cargo", "Cargo.toml", "Cargo.lock", "config/presets", "src"] {
        assert!(context.lines().any(|line| line == format!("!{read}")), "{read}");
    }
}

#[test]
fn compose_reads_the_project() {
    let file = root().join("deploy/compose/compose.yaml");
    if let Some(mut compose) = installed("docker-compose", true) {
        let shown = said(compose.arg("-f").arg(&file).arg("config"));
        for service in ["app", "apis", "bearerd"] {
            assert!(shown.contains(&format!("  {service}:\n")), "{shown}");
        }
        assert!(shown.contains("stop_grace_period: "), "{shown}");
        assert!(!shown.contains("published:"), "{shown}");
    }
}

#[test]
fn each_overlay_renders_what_the_cluster_accepts() {
    for overlay in ["sidecar", "shared"] {
        let Some(mut kubectl) = installed("kubectl", false) else {
            return;
        };
        let objects = said(
            kubectl
                .arg("kustomize")
                .arg(root().join("deploy/kubernetes").join(overlay)),
        );
        for word in [
            "runAsNonRoot: true",
            "readOnlyRootFilesystem: true",
            "allowPrivilegeEscalation: false",
            "type: RuntimeDefault",
            "terminationGracePeriodSeconds: 90",
            "kind: NetworkPolicy",
            "kind: Secret",
            "kind: ConfigMap",
            "path: /livez",
            "path: /readyz",
        ] {
            assert!(objects.contains(word), "{overlay}: {word}\n{objects}");
        }
        // The state's file is its owner's alone, and stays so when the volume is mounted again.
        let is_kept = objects.contains("mountPath: /var/lib/bearerd");
        assert_eq!(
            is_kept,
            objects.contains("fsGroupChangePolicy: OnRootMismatch"),
            "{overlay}"
        );
        assert_eq!(is_kept, overlay == "sidecar");
        assert!(!objects.contains("emptyDir"), "{overlay}");
        // A native sidecar: up before the application, and ended after it.
        let sidecar = ["initContainers:", "restartPolicy: Always", "startupProbe:", "preStop:"];
        let is_sidecar = overlay == "sidecar";
        assert!(
            !is_sidecar || sidecar.iter().all(|word| objects.contains(word)),
            "{objects}"
        );

        if let Some(mut validate) = installed("kubernetes-validate", false) {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("objects.yaml");
            fs::write(&file, objects).unwrap();
            said(validate.args(["--strict", "--no-warn"]).arg(file));
        }
    }
}

#[test]
fn systemd_accepts_the_unit_and_rates_it_well() {
    let unit = root().join("deploy/systemd/bearerd.service");
    let Some(mut analyze) = installed("systemd-analyze", true) else {
        return;
    };
    let rated = said(
        analyze
            .args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE])
            .arg(&unit),
    );
    let level = rated.lines().find(|line| line.contains("exposure level")).unwrap();
    let _ = writeln!(std::io::stderr(), "{level}");

    // With a program that is here, and without the page that a package would install.
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().join("bearerd.service");
    let unit = text("deploy/systemd/bearerd.service");
    let unit = unit.replace("/usr/bin/bearerd", env!("CARGO_BIN_EXE_bearerd"));
    fs::write(&here, unit.replace("Documentation=man:bearerd(1)\n", "")).unwrap();
    let Output { status, stderr, .. } = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&here)
        .output()
        .unwrap();
    let complaints = String::from_utf8(stderr).unwrap();
    assert!(
        status.success() && !complaints.contains("bearerd.service"),
        "{complaints}"
    );
}

#[test]
fn the_service_is_given_the_secrets_that_its_config_names() {
    let unit = text("deploy/systemd/bearerd.service");
    assert!(unit.contains("\nLoadCredential=secrets:/etc/bearerd/secrets\n"));
    let config = text("deploy/systemd/bearerd.yaml");
    assert!(config.contains("${file:/run/credentials/bearerd.service/secrets_orders}"));
    assert!(text("deploy/systemd/bearerd.tmpfiles").contains("\nd /etc/bearerd/secrets 0700 root root -\n"));
    assert!(text("deploy/systemd/bearerd.sysusers").contains("\nu bearerd "));
}

/// A page with a sample of every family.
fn page() -> String {
    let metrics = Metrics::new();
    let route = "orders".parse().unwrap();
    let credential = "idp".parse().unwrap();
    metrics
        .route(&route)
        .request(Answered::new(StatusCode::OK, Duration::from_millis(3)));
    metrics
        .unrouted()
        .request(Answered::new(StatusCode::NOT_FOUND, Duration::from_millis(1)));
    struct Nothing;
    impl Usage for Nothing {
        fn idle_connections(&self) -> usize {
            0
        }
        fn under_way(&self) -> usize {
            0
        }
        fn waiting(&self) -> usize {
            0
        }
    }
    let upstream = "orders".parse().unwrap();
    let usage: Arc<dyn Usage> = Arc::new(Nothing);
    metrics.upstreams(std::iter::once((&upstream, usage)));
    metrics.replay(&route);
    metrics.grant(&credential, "refresh", "granted");
    metrics.spend(&credential);
    metrics.in_doubt(&credential);
    metrics.token(&credential, true, 3, Some(1_750_000_000_000));
    metrics.grant_dies(&credential, Some(1_750_000_000_000));
    metrics.unsaved(&credential, 1);
    metrics.log_dropped();
    prometheus_text(&metrics.page())
}

/// The families of a page, with their types.
fn families(page: &str) -> BTreeMap<String, String> {
    let told = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    told.filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn the_documents_table_is_the_page() {
    let document = text("docs/metrics.md");
    let rows = document.lines().filter(|line| line.starts_with("| `bearerd_"));
    let mut documented = BTreeMap::new();
    let page = page();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (name, kind) = (cells[1].trim_matches('`'), cells[2]);
        documented.insert(name.to_owned(), kind.to_owned());
        let labels: BTreeSet<&str> = cells[3].split(", ").map(|label| label.trim_matches('`')).collect();
        let sample = page.lines().find(|line| line.starts_with(name)).unwrap();
        let told = sample
            .split_once('{')
            .map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
        let told: BTreeSet<&str> = told
            .split(',')
            .map(|label| label.split('=').next().unwrap())
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(labels, told, "{name}");
    }
    assert_eq!(documented, families(&page));
    assert!(documented.len() >= 12);
}

/// The names of our metrics that a text uses, samples of a histogram as their family.
fn used(text: &str) -> BTreeSet<String> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| word.starts_with("bearerd_"))
        .map(|word| {
            let ends = ["_bucket", "_sum", "_count"];
            let family = ends.iter().find_map(|end| word.strip_suffix(end));
            family.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn rules_and_dashboard_use_metrics_that_there_are() {
    let families: BTreeSet<String> = families(&page()).into_keys().collect();
    let rules = used(&text("deploy/prometheus/rules.yaml"));
    assert!(rules.len() >= 8, "{rules:?}");
    assert_eq!(rules.difference(&families).collect::<Vec<_>>(), [] as [&String; 0]);
    let dashboard = text("deploy/grafana/bearerd.json");
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let panels = parsed["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    assert_eq!(used(&dashboard), families, "each metric is drawn, and no other");
}

#[test]
fn promtool_accepts_the_page_and_the_rules() {
    let Some(mut promtool) = installed("promtool", true) else {
        return;
    };
    said(
        promtool
            .args(["check", "rules"])
            .arg(root().join("deploy/prometheus/rules.yaml")),
    );
    said(
        Command::new("promtool")
            .args(["test", "rules"])
            .arg(root().join("deploy/prometheus/rules_test.yaml")),
    );
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut check = check.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(page().as_bytes()).unwrap();
    let Output { status, stdout, stderr } = check.wait_with_output().unwrap();
    let complaints = [stdout, stderr].concat();
    assert!(status.success(), "{}", String::from_utf8_lossy(&complaints));
    assert_eq!(String::from_utf8_lossy(&complaints), "");
}
