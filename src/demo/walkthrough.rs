//! What a person needs to try bearerd against the emulated APIs: a config, and lines to paste.

use std::{fmt::Write, net::SocketAddr, path::Path};

use super::{Apis, PosRefresh, flow_retail, flowlu, fluent, pos};

/// Where the demonstration's proxy listens and keeps its things.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The file with the authority's certificate.
    pub ca: &'a Path,
    /// The state's file.
    pub state: &'a Path,
    /// Where applications connect to.
    pub listener: SocketAddr,
    /// `/livez`, `/readyz` and `/metrics`.
    pub probes: SocketAddr,
    /// The status page.
    pub admin: SocketAddr,
}

/// A command to paste, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurlLine {
    /// What it shows.
    pub about: &'static str,
    /// The command.
    pub command: String,
}

/// A bearerd config that uses every preset against these APIs.
pub fn config_yaml(apis: &Apis, places: &Places<'_>) -> String {
    let mut yaml = String::from("# Written by `bearerd demo`: every built-in preset, against emulated APIs.\n");
    let path = |path: &Path| quoted(&path.display().to_string());
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = yaml.write_fmt(text);
        yaml.push('\n');
    };
    line(format_args!("listeners:"));
    line(format_args!(
        "  main: {{ bind: {} }}",
        quoted(&places.listener.to_string())
    ));
    line(format_args!(
        "probes: {{ bind: {} }}",
        quoted(&places.probes.to_string())
    ));
    line(format_args!("admin: {{ bind: {} }}", quoted(&places.admin.to_string())));
    line(format_args!("state: {{ store: sqlite, path: {} }}", path(places.state)));
    line(format_args!("tls: {{ ca: {} }}", path(places.ca)));

    let uses = uses(apis);
    line(format_args!("\ncredentials:"));
    for each in &uses {
        line(format_args!("  {}:", each.name));
        line(format_args!("    preset: {}", each.preset));
        line(format_args!("    params:"));
        for (name, value) in &each.params {
            line(format_args!("      {name}: {}", quoted(value)));
        }
        if !each.subject.is_empty() {
            line(format_args!("    subject:"));
            for (name, template) in each.subject {
                line(format_args!("      {name}: \"{template}\""));
            }
        }
    }
    line(format_args!("\nupstreams:"));
    for each in &uses {
        line(format_args!("  {0}: {{ credential: {0} }}", each.name));
    }
    line(format_args!("\nroutes:"));
    for each in &uses {
        let shape = each.path.map_or_else(String::new, |path| format!(", path: \"{path}\""));
        line(format_args!(
            "  {0}: {{ prefix: {1}{shape}, upstream: {0} }}",
            each.name, each.prefix
        ));
    }
    yaml
}

/// One command for each credential, and some that send a body. Each is answered with 200 or 201 by an API.
pub fn curl_lines(listener: SocketAddr) -> Vec<CurlLine> {
    let base = format!("http://{listener}");
    let get = |path: &str| format!("curl -i '{base}{path}'");
    let tenant = flow_retail::TENANT;
    let [kari, ola] = flow_retail::USERS;
    let as_user = |user: flow_retail::User, tenant: &str| {
        format!(
            "curl -i -H 'x-flow-user-token: {}' '{base}/flow-user/v2/tenants/{tenant}/reasons'",
            user.token
        )
    };
    let line = |about, command| CurlLine { about, command };
    vec![
        line(
            "Flow Retail, with the integration token",
            get(&format!("/flow/v2/tenants/{tenant}/reasons")),
        ),
        line(
            "Flow Retail, for a user: the user's token is exchanged for one of the tenant",
            as_user(kari, tenant),
        ),
        line(
            "Flow Retail, for another user and tenant",
            as_user(ola, flow_retail::OTHER_TENANT),
        ),
        line(
            "Flow Retail, as a linked device",
            get(&format!("/flow-device/v2/tenants/{tenant}/reasons")),
        ),
        line(
            "Fluent Commerce, with single-use refresh tokens",
            format!(
                "curl -i -H 'content-type: application/json' -d '{{\"query\": \"{{ me {{ id }} }}\"}}' '{base}/fluent/graphql'"
            ),
        ),
        line(
            "Fluent Commerce, with the integration client",
            get("/fluent-integration/api/v4.1/order/1001"),
        ),
        line("The point of sale", get("/pos/dishes")),
        line(
            "The point of sale: a new dish",
            format!("curl -i -H 'content-type: application/json' -d '{{\"name\": \"Fårikål\"}}' '{base}/pos/dishes'"),
        ),
        line(
            "Flowlu, with the key in the query",
            get("/flowlu/api/v1/module/crm/lead/list?page=1"),
        ),
        line(
            "Flowlu, with the key in the form",
            format!("curl -i -d 'name=A new lead' '{base}/flowlu/api/v1/module/crm/lead/create'"),
        ),
        line(
            "Flowlu, with the token as a Basic password",
            get("/flowlu-oauth/api/v1/module/crm/lead/list"),
        ),
    ]
}

/// A preset in use: a credential, its upstream and its route, which share a name.
struct Use {
    name: &'static str,
    preset: &'static str,
    params: Vec<(&'static str, String)>,
    subject: &'static [(&'static str, &'static str)],
    prefix: &'static str,
    path: Option<&'static str>,
}

impl Use {
    fn new(name: &'static str, preset: &'static str, prefix: &'static str, base_url: &str) -> Self {
        Self {
            name,
            preset,
            params: vec![("base_url", base_url.to_owned())],
            subject: &[],
            prefix,
            path: None,
        }
    }

    fn with<const N: usize>(mut self, params: [(&'static str, &str); N]) -> Self {
        self.params.extend(params.map(|(name, value)| (name, value.to_owned())));
        self
    }
}

fn uses(apis: &Apis) -> Vec<Use> {
    let flow = apis.flow_retail().base_url();
    let fluent = apis.fluent().base_url();
    let flowlu = apis.flowlu().base_url();
    let fluent_params = |client: fluent::Client| {
        [
            ("client_id", client.id),
            ("client_secret", client.secret),
            ("username", fluent::USERNAME),
            ("password", fluent::PASSWORD),
        ]
    };
    let mut flow_user = Use::new("flow_user", "flow-retail-user", "/flow-user", flow);
    flow_user.subject = &[
        ("user_token", "${header:x-flow-user-token}"),
        ("tenant", "${path:tenantUid}"),
    ];
    flow_user.path = Some("/v2/tenants/{tenantUid}/{*rest}");
    let mut pos = Use::new("pos", "pos", "/pos", apis.pos().base_url()).with([
        ("username", pos::USER_NAME),
        ("password", pos::PASSWORD),
        ("client_id", pos::CLIENT_ID),
        ("client_secret", pos::CLIENT_SECRET),
    ]);
    if apis.pos_refresh() == PosRefresh::Raw {
        pos = pos.with([("refresh_prefix", "")]);
    }
    vec![
        Use::new("flow", "flow-retail-integration", "/flow", flow).with([("token", flow_retail::INTEGRATION_TOKEN)]),
        flow_user,
        Use::new("flow_device", "flow-retail-device", "/flow-device", flow)
            .with([("app_id", flow_retail::APP_ID), ("refresh_token", apis.device_seed())]),
        Use::new("fluent", "fluent-commerce", "/fluent", fluent).with(fluent_params(fluent::API_CLIENT)),
        Use::new(
            "fluent_integration",
            "fluent-commerce-integration",
            "/fluent-integration",
            fluent,
        )
        .with(fluent_params(fluent::INTEGRATION_CLIENT)),
        pos,
        Use::new("flowlu", "flowlu-api-key", "/flowlu", flowlu).with([("api_key", flowlu::API_KEY)]),
        Use::new("flowlu_oauth", "flowlu-oauth", "/flowlu-oauth", flowlu).with([
            ("token_path", "/oauth/token"),
            ("client_id", flowlu::CLIENT_ID),
            ("username", flowlu::USERNAME),
            ("password", flowlu::PASSWORD),
        ]),
    ]
}

/// A value as a double-quoted YAML scalar that no template is read out of.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_yaml_as_they_are() {
        assert_eq!(quoted("0012345"), r#""0012345""#);
        assert_eq!(quoted(r#"a"b\c ${d}"#), r#""a\"b\\c $${d}""#);
    }
}
