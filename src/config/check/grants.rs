//! How a credential gets tokens: standard grants or described requests, steps, and the token to start from.

use secrecy::{ExposeSecret, SecretString};

use super::{Check, entries, grant::Standard, reply::default_reply, request::Terms};
use crate::{
    config::{
        node::KeyPath,
        param::Params,
        preset::Kind,
        raw::{self, Field, Text},
        resolve::Allowed,
    },
    credential::{
        browser::Browser,
        reply::ReplyRules,
        spec::{Ask, Grant, Step, Then},
    },
    template::{Scope, Template},
};

/// What a credential's grants come to.
#[derive(Default)]
pub(super) struct Grants {
    pub(super) fixed: Option<SecretString>,
    pub(super) sign_in: Option<Grant>,
    pub(super) browser: Option<Browser>,
    pub(super) refresh: Option<Grant>,
    pub(super) steps: Vec<Step>,
    pub(super) seed: Option<SecretString>,
}

impl Check<'_> {
    pub(super) fn grants(&self, raw: &raw::Credential, at: &KeyPath, terms: Terms<'_>) -> Option<Grants> {
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
        // A refresh token is spent by a refresh alone, under its claim.
        let step_terms = with_scopes(terms, &[Scope::Ask, Scope::Subject, Scope::Token], &["access"]);
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
            browser: None,
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
    pub(super) fn seed(&self, raw: &raw::Credential, at: &KeyPath, terms: Terms<'_>) -> Option<Option<SecretString>> {
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
            browser: self.browser,
            refresh: self.refresh.map(grant),
            steps: Vec::new(),
            seed: self.seed,
        }
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
pub(super) fn asks<'t>(
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
