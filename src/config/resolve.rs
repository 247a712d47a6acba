//! Resolving templates at load: `env`, `file` and `param` reading text; the scopes of a request stay references.

use secrecy::SecretString;

use super::{
    check::Check,
    fault::{closest, suggestion},
    node::KeyPath,
    param::{Param, Params},
};
use crate::template::{Part, Piece, Scope, Template, parse};

/// What stands for a secret that isn't read.
const STAND_IN: &str = "x";

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

/// What becomes of the text between references, and of what `env` and `file` yield.
#[derive(Clone, Copy)]
pub(super) struct Reading {
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
pub(super) const VALUE: Reading = Reading {
    text: value,
    yielded: value,
    leading: value,
};
/// A parameter that keeps its slashes.
pub(super) const WRITTEN: Reading = Reading {
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

    /// Resolves a text that becomes what `reading` says.
    pub(super) fn expand(
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
        if self.blind {
            return Some(STAND_IN.to_owned());
        }
        self.variables.borrow_mut().insert(name.to_owned());
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
        if self.blind {
            return Some(STAND_IN.to_owned());
        }
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
            // What stands there may be a part of a secret that holds `${`.
            let meant = closest(scope, scopes).map(|scope| format!("did you mean `{scope}`?"));
            self.fault(
                at,
                "a reference's scope is not known".into(),
                meant.or_else(|| Some("for a literal `${` write `$${`".into())),
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
            self.fault(at, format!("nothing answers `${{{scope}:…}}` here"), hint);
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
                    "the subject has no part of that name".into(),
                    suggestion(name, allowed.subject.iter().map(String::as_str))
                        .or_else(|| Some("declare it: `subject: { NAME: \"${header:…}\" }`".into())),
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
}

fn without_final_newline(text: &str) -> &str {
    text.strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(text)
}
