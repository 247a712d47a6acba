//! `bearerd check`: every fault of the config, or its routes as they resolve.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{Failure, call::shown, load::load, table};
use crate::{
    config::checked::{Config, Route},
    credential::placement::Placement,
    template::{Part, Scope},
};

pub(super) fn execute(files: &[PathBuf], output: &mut dyn Write) -> Result<(), Failure> {
    let loaded = load(files)?;
    Ok(write(&loaded.config, output)?)
}

/// Writes the listeners, and the routes as they resolve.
pub(super) fn write(config: &Config, output: &mut dyn Write) -> io::Result<()> {
    let mut addresses: Vec<[String; 2]> = config
        .listeners
        .iter()
        .map(|(name, listener)| [name.to_string(), shown(&listener.bind)])
        .collect();
    let others = [("(probes)", &config.probes), ("(admin)", &config.admin)];
    addresses.extend(
        others
            .into_iter()
            .filter_map(|(name, bind)| Some([name.into(), shown(bind.as_ref()?)])),
    );
    table::write(output, ["LISTENER", "ADDRESS"], &addresses)?;
    writeln!(output)?;
    let rows: Vec<_> = config.routes.iter().map(|route| row(config, route)).collect();
    let head = [
        "ROUTE",
        "LISTENER",
        "HOST",
        "PATH",
        "METHODS",
        "UPSTREAM",
        "CREDENTIAL",
        "PLACEMENT",
    ];
    table::write(output, head, &rows)
}

fn row(config: &Config, route: &Route) -> [String; 8] {
    let any = |text: Option<String>| text.unwrap_or_else(|| "*".into());
    let path = match &route.path {
        Some(path) => format!("{}{path}", route.prefix),
        None => format!("{}/*", route.prefix),
    };
    let methods: Vec<&str> = route.methods.iter().map(|method| method.as_str()).collect();
    let upstream = config.upstreams.get(&route.upstream).map(|upstream| {
        let url = &upstream.url;
        format!(
            "{}://{}{}{}",
            url.scheme,
            url.authority,
            url.path,
            route.path.as_deref().unwrap_or("/*")
        )
    });
    let placement = route.credential.as_ref().and_then(|name| config.credentials.get(name));
    [
        route.name.to_string(),
        any(route.listener.as_ref().map(ToString::to_string)),
        any(route.host.clone()),
        path,
        any((!methods.is_empty()).then(|| methods.join(","))),
        upstream.unwrap_or_else(|| route.upstream.to_string()),
        route
            .credential
            .as_ref()
            .map_or_else(|| "none".into(), ToString::to_string),
        placement.map_or_else(|| "-".into(), |credential| placed(&credential.spec.placement)),
    ]
}

/// A placement in the config's words.
fn placed(placement: &Placement) -> String {
    match placement {
        Placement::Header { name, value } if *name == http::header::AUTHORIZATION => match value.parts() {
            [Part::Written(scheme), Part::Reference(Scope::Token, _)] if scheme == "Bearer " => "bearer".into(),
            _ => "header authorization".into(),
        },
        Placement::Header { name, .. } => format!("header {name}"),
        Placement::Basic { .. } => "basic".into(),
        Placement::Query(name) => format!("query {name}"),
        Placement::Form(name) => format!("form {name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, uri::Scheme};

    use super::*;
    use crate::{
        cli::fixture,
        config::checked::{BaseUrl, Bind, Credential, Listener, Log, State, Tls, Upstream},
        credential::Spec,
        template::Template,
    };

    fn config() -> Config {
        let spec = Spec {
            placement: Placement::Header {
                name: http::header::AUTHORIZATION,
                value: Template::new(vec![
                    Part::Written("Bearer ".into()),
                    Part::Reference(Scope::Token, "access".into()),
                ]),
            },
            ..fixture::spec()
        };
        let route = Route {
            name: "orders".parse().unwrap(),
            listener: Some("main".parse().unwrap()),
            host: Some("erp.localhost".into()),
            prefix: "/shop".into(),
            path: Some("/v2/{tenant}/{*rest}".into()),
            methods: vec![Method::GET, Method::POST],
            allow: Vec::new(),
            callers: Vec::new(),
            upstream: "shop".parse().unwrap(),
            credential: Some(spec.name.clone()),
            subject_headers: Vec::new(),
            told: Default::default(),
            headers: Vec::new(),
            token_timeout: std::time::Duration::from_secs(10),
        };
        let everything = Route {
            name: "rest".parse().unwrap(),
            listener: None,
            host: None,
            prefix: String::new(),
            path: None,
            methods: Vec::new(),
            credential: None,
            ..route.clone()
        };
        let listener = Listener::at(Bind::Unix("/run/bearerd/main.sock".into()));
        let upstream = Upstream {
            url: BaseUrl {
                scheme: Scheme::HTTPS,
                authority: "api.example:8443".parse().unwrap(),
                path: "/base".into(),
            },
            credential: None,
            tls: Tls::default(),
            proxy: None,
            connect_timeout: std::time::Duration::from_secs(10),
            response_timeout: std::time::Duration::from_secs(60),
            headers: Vec::new(),
            told: Default::default(),
            limits: Default::default(),
            retries: Default::default(),
        };
        let credential = Credential {
            spec: Arc::new(spec),
            tls: Tls::default(),
            proxy: None,
            insecure: false,
        };
        Config {
            listeners: [("main".parse().unwrap(), listener)].into(),
            probes: Some(Bind::Tcp(([127, 0, 0, 1], 9900).into())),
            admin: None,
            state: State::Memory,
            state_keys: Vec::new(),
            forget_after: None,
            credentials: [("shop".parse().unwrap(), credential)].into(),
            upstreams: [("shop".parse().unwrap(), upstream)].into(),
            routes: vec![route, everything],
            log: Log {
                format: None,
                level: "info".into(),
                file: None,
                access: true,
            },
            traces: None,
        }
    }

    #[test]
    fn routes_are_shown_as_they_resolve() {
        let mut output = Vec::new();
        write(&config(), &mut output).unwrap();
        let expected = "\
LISTENER  ADDRESS
main      unix:/run/bearerd/main.sock
(probes)  127.0.0.1:9900

ROUTE   LISTENER  HOST           PATH                       METHODS   UPSTREAM                                            CREDENTIAL  PLACEMENT
orders  main      erp.localhost  /shop/v2/{tenant}/{*rest}  GET,POST  https://api.example:8443/base/v2/{tenant}/{*rest}  shop        bearer
rest    *         *              /*                         *         https://api.example:8443/base/*                     none        -
";
        let squeezed = |text: &str| {
            let lines = text
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&String::from_utf8(output).unwrap()), squeezed(expected));
    }
}
