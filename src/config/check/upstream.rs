//! Upstreams.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Check, credential::Use, entries};
use crate::{
    config::{
        checked::{Credential, Tls, Told, Upstream},
        node::KeyPath,
        raw::{self, Entries, Field, Text},
        resolve::AT_LOAD,
    },
    name::{CredentialName, UpstreamName},
};

/// How long to wait for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for the head of an answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a credential is called where there is to be none.
pub(super) const NO_CREDENTIAL: &str = "none";

impl Check<'_> {
    pub(super) fn upstreams(
        &self,
        section: &Field<Entries<raw::Upstream>>,
        uses: &BTreeMap<String, Use<'_>>,
        credentials: &BTreeMap<CredentialName, Credential>,
        common: &Tls,
    ) -> BTreeMap<UpstreamName, Upstream> {
        let mut upstreams = BTreeMap::new();
        let known: BTreeSet<String> = uses.keys().cloned().collect();
        for (name, raw) in entries(section) {
            let at = KeyPath::of(["upstreams", name.as_str()]);
            let name = self.name(name, &at);
            let credential = match &raw.credential {
                Field::Given(Text(none)) if none == NO_CREDENTIAL => None,
                field => self.known::<CredentialName>(field, &at.key("credential"), "credential", &known),
            };
            let insecure = self.flag(&raw.insecure, false);
            let url = match &raw.url {
                Field::Given(Text(text)) => {
                    let at = at.key("url");
                    let url = self.resolve_url(text, &at, AT_LOAD, None).template();
                    url.and_then(|url| self.base_url(&url, &at, insecure))
                }
                Field::Absent => self.preset_url(raw, credential.as_ref(), uses, insecure, &at),
                Field::Faulty => None,
            };
            let tls = self.tls(&raw.tls, common, &at.key("tls"));
            let proxy = self.proxy(&raw.proxy, &at.key("proxy"));
            let used = credential.as_ref().and_then(|name| credentials.get(name));
            let headers = self.extra_headers(&raw.headers, used, &at.key("headers"));
            let told = Told {
                forwarded: raw.forwarded.given().copied().unwrap_or_default(),
                via: self.flag(&raw.via, false),
            };
            if let (Some(name), Some(url)) = (name, url) {
                let timeout = |field, default, key| self.timeout(field, default, &at.key(key));
                let upstream = Upstream {
                    url,
                    credential,
                    tls,
                    proxy,
                    connect_timeout: timeout(&raw.connect_timeout, CONNECT_TIMEOUT, "connect_timeout"),
                    response_timeout: timeout(&raw.response_timeout, RESPONSE_TIMEOUT, "response_timeout"),
                    headers: headers.unwrap_or_default(),
                    told,
                    limits: self.limits(&raw.limits, &at.key("limits")),
                    retries: self.retries(&raw.retries, &at.key("retries")),
                };
                upstreams.insert(name, upstream);
            }
        }
        upstreams
    }

    /// The `base_url` of the preset of an upstream's credential.
    fn preset_url(
        &self,
        raw: &raw::Upstream,
        credential: Option<&CredentialName>,
        uses: &BTreeMap<String, Use<'_>>,
        insecure: bool,
        at: &KeyPath,
    ) -> Option<crate::config::checked::BaseUrl> {
        let used = credential.and_then(|name| uses.get(name.as_str()));
        match used.map(Use::params) {
            Some(Some(params)) => {
                let url = self.parameter("base_url", &params);
                let given = Field::Given(Text("${param:base_url}".to_owned()));
                let own = at.key("url");
                let cause = self.cause(&given, &own, Some(&params));
                let at = if cause == own { at } else { &cause };
                if url.is_none() && params.preset.param("base_url").is_some_and(|it| !it.is_required()) {
                    // Which parameter is missing is a fault already.
                    return None;
                }
                self.base_url(&url?, at, insecure)
            }
            // A credential that is faulty may have had a preset's URL.
            Some(None) if used.is_some_and(Use::is_unknown_preset) => None,
            None if !raw.credential.is_absent() && credential.is_none() && !is_none(&raw.credential) => None,
            _ => {
                self.fault_at_key(
                    at,
                    "`url` is missing, and no preset gives one".into(),
                    Some("give `url: https://HOST`".into()),
                );
                None
            }
        }
    }
}

fn is_none(field: &Field<Text>) -> bool {
    matches!(field, Field::Given(Text(text)) if text == NO_CREDENTIAL)
}
