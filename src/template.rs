//! Templates: text with `${scope:name}` in it.
//!
//! [`parse`] reads what an operator wrote; the config room resolves `env`, `file` and `param` at load and is left
//! with a [`Template`], whose references are answered per request. A value is encoded for where it stands, so it
//! never adds a header, a parameter or a path segment.

use std::{borrow::Cow, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// What RFC 3986 §2.3 calls unreserved stays; everything else in a path segment is percent-encoded.
pub(crate) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A piece of a text as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Literal text; `$${` has become `${`.
    Text(String),
    /// `${scope:name}`.
    Reference {
        /// Before the colon.
        scope: String,
        /// After it; for `file` it is a path.
        name: String,
    },
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A `${` without its `}`.
    #[error("'${{' is never closed; write '$${{' for a literal '${{'")]
    Unclosed,
    /// No colon inside.
    #[error("a reference is '${{scope:name}}', and this one has no scope; write '$${{' for a literal '${{'")]
    NoScope,
    /// Nothing after the colon.
    #[error("a reference is '${{scope:name}}', and this one has no name")]
    NoName,
}

/// Reads `${scope:name}` references out of a text.
pub fn parse(text: &str) -> Result<Vec<Piece>, ParseError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            literal.push_str(&rest[..at]);
            literal.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        literal.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let end = inside.find('}').ok_or(ParseError::Unclosed)?;
        let (scope, name) = inside[..end].split_once(':').ok_or(ParseError::NoScope)?;
        if name.is_empty() {
            return Err(ParseError::NoName);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Reference {
            scope: scope.into(),
            name: name.into(),
        });
        rest = &inside[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// What a reference that is answered after load speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// A header of the request.
    Header,
    /// A capture of the route's path.
    Path,
    /// A part of the credential's subject.
    Subject,
    /// What a person answered to a step's question.
    Ask,
    /// `access` or `refresh`: a held token.
    Token,
}

impl Scope {
    /// The word before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Path => "path",
            Self::Subject => "subject",
            Self::Ask => "ask",
            Self::Token => "token",
        }
    }

    /// The scope of that word, if it is one that outlives load.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Header, Self::Path, Self::Subject, Self::Ask, Self::Token]
            .into_iter()
            .find(|scope| scope.as_str() == word)
    }
}

/// A part of a template after load.
#[derive(Clone)]
pub enum Part {
    /// Text that keeps its meaning where it stands: a slash in a URL separates segments.
    Written(String),
    /// A value: encoded for where it stands, and treated as secret.
    Value(SecretString),
    /// Answered per request.
    Reference(Scope, String),
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Written(one), Self::Written(two)) => one == two,
            // Both are the operator's own, so nobody learns anything from how long this takes.
            (Self::Value(one), Self::Value(two)) => one.expose_secret() == two.expose_secret(),
            (Self::Reference(scope, name), Self::Reference(other_scope, other_name)) => {
                (scope, name) == (other_scope, other_name)
            }
            (Self::Written(_) | Self::Value(_) | Self::Reference(..), _) => false,
        }
    }
}

impl Eq for Part {}

/// Text with its load-time references resolved. Debug shows its references only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A reference that nothing answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing answers ${{{}:{name}}}", scope.as_str())]
pub struct Missing {
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

/// Answers references.
pub trait Values {
    /// The value, or `None` where there is none.
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, str>>;
}

/// Answers none.
impl Values for () {
    fn value(&self, _: Scope, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

impl<F> Values for F
where
    F: Fn(Scope, &str) -> Option<String>,
{
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, str>> {
        self(scope, name).map(Cow::Owned)
    }
}

impl Template {
    /// A template of these parts.
    pub fn new(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    /// A template that is this text.
    pub fn written(text: impl Into<String>) -> Self {
        Self(vec![Part::Written(text.into())])
    }

    /// Its parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// The references it holds, in order.
    pub fn references(&self) -> impl Iterator<Item = (Scope, &str)> {
        self.0.iter().filter_map(|part| match part {
            Part::Reference(scope, name) => Some((*scope, name.as_str())),
            Part::Written(_) | Part::Value(_) => None,
        })
    }

    /// The whole text, values as they are: for places that encode the result themselves.
    pub fn render(&self, values: &dyn Values) -> Result<SecretString, Missing> {
        self.render_with(values, |value| Cow::Borrowed(value))
            .map(SecretString::from)
    }

    /// The text as part of a URL: values are percent-encoded as path segments, written text is not.
    pub fn render_url(&self, values: &dyn Values) -> Result<SecretString, Missing> {
        self.render_with(values, |value| match value {
            // Alone these would walk the path even when nothing in them needs encoding.
            "." => Cow::Borrowed("%2E"),
            ".." => Cow::Borrowed("%2E%2E"),
            _ => utf8_percent_encode(value, SEGMENT).into(),
        })
        .map(SecretString::from)
    }

    fn render_with(
        &self,
        values: &dyn Values,
        encode: impl for<'v> Fn(&'v str) -> Cow<'v, str>,
    ) -> Result<String, Missing> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Written(written) => text.push_str(written),
                Part::Value(value) => text.push_str(&encode(value.expose_secret())),
                Part::Reference(scope, name) => {
                    let value = values.value(*scope, name).ok_or_else(|| Missing {
                        scope: *scope,
                        name: name.clone(),
                    })?;
                    text.push_str(&encode(&value));
                }
            }
        }
        Ok(text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template")?;
        f.debug_list()
            .entries(
                self.references()
                    .map(|(scope, name)| format!("{}:{name}", scope.as_str())),
            )
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(scope: &str, name: &str) -> Piece {
        Piece::Reference {
            scope: scope.into(),
            name: name.into(),
        }
    }

    #[test]
    fn references_are_read_out_of_text() {
        assert_eq!(
            parse("Bearer ${token:access}!").unwrap(),
            [
                Piece::Text("Bearer ".into()),
                reference("token", "access"),
                Piece::Text("!".into())
            ]
        );
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("$5 {a}").unwrap(), [Piece::Text("$5 {a}".into())]);
    }

    #[test]
    fn a_doubled_dollar_is_a_literal() {
        assert_eq!(parse("$${a}").unwrap(), [Piece::Text("${a}".into())]);
        assert_eq!(
            parse("$${${env:A}").unwrap(),
            [Piece::Text("${".into()), reference("env", "A")]
        );
    }

    #[test]
    fn broken_references_are_told_apart() {
        assert_eq!(parse("a${env:A"), Err(ParseError::Unclosed));
        assert_eq!(parse("${A}"), Err(ParseError::NoScope));
        assert_eq!(parse("${env:}"), Err(ParseError::NoName));
    }

    #[test]
    fn a_value_in_a_url_never_adds_a_segment_or_a_parameter() {
        let template = Template::new(vec![
            Part::Written("https://api.example/v2/".into()),
            Part::Reference(Scope::Subject, "tenant".into()),
            Part::Written("/account".into()),
        ]);
        let render = |tenant: &'static str| {
            let values = move |_: Scope, _: &str| Some(tenant.to_owned());
            template.render_url(&values).unwrap().expose_secret().to_owned()
        };
        assert_eq!(
            render("a/../b?c#d"),
            "https://api.example/v2/a%2F..%2Fb%3Fc%23d/account"
        );
        assert_eq!(render(".."), "https://api.example/v2/%2E%2E/account");
    }

    #[test]
    fn debug_shows_no_text() {
        let template = Template::new(vec![
            Part::Written("hush".into()),
            Part::Value("canary".into()),
            Part::Reference(Scope::Token, "access".into()),
        ]);
        assert_eq!(format!("{template:?}"), r#"Template["token:access"]"#);
    }
}
