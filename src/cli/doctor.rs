//! `bearerd doctor`: looks at everything that a credential needs, and spends nothing.

mod endpoint;
mod store;

use std::{io::Write, path::PathBuf, time::Duration};

use http::{Method, Uri};
use secrecy::ExposeSecret;

use endpoint::Way;

use super::{
    Failure,
    call::{self, call},
    load::load,
    status, table,
};
use crate::{
    clock::Clock,
    config::checked::{Bind, Credential},
    credential::{Spec, browser::Browser, grant::Request},
    name::CredentialName,
    template::Scope,
};

/// How long a sign-in that was asked for may take.
const SIGN_IN_PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only this credential, and the upstreams that use it
    credential: Option<String>,
    /// Have the running bearerd sign in anew where no person is needed; without this, nothing is spent
    #[arg(long)]
    sign_in: bool,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// A check, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    verdict: Verdict,
    /// What was looked at.
    what: String,
    /// How it went, in words.
    words: String,
}

impl Check {
    fn ok(what: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, what, words)
    }

    fn warn(what: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(Verdict::Warn, what, words)
    }

    fn fail(what: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, what, words)
    }

    fn new(verdict: Verdict, what: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            verdict,
            what: what.into(),
            words: words.into(),
        }
    }

    fn row(self) -> [String; 3] {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        [verdict.into(), self.what, self.words]
    }
}

pub(super) fn execute(options: &Options, files: &[PathBuf], output: &mut dyn Write) -> Result<(), Failure> {
    let loaded = load(files)?;
    let config = &loaded.config;
    let only = match &options.credential {
        None => None,
        Some(name) => {
            let known = name.parse::<CredentialName>().ok();
            let known = known.filter(|name| config.credentials.contains_key(name));
            Some(known.ok_or_else(|| {
                let all: Vec<&str> = config.credentials.keys().map(CredentialName::as_str).collect();
                Failure::Failed(format!(
                    "the config has no credential '{name}'; it has: {}",
                    all.join(", ")
                ))
            })?)
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))?;
    let clock = Clock::system();
    let mut checks = Vec::new();
    checks.push(runtime.block_on(store::look(config, &clock)));
    let running = running(files, &mut checks);
    for (name, credential) in &config.credentials {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        runtime.block_on(credential_checks(credential, &clock, &mut checks));
        if options.sign_in {
            checks.extend(sign_in(&credential.spec, running.as_ref()));
        }
    }
    for (name, upstream) in &config.upstreams {
        let is_used = upstream.credential == only
            || config
                .routes
                .iter()
                .any(|route| route.upstream == *name && route.credential == only);
        if only.is_some() && !is_used {
            continue;
        }
        let uri = format!("{}://{}/", upstream.url.scheme, upstream.url.authority).parse::<Uri>();
        if let Ok(uri) = uri {
            let what = format!("upstream {name}");
            let way = Way {
                tls: &upstream.tls,
                proxy: upstream.proxy.as_ref(),
            };
            runtime.block_on(endpoint::connection(&what, &uri, way, &clock, &mut checks));
        }
    }
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
    let rows: Vec<[String; 3]> = checks.into_iter().map(Check::row).collect();
    table::write(output, ["", "WHAT", "HOW IT STANDS"], &rows)?;
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed("one check failed")),
        failed => Err(Failure::Failed(format!("{failed} checks failed"))),
    }
}

/// The admin listener of the one that runs, if one does.
fn running(files: &[PathBuf], checks: &mut Vec<Check>) -> Option<Bind> {
    let asked = status::admin(files).and_then(|admin| status::fetch(&admin).map(|_| admin));
    match asked {
        Ok(admin) => {
            checks.push(Check::ok(
                "bearerd",
                format!("runs, and answers at {}", call::shown(&admin)),
            ));
            Some(admin)
        }
        Err(failure) => {
            checks.push(Check::warn("bearerd", failure.to_string()));
            None
        }
    }
}

async fn credential_checks(credential: &Credential, clock: &Clock, checks: &mut Vec<Check>) {
    let spec = &credential.spec;
    let name = &spec.name;
    if spec.fixed.is_some() {
        checks.push(Check::ok(
            format!("credential {name}"),
            "a fixed token: nothing to look at",
        ));
        return;
    }
    let mut seen: Vec<Uri> = Vec::new();
    let token = spec
        .refresh
        .iter()
        .chain(&spec.sign_in)
        .map(|grant| ("token endpoint", &grant.request));
    let begins = spec.browser.iter().map(|browser| match browser {
        Browser::Code { authorize, .. } => ("authorization page", &**authorize),
        Browser::Device(request) => ("device endpoint", &**request),
    });
    let steps = spec.steps.iter().map(|step| ("step's endpoint", &step.grant.request));
    for (kind, request) in token.chain(begins).chain(steps) {
        let Some(uri) = place(request).filter(|uri| !seen.contains(uri)) else {
            continue;
        };
        let what = format!("{name}: {kind}");
        let way = Way {
            tls: &credential.tls,
            proxy: credential.proxy.as_ref(),
        };
        if endpoint::connection(&what, &uri, way, clock, checks).await && kind == "token endpoint" {
            endpoint::answer(&what, &uri, &request.method, way, clock, checks).await;
        }
        seen.push(uri);
    }
}

/// Where a request goes, without its query: secrets may stand there. What is known per request only is made up.
fn place(request: &Request) -> Option<Uri> {
    let made_up = |_: Scope, _: &str| Some("x".to_owned());
    let url = request.url.render_url(&made_up).ok()?;
    url.expose_secret().split(['?', '#']).next()?.parse().ok()
}

/// A sign-in that was asked for: the running one makes it, under a claim like any other.
fn sign_in(spec: &Spec, running: Option<&Bind>) -> Option<Check> {
    let what = format!("{}: sign-in", spec.name);
    if !spec.signs_in_alone() || !spec.subject.is_empty() {
        return None;
    }
    let Some(admin) = running else {
        return Some(Check::warn(what, "not tried: no bearerd runs that could do it"));
    };
    let path = format!("/credentials/{}/login", spec.name);
    let ask = call::Ask {
        method: Method::POST,
        path: &path,
        json: Some(r#"{"step": null, "answers": {}}"#.into()),
        patience: SIGN_IN_PATIENCE,
    };
    Some(match call(admin, &ask) {
        Ok((status, _)) if status.is_success() => Check::ok(what, "signed in anew"),
        Ok((status, body)) => Check::fail(what, call::detail(status, &body)),
        Err(failure) => Check::fail(what, failure.to_string()),
    })
}
