//! Credentials.

use std::sync::Arc;

use super::{
    Check, entries,
    fingerprint::fingerprint,
    grants::{Grants, asks},
    request::Terms,
};
use crate::{
    config::{
        checked::{Credential, Tls},
        fault::suggestion,
        node::KeyPath,
        param::Params,
        preset::{self, Kind, Preset},
        raw::{self, Entries, Text},
        resolve::Allowed,
    },
    credential::{
        Spec,
        spec::{OnDoubt, Policy},
    },
    name::CredentialName,
};

/// A credential of the config, and the preset it uses.
pub(super) struct Use<'a> {
    raw: &'a raw::Credential,
    at: KeyPath,
    preset: Option<&'static Preset>,
}

impl<'a> Use<'a> {
    pub(super) fn new(raw: &'a raw::Credential, at: KeyPath) -> Self {
        let preset = raw.preset.given().and_then(|Text(name)| preset::find(name));
        Self { raw, at, preset }
    }

    /// The preset's parameters, where it uses one.
    pub(super) fn params(&self) -> Option<Params<'a>> {
        self.preset.map(|preset| Params {
            preset,
            given: self.raw.params.given(),
            credential: self.at.clone(),
        })
    }

    /// Whether it names a preset that there isn't, which is a fault already.
    pub(super) fn is_unknown_preset(&self) -> bool {
        self.preset.is_none() && !self.raw.preset.is_absent()
    }
}

impl Check<'_> {
    /// A credential; `None` comes with a fault.
    pub(super) fn credential(
        &self,
        name: &CredentialName,
        used: &Use<'_>,
        common: &Tls,
        durable: bool,
    ) -> Option<Credential> {
        if used.is_unknown_preset() {
            return None;
        }
        let (raw, at) = (used.raw, &used.at);
        let params = used.params();
        self.given_params(raw, params.as_ref(), at);
        let insecure = self.flag(&raw.insecure, false);
        let (parts, subject) = self.subject(raw, params.as_ref(), at);
        let terms = Terms {
            allowed: Allowed {
                scopes: &[],
                tokens: &[],
                subject: &parts,
            },
            params: params.as_ref(),
            insecure,
        };
        let grants = self.grants(raw, at, terms);
        let placement = self.placement(&raw.placement, &at.key("placement"), params.as_ref());
        let errors = self.errors(&raw.errors, &at.key("errors"));
        let rejected = self.rejected(&raw.rejected, &at.key("rejected"));
        let policy = self.policy(raw, at);
        let tls = self.tls(&raw.tls, common, &at.key("tls"));
        let proxy = self.proxy(&raw.proxy, &at.key("proxy"));
        let seed = self.seed(raw, at, terms);

        let (mut grants, placement, seed, subject) = (grants?, placement?, seed?, subject?);
        grants.seed = seed.or(grants.seed);
        if let Some(fixed) = &grants.fixed
            && !self.fits(fixed, &placement, &token_path(used))
        {
            return None;
        }
        self.together(&grants, &policy, !subject.is_empty(), durable, at);
        // What a browser brings is nothing to ask a person for.
        let asked = grants.sign_in.iter().filter(|_| grants.browser.is_none());
        let asked = asked.flat_map(|grant| grant.request.templates());
        let ask = asks(asked, &[], params.as_ref());
        let fingerprint = fingerprint(&grants);
        let spec = Spec {
            name: name.clone(),
            fixed: grants.fixed,
            sign_in: grants.sign_in,
            browser: grants.browser,
            refresh: grants.refresh,
            steps: grants.steps,
            seed: grants.seed,
            ask,
            placement,
            subject,
            errors,
            rejected,
            policy,
            fingerprint,
        };
        Some(Credential {
            spec: Arc::new(spec),
            tls,
            proxy,
            insecure,
        })
    }

    /// Parameters that the preset doesn't have, and those that it can't do without.
    fn given_params(&self, raw: &raw::Credential, params: Option<&Params<'_>>, at: &KeyPath) {
        let Some(params) = params else {
            if !raw.params.is_absent() {
                self.fault_at_key(
                    &at.key("params"),
                    "`params` are a preset's, and none is named".into(),
                    None,
                );
            }
            return;
        };
        let preset = params.preset;
        for (name, _) in entries(&raw.params) {
            if preset.param(name).is_none() {
                let known = preset.params().iter().map(|(name, _)| name.as_str());
                self.fault_at_key(
                    &at.key("params").key(name),
                    format!("unknown parameter of preset {}", preset.name),
                    suggestion(name, known),
                );
            }
        }
        for (name, declaration) in preset.params() {
            let given = raw.params.given().is_some_and(|given| given.get(name).is_some());
            if declaration.is_required() && declaration.default.is_absent() && !given {
                self.needs(name, None, params);
            }
            // One is resolved even where nothing uses it: a missing secret is a fault all the same. A path may hold
            // what is asked for in a step, so that is resolved where it stands.
            if given && declaration.kind() != Kind::Path {
                self.parameter(name, params);
            }
        }
    }

    /// What only shows when the parts are seen together.
    fn together(&self, grants: &Grants, policy: &Policy, has_subject: bool, durable: bool, at: &KeyPath) {
        let alone = grants.sign_in.as_ref().is_some_and(|grant| !grant.asks());
        if policy.on_doubt == Some(OnDoubt::SignIn) && (grants.sign_in.is_none() || grants.browser.is_some()) {
            self.fault(
                &at.key("on_doubt"),
                "this credential has no sign-in that needs no person".into(),
                Some("use `on_doubt: retry`".into()),
            );
        }
        if grants.browser.is_some() && has_subject {
            self.fault_at_key(
                at,
                "a person signs in with a browser, and nobody could for each subject".into(),
                Some("leave `subject` away, or use another grant".into()),
            );
        }
        if grants.seed.is_some() && grants.refresh.is_none() {
            self.fault_at_key(
                at,
                "a refresh token is given, and nothing says how to use it".into(),
                Some("describe `refresh`".into()),
            );
        }
        if grants.seed.is_some() && has_subject {
            self.fault_at_key(
                at,
                "a refresh token is given, and it can't be every subject's".into(),
                Some("leave it away, or leave `subject` away".into()),
            );
        }
        if grants.seed.is_some() && !durable && !alone {
            self.fault_at_key(
                at,
                "a refresh token is given, the store is `memory`, and there is no sign-in: after a restart the given \
                 token would be a spent one"
                    .into(),
                Some("use `state: {store: sqlite}`".into()),
            );
        }
        if grants.fixed.is_none() && !durable && !alone && grants.seed.is_none() {
            self.warn(
                at,
                "the store is `memory`, and this credential needs a person to sign in: after each restart",
                "use `state: {store: sqlite}`",
            );
        }
    }
}

/// Where the token of a `static` grant was written.
fn token_path(used: &Use<'_>) -> KeyPath {
    let in_preset = |name: &String| {
        used.preset
            .and_then(|preset| preset.param(name))
            .is_some_and(|it| it.kind() == Kind::Secret)
    };
    let secret = used
        .raw
        .params
        .given()
        .and_then(|Entries(given)| given.iter().map(|(name, _)| name).find(|name| in_preset(name)));
    match secret {
        Some(name) => used.at.key("params").key(name),
        None => used.at.key("grant").key("token"),
    }
}
