//! `bearerd init`: a commented config to start from, which passes `bearerd check` once the environment variables that
//! it names are set.

use std::{fmt::Write as _, io::Write};

use super::{Failure, presets::named};
use crate::config::{self, About, Parameter};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How bearerd is going to run
    #[arg(long = "for", value_name = "SETTING", value_enum, default_value_t = Setting::Service)]
    setting: Setting,
    /// What to sign in to; `bearerd presets` lists them
    presets: Vec<String>,
}

/// How bearerd is going to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Setting {
    /// A service of this machine, beside the application
    Service,
    /// A container in the application's Kubernetes pod
    Sidecar,
    /// A container in a docker-compose project
    Compose,
}

pub(super) fn execute(options: &Options, output: &mut dyn Write) -> Result<(), Failure> {
    let built_in = config::presets();
    let presets: Result<Vec<&About>, Failure> = options.presets.iter().map(|name| named(&built_in, name)).collect();
    Ok(output.write_all(render(options.setting, &presets?).as_bytes())?)
}

/// The whole file.
fn render(setting: Setting, presets: &[&About]) -> String {
    let surroundings = match setting {
        Setting::Service => SERVICE,
        Setting::Sidecar => SIDECAR,
        Setting::Compose => COMPOSE,
    };
    let parts = match presets {
        [] => PLAIN_OAUTH.to_owned(),
        presets => parts(presets),
    };
    format!("{HEAD}{surroundings}\n{parts}")
}

const HEAD: &str = "\
# bearerd signs in to APIs for software that can't: call it over plain HTTP, and it forwards over TLS with a token.
# `bearerd check` shows what is wrong with this file, or where each request goes; `bearerd run` runs it.
# \"${env:NAME}\" is an environment variable and \"${file:/run/secrets/NAME}\" a file: keep secrets out of this one.

";

const SERVICE: &str = "\
listeners:
  # Whoever can reach this address acts with the credentials below, so it is for this machine only.
  main: { bind: \"127.0.0.1:8080\" }
probes: { bind: \"127.0.0.1:9900\" } # /livez /readyz /metrics
admin: { bind: \"127.0.0.1:9901\" } # for `bearerd status` and `bearerd login`
# Tokens are kept here; some may be used only once, so the file must outlive restarts.
# Without this it is $STATE_DIRECTORY/state.db, which systemd's StateDirectory= sets, or stands beside this file.
# state: { store: sqlite, path: /var/lib/bearerd/state.db }
";

const SIDECAR: &str = "\
listeners:
  # Containers of a pod share its loopback, so only this pod's application reaches it.
  main: { bind: \"127.0.0.1:8080\" }
# The kubelet asks from outside of the pod; nothing here is secret.
probes: { bind: \"0.0.0.0:9900\", expose: true } # livenessProbe: /livez, readinessProbe: /readyz
admin: { bind: \"127.0.0.1:9901\" } # kubectl exec POD -c bearerd -- bearerd status
# Tokens are kept here; some may be used only once, so mount a volume that outlives the pod.
state: { store: sqlite, path: /var/lib/bearerd/state.db }
";

const COMPOSE: &str = "\
listeners:
  # Other containers call it by its service name. Whoever can reach it acts with the credentials below: don't publish
  # this port, or publish it as \"127.0.0.1:8080:8080\".
  main: { bind: \"0.0.0.0:8080\", expose: true, hosts: [bearerd] }
probes: { bind: \"127.0.0.1:9900\" } # healthcheck: { test: [CMD, bearerd, health] }
admin: { bind: \"127.0.0.1:9901\" } # docker compose exec bearerd bearerd status
# Tokens are kept here; some may be used only once, so mount a named volume.
state: { store: sqlite, path: /var/lib/bearerd/state.db }
";

const PLAIN_OAUTH: &str = "\
credentials:
  # Plain OAuth: `bearerd presets` lists vendors that are built in, and `bearerd init PRESET` starts with one.
  my_api:
    grant:
      type: client_credentials
      token_url: \"${env:MY_API_TOKEN_URL}\"
      client_id: \"${env:MY_API_CLIENT_ID}\"
      client_secret: \"${env:MY_API_CLIENT_SECRET}\"
      # scope: orders

upstreams:
  my_api: { url: \"${env:MY_API_URL}\", credential: my_api }

routes:
  # curl http://localhost:8080/my_api/some/path is sent to $MY_API_URL/some/path
  my_api: { prefix: /my_api, upstream: my_api }
";

/// Credentials, upstreams and routes of these presets.
pub(super) fn parts(presets: &[&About]) -> String {
    let mut text = String::from("credentials:\n");
    for preset in presets {
        credential(&mut text, preset);
    }
    text.push_str("\nupstreams:\n");
    for preset in presets {
        let name = name(preset);
        put(
            &mut text,
            format_args!("  {name}: {{ credential: {name} }} # at the preset's base_url\n"),
        );
    }
    text.push_str("\nroutes:\n");
    for preset in presets {
        let name = name(preset);
        let headers: String = preset
            .subject
            .iter()
            .map(|(part, _)| format!("-H '{}: …' ", header(part)))
            .collect();
        put(
            &mut text,
            format_args!("  # curl {headers}http://localhost:8080/{name}/some/path\n"),
        );
        put(
            &mut text,
            format_args!("  {name}: {{ prefix: /{name}, upstream: {name} }}\n"),
        );
    }
    text
}

fn credential(text: &mut String, preset: &About) {
    let name = name(preset);
    put(
        text,
        format_args!("  # {}\n  {name}:\n    preset: {}\n", preset.about, preset.name),
    );
    let (given, others): (Vec<_>, Vec<_>) = preset.params.iter().partition(|param| is_given(param, &preset.params));
    if given.is_empty() {
        text.push_str("    # params:\n");
    } else {
        text.push_str("    params:\n");
    }
    for param in given {
        let variable = format!("{name}_{}", param.name).to_uppercase();
        put(
            text,
            format_args!("      {}: \"${{env:{variable}}}\" # {}\n", param.name, param.about),
        );
    }
    for param in others {
        let value = match &param.default {
            // Single quotes keep everything but themselves, which YAML doubles.
            Some(default) => format!("'{}'", default.replace('\'', "''")),
            None => "\"\"".into(),
        };
        put(
            text,
            format_args!("      # {}: {value} # {}\n", param.name, param.about),
        );
    }
    if !preset.subject.is_empty() {
        text.push_str("    # One token for each of these; a request says which, and they are not forwarded.\n");
        text.push_str("    subject:\n");
        for (part, about) in &preset.subject {
            put(
                text,
                format_args!("      {part}: \"${{header:{}}}\" # {about}\n", header(part)),
            );
        }
    }
    for (step, about) in &preset.steps {
        put(text, format_args!("    # `bearerd login {name} {step}`: {about}\n"));
    }
}

/// Whether the example gives it: what must be given, what a default is made of, and what a person would be asked for
/// otherwise.
fn is_given(param: &Parameter, all: &[Parameter]) -> bool {
    param.default.is_none() && (param.required || param.ask || used_by(param, all).is_some())
}

/// The parameter whose default is made of this one.
pub(super) fn used_by<'a>(param: &Parameter, all: &'a [Parameter]) -> Option<&'a Parameter> {
    let reference = format!("${{param:{}}}", param.name);
    all.iter().find(|other| {
        other
            .default
            .as_ref()
            .is_some_and(|default| default.contains(&reference))
    })
}

/// The header that the example reads a part of the subject from.
fn header(part: &str) -> String {
    format!("x-{}", part.replace('_', "-"))
}

/// The preset's name as a credential's.
fn name(preset: &About) -> String {
    preset.name.replace('-', "_")
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, default: Option<&str>) -> Parameter {
        Parameter {
            name: name.into(),
            kind: "text",
            default: default.map(Into::into),
            required: false,
            seed: false,
            ask: false,
            about: format!("The {name}"),
        }
    }

    #[test]
    fn what_a_preset_needs_is_given_and_the_rest_is_shown() {
        let preset = About {
            name: "some-shop",
            about: "A shop".into(),
            source: "its document".into(),
            params: vec![
                parameter("account", None),
                parameter("base_url", Some("https://${param:account}.shop.example")),
                Parameter {
                    ask: true,
                    ..parameter("password", None)
                },
                parameter("note", None),
                parameter("quote", Some("it's")),
            ],
            subject: vec![("user_token".into(), "Whose".into())],
            steps: vec![("link".into(), "Links a device".into())],
        };
        let text = parts(&[&preset]);
        let has = |line: &str| assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        has("  some_shop:");
        has("    preset: some-shop");
        has("      account: \"${env:SOME_SHOP_ACCOUNT}\" # The account");
        has("      password: \"${env:SOME_SHOP_PASSWORD}\" # The password");
        has("      # base_url: 'https://${param:account}.shop.example' # The base_url");
        has("      # note: \"\" # The note");
        has("      # quote: 'it''s' # The quote");
        has("      user_token: \"${header:x-user-token}\" # Whose");
        has("    # `bearerd login some_shop link`: Links a device");
        has("  some_shop: { prefix: /some_shop, upstream: some_shop }");
    }
}
