//! What stored tokens belong to.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;

use super::grants::Grants;
use crate::{
    credential::{
        browser::Browser,
        grant::{Body, Json, Request},
        spec::Fingerprint,
    },
    template::{Part, Template},
};

/// The fields of requests that say whose tokens they bring.
const IDENTITY: [&str; 8] = [
    "client_id",
    "username",
    "user_name",
    "scope",
    "audience",
    "resource",
    "appId",
    "app_id",
];

/// What stored tokens belong to: the token endpoint, and who asks for what there. No secret goes in.
pub(super) fn fingerprint(grants: &Grants) -> Fingerprint {
    let requests = [&grants.refresh, &grants.sign_in];
    let mut requests: Vec<&Request> = requests.into_iter().flatten().map(|grant| &grant.request).collect();
    // With a browser, the scope is asked for there.
    requests.extend(grants.browser.iter().map(Browser::begins));
    let url = requests.first().map_or(String::new(), |request| shown(&request.url));
    let endpoint = url.split('?').next().unwrap_or_default().to_owned();
    let mut identity = BTreeSet::new();
    for request in requests {
        let mut note = |name: &str, value: &Template| {
            if IDENTITY.contains(&name) {
                identity.insert(format!("{name}={}", shown(value)));
            }
        };
        request.query.iter().for_each(|(name, value)| note(name, value));
        match &request.body {
            Body::Empty => {}
            Body::Form(fields) => fields.iter().for_each(|(name, value)| note(name, value)),
            Body::Json(json) => note_json(json, &mut note),
        }
        if let Some(basic) = &request.basic {
            note("username", &basic.username);
        }
    }
    Fingerprint::of(std::iter::once(endpoint.as_str()).chain(identity.iter().map(String::as_str)))
}

fn note_json(json: &Json, note: &mut impl FnMut(&str, &Template)) {
    match json {
        Json::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Json::Text(template) => note(name, template),
                    other => note_json(other, note),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| note_json(item, note)),
        Json::Text(_) | Json::Plain(_) => {}
    }
}

/// A template with its references as they were written: for hashing only.
fn shown(template: &Template) -> String {
    let mut shown = String::new();
    for part in template.parts() {
        match part {
            Part::Written(text) => shown.push_str(text),
            Part::Value(value) => shown.push_str(value.expose_secret()),
            Part::Reference(scope, name) => shown.push_str(&format!("${{{}:{name}}}", scope.as_str())),
        }
    }
    shown
}
