//! A config and everything around it, in memory; and its requests on a few lines, to be compared.

#![allow(dead_code, reason = "not every test file that shares this module uses all of it")]

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use bearerd::{
    config::{Faults, Loaded, Surroundings, load},
    credential::{
        Spec,
        grant::{Body, Json, Request},
    },
    template::{Scope, Template},
};
use secrecy::ExposeSecret;

/// The surroundings of files and variables that are given here.
pub(crate) fn surroundings(files: &[(&str, &str)], env: &[(&str, &str)]) -> Surroundings {
    let own = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    };
    let files = own(files);
    Surroundings {
        env: own(env),
        read: Box::new(
            move |path: &Path| match path.to_str().and_then(|path| files.get(path)) {
                Some(text) => Ok(text.clone().into_bytes()),
                None if files.keys().any(|file| Path::new(file).parent() == Some(path)) => {
                    Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"))
                }
                None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
            },
        ),
    }
}

/// Loads `bearerd.yaml` with this text.
pub(crate) fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Faults> {
    load(
        &[PathBuf::from("bearerd.yaml")],
        &surroundings(&[("bearerd.yaml", text)], env),
    )
}

pub(crate) fn loaded(text: &str, env: &[(&str, &str)]) -> Loaded {
    load_text(text, env).unwrap_or_else(|faults| panic!("{faults}"))
}

pub(crate) fn spec<'a>(loaded: &'a Loaded, name: &str) -> &'a Spec {
    &loaded.config.credentials[&name.parse().unwrap()].spec
}

/// A template with its references as they are written.
pub(crate) fn shown(template: &Template) -> String {
    let values = |scope: Scope, name: &str| Some(format!("<{}:{name}>", scope.as_str()));
    template.render(&values).unwrap().expose_secret().to_owned()
}

pub(crate) fn url(request: &Request) -> String {
    let values = |scope: Scope, name: &str| Some(format!("{}-{name}", scope.as_str()));
    request.url.render_url(&values).unwrap().expose_secret().to_owned()
}

pub(crate) fn pairs(fields: &[(String, Template)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", shown(value)))
        .collect();
    fields.join(" ")
}

pub(crate) fn json(value: &Json) -> String {
    match value {
        Json::Text(template) => format!("{:?}", shown(template)),
        Json::Plain(plain) => plain.to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(",")),
        Json::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{name}:{}", json(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// A request on a few lines.
pub(crate) fn told(request: &Request) -> String {
    let mut lines = vec![format!("{} {}", request.method, url(request))];
    if !request.query.is_empty() {
        lines.push(format!("? {}", pairs(&request.query)));
    }
    for (name, value) in &request.headers {
        lines.push(format!("{name}: {}", shown(value)));
    }
    if let Some(basic) = &request.basic {
        let encoded = if basic.form_encoded { " (form)" } else { "" };
        lines.push(format!(
            "basic {}:{}{encoded}",
            shown(&basic.username),
            shown(&basic.password)
        ));
    }
    match &request.body {
        Body::Empty => {}
        Body::Form(fields) => lines.push(format!("form {}", pairs(fields))),
        Body::Json(body) => lines.push(format!("json {}", json(body))),
    }
    lines.join("\n")
}

pub(crate) fn sign_in(spec: &Spec) -> String {
    told(&spec.sign_in.as_ref().unwrap().request)
}

pub(crate) fn refresh(spec: &Spec) -> String {
    told(&spec.refresh.as_ref().unwrap().request)
}

pub(crate) fn credential(text: &str) -> Loaded {
    loaded(&format!("credentials:\n  a: {text}\n"), &[])
}
