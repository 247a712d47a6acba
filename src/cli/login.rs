//! `bearerd login`: asks a person what a sign-in or a vendor's step needs, or shows where to sign in with a browser, and
//! has the running one do it.
//!
//! The running one holds the claim and the store, so it sends the request; this command only asks. Only tokens are
//! kept: the answers are forgotten.

mod browser;
mod loopback;
mod qr;

use std::{collections::BTreeSet, io::Write, path::PathBuf, time::Duration};

use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    Failure, ask,
    call::{self, call},
    load::specs,
    status::{admin, fetch},
};
use crate::{
    credential::{
        Spec,
        spec::{Ask, Grant, Step, Then},
    },
    name::{CredentialName, StepName},
    template::Scope,
};

/// A sign-in waits for the provider, twice where a step is followed by a refresh, and for the store.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The credential's name in the config
    credential: String,
    /// One of its steps; without it, its sign-in
    step: Option<String>,
    /// Open no browser here and wait for none: the address that one ends up at is pasted
    #[arg(long)]
    no_browser: bool,
}

pub(super) fn execute(options: &Options, files: &[PathBuf], output: &mut dyn Write) -> Result<(), Failure> {
    // The running one has the secrets; here it takes the questions only.
    let specs = specs(files)?;
    let known = || specs.keys().map(CredentialName::as_str).collect::<Vec<_>>().join(", ");
    let credential = options
        .credential
        .parse::<CredentialName>()
        .ok()
        .and_then(|name| specs.get(&name));
    let Some(spec) = credential else {
        return Err(Failure::Failed(format!(
            "the config has no credential '{}'; it has: {}",
            options.credential,
            known()
        )));
    };
    let errand = Errand::of(spec, options.step.as_deref()).map_err(Failure::Failed)?;
    let admin = admin(files)?;
    // Nobody should type a password only to learn that nobody runs.
    fetch(&admin)?;
    if let (None, Some(browser)) = (errand.step, &spec.browser) {
        let session = browser::Session {
            admin: &admin,
            credential: &spec.name,
            output: &mut *output,
        };
        let detail = session.run(browser, options.no_browser)?;
        return Ok(writeln!(output, "{detail}")?);
    }
    let answers = ask::ask(errand.questions.iter().copied())?;
    let detail = send(&admin, &spec.name, errand.step, &answers)?;
    Ok(writeln!(output, "{detail}")?)
}

/// What to have done, and what to ask first.
struct Errand<'a> {
    step: Option<&'a StepName>,
    questions: Vec<&'a Ask>,
}

impl<'a> Errand<'a> {
    /// The credential's step of that name, or its sign-in; else a sentence that says why there is none.
    fn of(spec: &'a Spec, step: Option<&str>) -> Result<Self, String> {
        if let Some(name) = step {
            return spec
                .steps
                .iter()
                .find(|step| step.name.as_str() == name)
                .map(|step| Self::step(spec, step))
                .ok_or_else(|| format!("credential '{}' has no step '{name}'; {}", spec.name, its_steps(spec)));
        }
        let name = &spec.name;
        match (&spec.sign_in, &*spec.steps) {
            _ if spec.fixed.is_some() => Err(format!(
                "credential '{name}' has a fixed token: there is nothing to sign in to"
            )),
            _ if !spec.subject.is_empty() => Err(format!(
                "credential '{name}' has a token for each subject and signs in by itself when a request needs one"
            )),
            (Some(grant), _) => Ok(Self {
                step: None,
                questions: questions(spec, &[], [grant]),
            }),
            (None, [only]) => Ok(Self::step(spec, only)),
            (None, []) => Err(format!(
                "credential '{name}' has a refresh token grant only: use a grant of type authorization_code or \
                 device_code to sign in with a browser, or get a refresh token from the provider and give it in the \
                 config"
            )),
            (None, _) => Err(format!("say which step: {}", its_steps(spec))),
        }
    }

    fn step(spec: &'a Spec, step: &'a Step) -> Self {
        let next = match step.then {
            Then::SignIn => spec.sign_in.as_ref(),
            Then::Nothing | Then::Refresh => None,
        };
        Self {
            step: Some(&step.name),
            questions: questions(spec, &step.ask, std::iter::once(&step.grant).chain(next)),
        }
    }
}

/// The step's own questions, and those of the credential's that its requests refer to.
fn questions<'a>(spec: &'a Spec, own: &'a [Ask], grants: impl IntoIterator<Item = &'a Grant>) -> Vec<&'a Ask> {
    let needed: BTreeSet<&str> = grants
        .into_iter()
        .flat_map(|grant| grant.request.templates())
        .flat_map(|template| template.references())
        .filter_map(|(scope, name)| (scope == Scope::Ask).then_some(name))
        .collect();
    let shared = spec
        .ask
        .iter()
        .filter(|ask| needed.contains(&*ask.name) && own.iter().all(|own| own.name != ask.name));
    own.iter().chain(shared).collect()
}

fn its_steps(spec: &Spec) -> String {
    if spec.steps.is_empty() {
        return "it has none".into();
    }
    let steps: Vec<String> = spec
        .steps
        .iter()
        .map(|step| match &step.about {
            Some(about) => format!("{} ({about})", step.name),
            None => step.name.to_string(),
        })
        .collect();
    format!("it has: {}", steps.join(", "))
}

fn send(
    admin: &crate::config::checked::Bind,
    credential: &CredentialName,
    step: Option<&StepName>,
    answers: &[(String, SecretString)],
) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Page {
        detail: String,
    }
    let answers: serde_json::Map<_, _> = answers
        .iter()
        .map(|(name, answer)| (name.clone(), answer.expose_secret().into()))
        .collect();
    let body = serde_json::json!({ "step": step.map(StepName::as_str), "answers": answers });
    let path = format!("/credentials/{credential}/login");
    let ask = call::Ask {
        method: Method::POST,
        path: &path,
        json: Some(body.to_string()),
        patience: PATIENCE,
    };
    let (status, body) = call(admin, &ask)?;
    match serde_json::from_slice::<Page>(&body) {
        Ok(page) if status.is_success() => Ok(page.detail),
        _ => Err(Failure::Failed(call::detail(status, &body))),
    }
}

#[cfg(test)]
mod tests;
