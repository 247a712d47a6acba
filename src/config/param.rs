//! What a preset's parameters are: given, defaulted, asked for, or absent.

use secrecy::ExposeSecret;

use super::{
    check::Check,
    fault::{closest, suggestion},
    node::KeyPath,
    preset::{Kind, Preset},
    raw::{Entries, Field, Text},
    resolve::{AT_LOAD, Allowed, Reading, Resolved, VALUE, WRITTEN},
};
use crate::template::{Part, Piece, Scope, Template, parse};

/// A default that uses defaults deeper than this goes in a circle.
const DEEPEST_DEFAULT: usize = 8;

/// A preset's parameters, as a credential gives them.
#[derive(Debug, Clone)]
pub(super) struct Params<'a> {
    pub(super) preset: &'static Preset,
    pub(super) given: Option<&'a Entries<Field<Text>>>,
    /// The path of the credential.
    pub(super) credential: KeyPath,
}

/// What a parameter is.
pub(super) enum Param {
    Parts(Vec<Part>),
    /// Neither given nor defaulted.
    Absent,
    Faulty,
}

impl Check<'_> {
    /// Resolves a preset's parameter by name; `None` where it is absent or faulty.
    pub(super) fn parameter(&self, name: &str, params: &Params<'_>) -> Option<Template> {
        match self.param(name, &params.credential, AT_LOAD, params, 0) {
            Param::Parts(parts) => Some(Template::new(parts)),
            Param::Absent | Param::Faulty => None,
        }
    }

    /// A parameter by name.
    pub(super) fn param(
        &self,
        name: &str,
        at: &KeyPath,
        allowed: Allowed<'_>,
        params: &Params<'_>,
        depth: usize,
    ) -> Param {
        let Some(declaration) = params.preset.param(name) else {
            let known = params.preset.params().iter().map(|(name, _)| name.as_str());
            self.fault(
                at,
                format!("preset {} has no parameter of that name", params.preset.name),
                suggestion(name, known),
            );
            return Param::Faulty;
        };
        if depth > DEEPEST_DEFAULT {
            self.fault(at, format!("the default of parameter `{name}` goes in a circle"), None);
            return Param::Faulty;
        }
        let reading = match declaration.kind() {
            Kind::Text | Kind::Secret | Kind::Host => VALUE,
            Kind::Url | Kind::Path => WRITTEN,
        };
        match params.given.and_then(|given| given.get(name)) {
            Some(Field::Given(Text(text))) => {
                let at = params.credential.key("params").key(name);
                match self.expand(text, &at, reading, allowed, None, 0) {
                    Resolved::Template(template) => self.typed(template, declaration.kind(), &at),
                    Resolved::LeftOut | Resolved::Faulty => Param::Faulty,
                }
            }
            Some(Field::Faulty) => Param::Faulty,
            Some(Field::Absent) | None => match &declaration.default {
                Field::Given(Text(default)) => self.default(name, default, reading, allowed, params, depth),
                _ if declaration.is_required() => {
                    self.needs(name, None, params);
                    Param::Faulty
                }
                _ if declaration.asks() => {
                    if !allowed.scopes.contains(&Scope::Ask) {
                        self.needs(name, None, params);
                        return Param::Faulty;
                    }
                    Param::Parts(vec![Part::Reference(Scope::Ask, name.to_owned())])
                }
                _ => Param::Absent,
            },
        }
    }

    /// A parameter's default. One that is another parameter alone is absent where that one is; one that merely uses
    /// an absent parameter is of no use, and there are two ways out.
    fn default(
        &self,
        name: &str,
        default: &str,
        reading: Reading,
        allowed: Allowed<'_>,
        params: &Params<'_>,
        depth: usize,
    ) -> Param {
        // A preset's text is well-formed; if it isn't, expanding it says so.
        let used = parse(default).unwrap_or_default();
        if used.len() > 1 {
            for piece in &used {
                if let Piece::Reference { scope, name: used } = piece
                    && scope == "param"
                    && let Param::Absent = self.param(used, &params.credential, allowed, params, depth + 1)
                {
                    self.needs(used, Some(name), params);
                    return Param::Faulty;
                }
            }
        }
        match self.expand(default, &params.credential, reading, allowed, Some(params), depth + 1) {
            Resolved::Template(template) => Param::Parts(template.parts().to_vec()),
            Resolved::LeftOut => Param::Absent,
            Resolved::Faulty => Param::Faulty,
        }
    }

    /// Where to mend a text that a preset wrote: the first parameter in it that is given. What the operator wrote is
    /// mended where it stands.
    pub(super) fn cause(&self, field: &Field<Text>, at: &KeyPath, params: Option<&Params<'_>>) -> KeyPath {
        let cause = match (field, params) {
            (Field::Given(Text(text)), Some(params)) if !self.index.has(at) => given_in(text, params, 0),
            _ => None,
        };
        cause.unwrap_or_else(|| at.clone())
    }

    fn typed(&self, template: Template, kind: Kind, at: &KeyPath) -> Param {
        if self.blind {
            return Param::Parts(template.parts().to_vec());
        }
        // What is known per request only is something plain, as far as its type goes.
        let stand_in = |_: Scope, _: &str| Some("x".to_owned());
        let text = template.render(&stand_in).unwrap_or_default();
        let text = text.expose_secret();
        let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        match kind {
            Kind::Host if text.is_empty() || !text.chars().all(host) => {
                self.fault(
                    at,
                    "this is to be a host name or a part of one: letters, digits, dots and hyphens".into(),
                    None,
                );
                Param::Faulty
            }
            Kind::Path if !text.is_empty() && !text.starts_with('/') => {
                self.fault(at, "a path begins with a slash".into(), None);
                Param::Faulty
            }
            // It stands behind a URL: what no path holds would spoil the whole, and is told where it was given.
            Kind::Path if text.contains('#') || format!("http://x{text}").parse::<http::Uri>().is_err() => {
                self.fault(
                    at,
                    "this is no path of a URL".into(),
                    Some("percent-encode what a path can't hold, such as a space".into()),
                );
                Param::Faulty
            }
            Kind::Url if text.contains(['?', '#']) => {
                self.fault(at, "a base URL has no query and no fragment".into(), None);
                Param::Faulty
            }
            // Whether it may be plain http is up to what uses it.
            Kind::Url if self.uri(&template, at, true).is_none() => Param::Faulty,
            Kind::Url => Param::Parts(without_final_slash(template.parts())),
            _ => Param::Parts(template.parts().to_vec()),
        }
    }

    /// A parameter is needed and absent.
    pub(super) fn needs(&self, name: &str, instead_of: Option<&str>, params: &Params<'_>) {
        let known = || params.preset.params().iter().map(|(name, _)| name.as_str());
        let mut unknown = params.given.into_iter().flat_map(Entries::names);
        // One cause, one fault: a misspelt parameter is told as such.
        if unknown.any(|given| params.preset.param(given).is_none() && closest(given, known()) == Some(name)) {
            return;
        }
        let preset = params.preset.name;
        let message = match instead_of {
            Some(other) => format!("preset {preset} needs the parameter `{name}`, or `{other}` itself"),
            None => format!("preset {preset} needs the parameter `{name}`"),
        };
        let about = params.preset.param(name).map_or("", |declaration| declaration.about());
        let hint = (!about.is_empty()).then(|| format!("`{name}` is: {about}"));
        self.fault_at_key(&params.credential, message, hint);
    }
}

fn given_in(text: &str, params: &Params<'_>, depth: usize) -> Option<KeyPath> {
    let pieces = parse(text).ok().filter(|_| depth <= DEEPEST_DEFAULT)?;
    pieces.iter().find_map(|piece| match piece {
        Piece::Reference { scope, name } if scope == "param" => given_for(name, params, depth),
        _ => None,
    })
}

/// The parameter itself, else one that its default is made of.
fn given_for(name: &str, params: &Params<'_>, depth: usize) -> Option<KeyPath> {
    if params
        .given
        .and_then(|given| given.get(name))
        .is_some_and(|field| !field.is_absent())
    {
        return Some(params.credential.key("params").key(name));
    }
    let Text(default) = params.preset.param(name)?.default.given()?;
    given_in(default, params, depth + 1)
}

/// Paths are put behind a URL, and they begin with a slash.
fn without_final_slash(parts: &[Part]) -> Vec<Part> {
    let mut parts = parts.to_vec();
    if let Some(Part::Written(last)) = parts.last_mut() {
        last.truncate(last.trim_end_matches('/').len());
    }
    parts
}
