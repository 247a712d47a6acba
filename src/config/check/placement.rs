//! Where the access token goes.

use http::header;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Check,
    request::{Terms, unfit_for_header},
};
use crate::{
    config::{
        node::KeyPath,
        param::Params,
        raw::{self, Field, Text},
        resolve::{AT_LOAD, Allowed, Resolved},
    },
    credential::placement::Placement,
    template::{Part, Scope, Template},
};

/// What a placement speaks of.
const ALLOWED: Allowed<'static> = Allowed {
    scopes: &[Scope::Token],
    tokens: &["access"],
    subject: &[],
};

fn access() -> Part {
    Part::Reference(Scope::Token, "access".into())
}

fn bearer() -> Placement {
    Placement::Header {
        name: header::AUTHORIZATION,
        value: Template::new(vec![Part::Written("Bearer ".into()), access()]),
    }
}

impl Check<'_> {
    /// The placement; bearer where none is given.
    pub(super) fn placement(
        &self,
        field: &Field<raw::Placement>,
        at: &KeyPath,
        params: Option<&Params<'_>>,
    ) -> Option<Placement> {
        let raw = match field {
            Field::Absent => return Some(bearer()),
            Field::Given(raw) => raw,
            Field::Faulty => return None,
        };
        let choices = [
            (!raw.bearer.is_absent(), "bearer"),
            (!raw.basic.is_absent(), "basic"),
            (!raw.header.is_absent(), "header"),
            (!raw.query.is_absent(), "query"),
            (!raw.form.is_absent(), "form"),
        ];
        let chosen: Vec<&str> = choices
            .into_iter()
            .filter_map(|(given, name)| given.then_some(name))
            .collect();
        if chosen.len() != 1 {
            self.fault(
                at,
                "a placement is one of bearer, basic, header, query, form".into(),
                (chosen.len() > 1).then(|| format!("here are {}", chosen.join(", "))),
            );
            return None;
        }
        if !raw.value.is_absent() && raw.header.is_absent() {
            self.fault_at_key(&at.key("value"), "`value` belongs to `header`".into(), None);
        }
        let terms = Terms {
            allowed: ALLOWED,
            params,
            insecure: false,
        };
        match chosen[0] {
            "basic" => {
                let basic = raw.basic.given()?;
                let at = at.key("basic");
                let half = |field: &Field<Text>, name: &str| match self.value(field, &at.key(name), terms) {
                    Resolved::Template(template) => Some(template),
                    Resolved::LeftOut => Some(Template::default()),
                    Resolved::Faulty => None,
                };
                let (username, password) = (half(&basic.username, "username"), half(&basic.password, "password"));
                let (username, password) = (username?, password?);
                self.holds_token([&username, &password], &at)?;
                if !self.fits_basic((&username, &password), basic, &at, params) {
                    return None;
                }
                Some(Placement::Basic { username, password })
            }
            "header" => {
                let name = self.placement_name(&raw.header, &at.key("header"), params);
                let of_name = self.cause(&raw.header, &at.key("header"), params);
                let name = name.and_then(|name| self.header_name(&name, &of_name));
                let value = match self.value(&raw.value, &at.key("value"), terms) {
                    Resolved::Template(value) => value,
                    Resolved::LeftOut => Template::new(vec![access()]),
                    Resolved::Faulty => return None,
                };
                let name = name?;
                self.holds_token([&value], &at.key("value"))?;
                Some(Placement::Header { name, value })
            }
            "query" => Some(Placement::Query(self.placement_name(
                &raw.query,
                &at.key("query"),
                params,
            )?)),
            "form" => Some(Placement::Form(self.placement_name(
                &raw.form,
                &at.key("form"),
                params,
            )?)),
            _ => Some(bearer()),
        }
    }

    fn placement_name(&self, field: &Field<Text>, at: &KeyPath, params: Option<&Params<'_>>) -> Option<String> {
        let Text(text) = field.given()?;
        let template = self.resolve(text, at, AT_LOAD, params).template()?;
        let name = template.render(&()).ok()?.expose_secret().to_owned();
        if name.is_empty() {
            self.fault(&self.cause(field, at, params), "a name is missing".into(), None);
            return None;
        }
        Some(name)
    }

    fn holds_token<'t>(&self, templates: impl IntoIterator<Item = &'t Template>, at: &KeyPath) -> Option<()> {
        let holds = |template: &Template| template.references().any(|(scope, _)| scope == Scope::Token);
        if templates.into_iter().any(holds) {
            return Some(());
        }
        self.fault(
            at,
            "the access token has no place in this".into(),
            Some("write `${token:access}` where it goes".into()),
        );
        None
    }

    /// Whether a token that never changes can stand where the placement puts it.
    pub(super) fn fits(&self, token: &SecretString, placement: &Placement, at: &KeyPath) -> bool {
        let values = |_: Scope, _: &str| Some(token.expose_secret().to_owned());
        let render = |template: &Template| template.render(&values).unwrap_or_default();
        let why = match placement {
            _ if token.expose_secret().is_empty() => Some("is empty"),
            Placement::Header { value, .. } => unfit_for_header(render(value).expose_secret()),
            Placement::Basic { .. } if token.expose_secret().contains(char::is_control) => {
                Some("holds a control character, which Basic credentials can't")
            }
            Placement::Basic { username, .. } => render(username)
                .expose_secret()
                .contains(':')
                .then_some("holds a colon, which would end a Basic user name"),
            Placement::Query(_) | Placement::Form(_) => None,
        };
        if let Some(why) = why {
            self.fault(
                at,
                format!("the token {why}"),
                Some("check the token, or place it elsewhere: see `placement`".into()),
            );
        }
        why.is_none()
    }
}
