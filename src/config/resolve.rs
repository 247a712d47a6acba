//! Resolving templates at load: `env`, `file` and `param` reading text; the scopes of a request stay references.

use secrecy::{ExposeSecret, SecretString};

use super::{
    check::Check,
    fault::suggestion,
    node::KeyPath,
    preset::{Kind, Preset},
    raw::{Entries, Field, Text},
};
use crate::template::{Part, Piece, Scope, Template, parse};

/// A default that uses defaults deeper than this goes in a circle.
const DEEPEST_DEFAULT: usize = 8;

/// What a template may speak of where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed<'a> {
    /// The scopes that stay references.
    pub(super) scopes: &'a [Scope],
    /// The tokens of the scope `token`.
    pub(super) tokens: &'a [&'a str],
    /// The parts of the scope `subject`.
    pub(super) subject: &'a [String],
}

/// Only what is known at load.
pub(super) const AT_LOAD: Allowed<'static> = Allowed {
    scopes: &[],
    tokens: &[],
    subject: &[],
};

/// A template, resolved.
#[derive(Debug)]
pub(super) enum Resolved {
    /// To this.
    Template(Template),
    /// It is nothing but an absent parameter: what holds it is left out.
    LeftOut,
    /// Its fault is written down.
    Faulty,
}

impl Resolved {
    /// The template, if there is one.
    pub(super) fn template(self) -> Option<Template> {
        match self {
            Self::Template(template) => Some(template),
            Self::LeftOut | Self::Faulty => None,
        }
    }
}

/// A preset's parameters, as a credential gives them.
#[derive(Debug, Clone)]
pub(super) struct Params<'a> {
    pub(super) preset: &'static Preset,
    pub(super) given: Option<&'a Entries<Field<Text>>>,
    /// The path of the credential.
    pub(super) credential: KeyPath,
}

/// What a parameter is.
enum Param {
    Parts(Vec<Part>),
    /// Neither given nor defaulted.
    Absent,
    Faulty,
}

/// What becomes of the text between references, and of what `env` and `file` yield.
#[derive(Clone, Copy)]
struct Reading {
    text: fn(String) -> Part,
    yielded: fn(String) -> Part,
    /// The same for a reference that the whole begins with.
    leading: fn(String) -> Part,
}

fn value(text: String) -> Part {
    Part::Value(SecretString::from(text))
}

/// A text of the config: references are values in it.
const TEXT: Reading = Reading {
    text: Part::Written,
    yielded: value,
    leading: value,
};
/// A URL of the config: a reference that it begins with is its beginning, scheme and host included.
const URL: Reading = Reading {
    leading: Part::Written,
    ..TEXT
};
/// A parameter that is a value as a whole.
const VALUE: Reading = Reading {
    text: value,
    yielded: value,
    leading: value,
};
/// A parameter that keeps its slashes.
const WRITTEN: Reading = Reading {
    text: Part::Written,
    yielded: Part::Written,
    leading: Part::Written,
};

impl Check<'_> {
    /// Resolves a text of the config.
    pub(super) fn resolve(
        &self,
        text: &str,
        at: &KeyPath,
        allowed: Allowed<'_>,
        params: Option<&Params<'_>>,
    ) -> Resolved {
        self.expand(text, at, TEXT, allowed, params, 0)
    }

    /// Resolves a URL of the config.
    pub(super) fn resolve_url(
        &self,
        text: &str,
        at: &KeyPath,
        allowed: Allowed<'_>,
        params: Option<&Params<'_>>,
    ) -> Resolved {
        self.expand(text, at, URL, allowed, params, 0)
    }

    /// Resolves a preset's parameter by name; `None` where it is absent or faulty.
    pub(super) fn parameter(&self, name: &str, params: &Params<'_>) -> Option<Template> {
        match self.param(name, &params.credential, AT_LOAD, params, 0) {
            Param::Parts(parts) => Some(Template::new(parts)),
            Param::Absent | Param::Faulty => None,
        }
    }

    fn expand(
        &self,
        text: &str,
        at: &KeyPath,
        reading: Reading,
        allowed: Allowed<'_>,
        params: Option<&Params<'_>>,
        depth: usize,
    ) -> Resolved {
        let pieces = match parse(text) {
            Ok(pieces) => pieces,
            Err(error) => {
                self.fault(at, error.to_string(), None);
                return Resolved::Faulty;
            }
        };
        let whole = pieces.len() == 1;
        let mut parts = Vec::new();
        let mut faulty = false;
        for (nth, piece) in pieces.into_iter().enumerate() {
            let (scope, name) = match piece {
                Piece::Text(text) => {
                    parts.push((reading.text)(text));
                    continue;
                }
                Piece::Reference { scope, name } => (scope, name),
            };
            let yielded = if nth == 0 { reading.leading } else { reading.yielded };
            let part = match scope.as_str() {
                "env" => self.variable(&name, at).map(|text| vec![yielded(text)]),
                "file" => self.secret_file(&name, at).map(|text| vec![yielded(text)]),
                "param" => match params {
                    None => {
                        self.fault(at, "only a preset has parameters".into(), None);
                        None
                    }
                    Some(params) => match self.param(&name, at, allowed, params, depth) {
                        Param::Parts(parts) => Some(parts),
                        Param::Faulty => None,
                        Param::Absent if whole => return Resolved::LeftOut,
                        Param::Absent => {
                            self.needs(&name, None, params);
                            None
                        }
                    },
                },
                other => self.reference(other, &name, at, allowed).map(|part| vec![part]),
            };
            match part {
                Some(more) => parts.extend(more),
                None => faulty = true,
            }
        }
        if faulty {
            Resolved::Faulty
        } else {
            Resolved::Template(Template::new(parts))
        }
    }

    fn variable(&self, name: &str, at: &KeyPath) -> Option<String> {
        let value = self.surroundings.env.get(name);
        if value.is_none() {
            self.fault(
                at,
                format!("the environment variable {name} is not set"),
                Some("set it, or give the value another way".into()),
            );
        }
        value.map(|value| without_final_newline(value).to_owned())
    }

    fn secret_file(&self, name: &str, at: &KeyPath) -> Option<String> {
        let (path, bytes) = self.read_file(name, at)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Some(without_final_newline(text).to_owned()),
            Err(_) => {
                self.fault(at, format!("{} is not UTF-8 text", path.display()), None);
                None
            }
        }
    }

    /// A reference that stays one.
    fn reference(&self, scope: &str, name: &str, at: &KeyPath, allowed: Allowed<'_>) -> Option<Part> {
        let Some(known) = Scope::named(scope) else {
            let scopes = ["env", "file", "param", "header", "path", "subject", "ask", "token"];
            self.fault(
                at,
                format!("unknown scope `{scope}` in a reference"),
                suggestion(scope, scopes),
            );
            return None;
        };
        if !allowed.scopes.contains(&known) {
            let hint = match known {
                Scope::Header | Scope::Path if allowed.scopes.contains(&Scope::Subject) => {
                    Some("declare a part of the subject, and use `${subject:NAME}`".to_owned())
                }
                _ => None,
            };
            self.fault(at, format!("nothing answers `${{{scope}:{name}}}` here"), hint);
            return None;
        }
        match known {
            Scope::Token if !allowed.tokens.contains(&name) => {
                self.fault(
                    at,
                    "there is no token of that name here".into(),
                    suggestion(name, allowed.tokens.iter().copied()),
                );
                None
            }
            Scope::Subject if !allowed.subject.iter().any(|part| part == name) => {
                self.fault(
                    at,
                    format!("the subject has no part `{name}`"),
                    suggestion(name, allowed.subject.iter().map(String::as_str))
                        .or_else(|| Some(format!("declare it: `subject: {{ {name}: \"${{header:…}}\" }}`"))),
                );
                None
            }
            Scope::Header => match http::HeaderName::from_bytes(name.as_bytes()) {
                Ok(header) => Some(Part::Reference(known, header.as_str().to_owned())),
                Err(_) => {
                    self.fault(at, "this is no name of a header field".into(), None);
                    None
                }
            },
            _ => Some(Part::Reference(known, name.to_owned())),
        }
    }

    fn param(&self, name: &str, at: &KeyPath, allowed: Allowed<'_>, params: &Params<'_>, depth: usize) -> Param {
        let Some(declaration) = params.preset.param(name) else {
            let known = params.preset.params().iter().map(|(name, _)| name.as_str());
            self.fault(
                at,
                format!("preset {} has no parameter `{name}`", params.preset.name),
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

    fn typed(&self, template: Template, kind: Kind, at: &KeyPath) -> Param {
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
            Kind::Url if !text.parse::<http::Uri>().is_ok_and(|url| url.scheme().is_some()) => {
                self.fault(
                    at,
                    "this is no URL".into(),
                    Some("it is to be `https://HOST/PATH`".into()),
                );
                Param::Faulty
            }
            _ => Param::Parts(template.parts().to_vec()),
        }
    }

    /// A parameter is needed and absent.
    pub(super) fn needs(&self, name: &str, instead_of: Option<&str>, params: &Params<'_>) {
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

fn without_final_newline(text: &str) -> &str {
    text.strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text)
}
