//! Credentials.

use std::{collections::BTreeSet, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

use super::{Check, entries, grant::Standard, reply::default_reply, request::Terms};
use crate::{
    config::{
        checked::{Credential, Tls},
        fault::suggestion,
        node::KeyPath,
        preset::{self, Kind, Preset},
        raw::{self, Entries, Field, Text},
        resolve::{Allowed, Params},
    },
    credential::{
        Spec,
        grant::{Body, Json, Request},
        reply::ReplyRules,
        spec::{Ask, Fingerprint, Grant, LEASE, OnDoubt, Policy, SPEND_DEADLINE, Step, SubjectPart, Then},
    },
    name::CredentialName,
    template::{Part, Scope, Template},
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

/// What a credential's grants come to.
#[derive(Default)]
struct Grants {
    fixed: Option<SecretString>,
    sign_in: Option<Grant>,
    refresh: Option<Grant>,
    steps: Vec<Step>,
    seed: Option<SecretString>,
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
        let seed = self.seed(raw, at, terms);

        let (mut grants, placement, seed, subject) = (grants?, placement?, seed?, subject?);
        grants.seed = seed.or(grants.seed);
        if let Some(fixed) = &grants.fixed
            && !self.fits(fixed, &placement, &token_path(used))
        {
            return None;
        }
        self.together(&grants, &policy, at, durable);
        let asked = grants.sign_in.iter().flat_map(|grant| grant.request.templates());
        let ask = asks(asked, &[], params.as_ref());
        let fingerprint = fingerprint(&grants);
        let spec = Spec {
            name: name.clone(),
            fixed: grants.fixed,
            sign_in: grants.sign_in,
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
            if given && declaration.kind() == Kind::Secret {
                // A secret is resolved even where nothing uses it: a missing one is a fault all the same.
                self.parameter(name, params);
            }
        }
    }

    /// The names of the subject's parts, and where each stands in a request; `None` for these comes with a fault.
    fn subject(
        &self,
        raw: &raw::Credential,
        params: Option<&Params<'_>>,
        at: &KeyPath,
    ) -> (Vec<String>, Option<Vec<SubjectPart>>) {
        const ALLOWED: Allowed<'static> = Allowed {
            scopes: &[Scope::Header, Scope::Path],
            tokens: &[],
            subject: &[],
        };
        let at = at.key("subject");
        let declared: Option<Vec<(&str, &str)>> = params.map(|params| params.preset.subject());
        let given = entries(&raw.subject);
        let names: Vec<String> = match &declared {
            Some(declared) if !declared.is_empty() => declared.iter().map(|(name, _)| (*name).to_owned()).collect(),
            _ => given.iter().map(|(name, _)| name.clone()).collect(),
        };
        if let (Some(declared), Some(params)) = (&declared, params)
            && !declared.is_empty()
        {
            for (name, _) in given.iter().filter(|(name, _)| !names.contains(name)) {
                self.fault_at_key(
                    &at.key(name),
                    format!("the subject of preset {} has no part of that name", params.preset.name),
                    suggestion(name, names.iter().map(String::as_str)),
                );
            }
            for (name, about) in declared
                .iter()
                .filter(|(name, _)| !given.iter().any(|(given, _)| given == name))
            {
                self.fault_at_key(
                    &at,
                    format!(
                        "preset {} needs the part `{name}` of its subject: {about}",
                        params.preset.name
                    ),
                    Some(format!(
                        "say where requests have it: `subject: {{ {name}: \"${{header:…}}\" }}` or `\"${{path:…}}\"`"
                    )),
                );
            }
        }
        let mut parts = Some(Vec::new());
        for name in &names {
            let Some((_, field)) = given.iter().find(|(given, _)| given == name) else {
                parts = None;
                continue;
            };
            let from = match field {
                Field::Given(Text(text)) => self.resolve(text, &at.key(name), ALLOWED, None).template(),
                _ => None,
            };
            match (from, &mut parts) {
                (Some(from), Some(parts)) => parts.push(SubjectPart {
                    name: name.clone(),
                    from,
                }),
                _ => parts = None,
            }
        }
        (names, parts)
    }

    fn grants(&self, raw: &raw::Credential, at: &KeyPath, terms: Terms<'_>) -> Option<Grants> {
        let described = [
            (&raw.sign_in.is_absent(), "sign_in"),
            (&raw.refresh.is_absent(), "refresh"),
            (&raw.steps.is_absent(), "steps"),
        ];
        let described = described.into_iter().find_map(|(absent, key)| (!absent).then_some(key));
        match (&raw.grant, described) {
            (Field::Absent, None) => {
                self.fault_at_key(
                    at,
                    "this credential says nothing of how to get a token".into(),
                    Some("give `preset`, `grant`, or `sign_in` and `refresh`".into()),
                );
                None
            }
            (Field::Faulty, _) => None,
            (Field::Absent, Some(_)) => self.described(raw, at, terms),
            (Field::Given(_), Some(key)) => {
                self.fault_at_key(
                    &at.key(key),
                    format!("`{key}` is described, and `grant` is a standard one: which is it to be?"),
                    Some("keep one of the two".into()),
                );
                None
            }
            (Field::Given(grant), None) => {
                let allowed = with_scopes(terms, &[Scope::Ask, Scope::Subject], &[]);
                let standard = self.grant(grant, &at.key("grant"), allowed)?;
                let reply = self.reply(&raw.reply, &default_reply(), &at.key("reply"));
                Some(standard.into_grants(&reply))
            }
        }
    }

    fn described(&self, raw: &raw::Credential, at: &KeyPath, terms: Terms<'_>) -> Option<Grants> {
        let reply = self.reply(&raw.reply, &default_reply(), &at.key("reply"));
        let exchange = |field: &Field<raw::Exchange>, name: &str, terms| match field {
            Field::Absent => Some(None),
            Field::Faulty => None,
            Field::Given(exchange) => self
                .exchange(&exchange.request, &exchange.reply, &reply, &at.key(name), terms)
                .map(Some),
        };
        let sign_in = exchange(
            &raw.sign_in,
            "sign_in",
            with_scopes(terms, &[Scope::Ask, Scope::Subject], &[]),
        );
        let refresh = exchange(
            &raw.refresh,
            "refresh",
            with_scopes(terms, &[Scope::Subject, Scope::Token], &["refresh", "access"]),
        );
        let step_terms = with_scopes(
            terms,
            &[Scope::Ask, Scope::Subject, Scope::Token],
            &["refresh", "access"],
        );
        let mut steps = Some(Vec::new());
        for (name, step) in entries(&raw.steps) {
            match (
                self.step(name, step, &reply, &at.key("steps").key(name), step_terms),
                &mut steps,
            ) {
                (Some(step), Some(steps)) => steps.push(step),
                _ => steps = None,
            }
        }
        Some(Grants {
            fixed: None,
            sign_in: sign_in?,
            refresh: refresh?,
            steps: steps?,
            seed: None,
        })
    }

    fn exchange(
        &self,
        request: &Field<raw::Request>,
        reply: &Field<raw::Reply>,
        under: &ReplyRules,
        at: &KeyPath,
        terms: Terms<'_>,
    ) -> Option<Grant> {
        let reply = self.reply(reply, under, &at.key("reply"));
        match request {
            Field::Given(request) => {
                let request = self.request(request, &at.key("request"), terms)?;
                Some(Grant { request, reply })
            }
            Field::Absent => {
                self.fault_at_key(at, "`request` is missing".into(), None);
                None
            }
            Field::Faulty => None,
        }
    }

    fn step(&self, name: &str, raw: &raw::Step, reply: &ReplyRules, at: &KeyPath, terms: Terms<'_>) -> Option<Step> {
        let name = self.name(name, at);
        let grant = self.exchange(&raw.request, &raw.reply, reply, at, terms);
        let questions: Vec<(&str, &str)> = entries(&raw.ask)
            .iter()
            .filter_map(|(name, question)| Some((name.as_str(), question.given()?.0.as_str())))
            .collect();
        let (name, grant) = (name?, grant?);
        Some(Step {
            name,
            about: raw.about.given().map(|Text(about)| about.clone()),
            ask: asks(grant.request.templates(), &questions, terms.params),
            grant,
            then: match raw.then.given() {
                None | Some(raw::Then::Nothing) => Then::Nothing,
                Some(raw::Then::Refresh) => Then::Refresh,
                Some(raw::Then::SignIn) => Then::SignIn,
            },
        })
    }

    /// The refresh token to start from: the credential's own, or the parameter that its preset marks.
    fn seed(&self, raw: &raw::Credential, at: &KeyPath, terms: Terms<'_>) -> Option<Option<SecretString>> {
        if !raw.seed.is_absent() {
            let at = at.key("seed");
            let seed = self.secret(&raw.seed, &at, terms)?;
            return self.is_there(seed, &at).map(Some);
        }
        let Some(params) = terms.params else {
            return Some(None);
        };
        let marked = params
            .preset
            .params()
            .iter()
            .find(|(_, declaration)| declaration.is_seed());
        let Some((name, _)) = marked else {
            return Some(None);
        };
        let Some(field) = params.given.and_then(|given| given.get(name)) else {
            return Some(None);
        };
        let at = at.key("params").key(name);
        let without_params = Terms { params: None, ..terms };
        let seed = self.secret(field, &at, without_params)?;
        self.is_there(seed, &at).map(Some)
    }

    fn is_there(&self, secret: SecretString, at: &KeyPath) -> Option<SecretString> {
        if secret.expose_secret().is_empty() {
            self.fault(
                at,
                "this refresh token is empty".into(),
                Some("leave it away, or give one".into()),
            );
            return None;
        }
        Some(secret)
    }

    fn policy(&self, raw: &raw::Credential, at: &KeyPath) -> Policy {
        let span = |field: &Field<raw::Span>| field.given().map(|span| span.0);
        let policy = Policy {
            on_doubt: raw.on_doubt.given().map(|on_doubt| match on_doubt {
                raw::OnDoubt::SignIn => OnDoubt::SignIn,
                raw::OnDoubt::Retry => OnDoubt::Retry,
            }),
            grace: span(&raw.grace),
            min_age: span(&raw.min_age).unwrap_or_default(),
            refresh_lifetime: span(&raw.refresh_lifetime),
            keep_alive: self.flag(&raw.keep_alive, false),
            single_use: self.flag(&raw.single_use, false),
            assume_lifetime: span(&raw.assume_lifetime),
            required: self.flag(&raw.required, false),
            spend_deadline: span(&raw.spend_deadline).unwrap_or(SPEND_DEADLINE),
            lease: span(&raw.lease).unwrap_or(LEASE),
        };
        if policy.spend_deadline.is_zero() {
            self.fault(&at.key("spend_deadline"), "no request is that fast".into(), None);
        }
        if policy.lease < policy.spend_deadline * 2 {
            let key = if raw.lease.is_absent() {
                "spend_deadline"
            } else {
                "lease"
            };
            self.fault(
                &at.key(key),
                "a lease is at least twice the spend deadline, so that a request ends before its claim does".into(),
                Some("raise `lease`, or lower `spend_deadline`".into()),
            );
        }
        policy
    }

    /// What only shows when the parts are seen together.
    fn together(&self, grants: &Grants, policy: &Policy, at: &KeyPath, durable: bool) {
        let alone = grants.sign_in.as_ref().is_some_and(|grant| !grant.asks());
        if policy.on_doubt == Some(OnDoubt::SignIn) && grants.sign_in.is_none() {
            self.fault(
                &at.key("on_doubt"),
                "this credential has no sign-in".into(),
                Some("use `on_doubt: retry`".into()),
            );
        }
        if grants.seed.is_some() && grants.refresh.is_none() {
            self.fault_at_key(
                at,
                "a refresh token is given, and nothing says how to use it".into(),
                Some("describe `refresh`".into()),
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

impl Standard {
    fn into_grants(self, reply: &ReplyRules) -> Grants {
        let grant = |request| Grant {
            request,
            reply: reply.clone(),
        };
        Grants {
            fixed: self.fixed,
            sign_in: self.sign_in.map(grant),
            refresh: self.refresh.map(grant),
            steps: Vec::new(),
            seed: self.seed,
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

fn with_scopes<'a>(terms: Terms<'a>, scopes: &'a [Scope], tokens: &'a [&'a str]) -> Terms<'a> {
    Terms {
        allowed: Allowed {
            scopes,
            tokens,
            ..terms.allowed
        },
        ..terms
    }
}

/// What must be asked before these templates can be rendered, each once, in order.
fn asks<'t>(
    templates: impl Iterator<Item = &'t Template>,
    questions: &[(&str, &str)],
    params: Option<&Params<'_>>,
) -> Vec<Ask> {
    let mut asks: Vec<Ask> = Vec::new();
    for (scope, name) in templates.flat_map(Template::references) {
        if scope != Scope::Ask || asks.iter().any(|ask| ask.name == name) {
            continue;
        }
        let declared = params.and_then(|params| params.preset.param(name));
        let question = questions
            .iter()
            .find(|(asked, _)| *asked == name)
            .map(|(_, question)| *question);
        let question = question
            .or_else(|| declared.map(|declared| declared.about()))
            .unwrap_or(match name {
                "username" => "User name",
                "password" => "Password",
                other => other,
            });
        let secret = declared.is_some_and(|declared| declared.kind() == Kind::Secret)
            || ["password", "secret", "token", "pin"]
                .iter()
                .any(|word| name.contains(word));
        asks.push(Ask {
            name: name.to_owned(),
            question: question.to_owned(),
            secret,
        });
    }
    asks
}

/// What stored tokens belong to: the token endpoint, and who asks for what there. No secret goes in.
fn fingerprint(grants: &Grants) -> Fingerprint {
    let requests = [&grants.refresh, &grants.sign_in];
    let requests: Vec<&Request> = requests.into_iter().flatten().map(|grant| &grant.request).collect();
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
