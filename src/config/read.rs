//! Reading a tree into [`raw`](super::raw): a serde deserializer that knows each key's path, writes every fault down
//! and goes on, so that one run reports them all.

mod access;

use std::{cell::RefCell, fmt};

use serde::de::{Deserializer, Unexpected, Visitor};

use self::access::{Entries, Items, Short, Word};
use super::{
    fault::{Fault, suggestion},
    node::{Index, KeyPath, Node},
};

/// Mappings that may be written as one text, which is then the value of this key.
const SHORT_FORMS: [(&str, &str); 1] = [("Sign", "code")];

/// Mappings that may be written as one of their keys alone.
const CHOICES: [&str; 1] = ["Placement"];

/// Where faults are written down.
pub(super) struct Sink<'a> {
    pub(super) index: &'a Index,
    pub(super) faults: RefCell<Vec<Fault>>,
}

impl Sink<'_> {
    fn report(&self, origin: super::fault::Origin, path: &KeyPath, message: String, hint: Option<String>) {
        self.faults.borrow_mut().push(Fault {
            origin,
            path: path.clone(),
            message,
            hint,
        });
    }
}

/// Why a value could not be read.
#[derive(Debug)]
pub(super) enum Error {
    /// It is written down already.
    Reported,
    /// It is not yet: these are a visitor's words.
    Words(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported => f.write_str("reported"),
            Self::Words(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self::Words(words.to_string())
    }

    // serde's own words show the value: it may be a secret.
    fn invalid_type(_: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::Words(format!("this is to be {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::Words(format!("this is to be {expected}"))
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) path: KeyPath,
    pub(super) sink: &'a Sink<'a>,
}

impl<'a> Reader<'a> {
    /// Writes a visitor's fault down where it happened.
    fn settle<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| {
            if let Error::Words(words) = error {
                self.sink
                    .report(self.sink.index.value(&self.path), &self.path, words, None);
            }
            Error::Reported
        })
    }

    fn text(&self, wanted: &str) -> Result<&'a str, Error> {
        match self.node {
            Node::Text(text) => Ok(text),
            other => Err(Error::Words(format!(
                "this is to be {wanted}, and here is {}",
                other.kind()
            ))),
        }
    }

    fn parsed<T: std::str::FromStr>(&self, wanted: &str) -> Result<T, Error> {
        self.text(wanted)?
            .parse()
            .map_err(|_| Error::Words(format!("this is to be {wanted}")))
    }

    fn not_a_mapping<T>(&self) -> Result<T, Error> {
        let words = format!("this is to be a mapping, and here is {}", self.node.kind());
        self.settle(Err(Error::Words(words)))
    }

    /// The entries of a mapping; those of anything else are none, and the fault is written down.
    fn entries(&self, wanted: &str) -> &'a [(String, Node)] {
        match self.node {
            Node::Map(entries) => entries,
            Node::Absent => &[],
            other => {
                let words = format!("this is to be {wanted}, and here is {}", other.kind());
                let _ = self.settle::<()>(Err(Error::Words(words)));
                &[]
            }
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $wanted:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.settle(self.parsed($wanted).and_then(|number| visitor.$visit(number)))
        }
    )*};
}

impl<'de, 'a: 'de> Deserializer<'de> for Reader<'a> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Absent => self.settle(visitor.visit_unit()),
            Node::Text(text) => self.settle(visitor.visit_borrowed_str(text)),
            Node::List(_) => self.deserialize_seq(visitor),
            Node::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.settle(self.parsed("true or false").and_then(|value| visitor.visit_bool(value)))
    }

    numbers! {
        deserialize_i8 visit_i8 "a whole number"
        deserialize_i16 visit_i16 "a whole number"
        deserialize_i32 visit_i32 "a whole number"
        deserialize_i64 visit_i64 "a whole number"
        deserialize_u8 visit_u8 "a small whole number"
        deserialize_u16 visit_u16 "a whole number up to 65535"
        deserialize_u32 visit_u32 "a whole number"
        deserialize_u64 visit_u64 "a whole number"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
        deserialize_char visit_char "one character"
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.settle(self.text("text").and_then(|text| visitor.visit_borrowed_str(text)))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Absent => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.settle(visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::List(items) => visitor.visit_seq(Items {
                reader: self.clone(),
                items: items.iter(),
                at: 0,
            }),
            other => self.settle(Err(Error::Words(format!(
                "this is to be a list, and here is {}",
                other.kind()
            )))),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let entries = self.entries("a mapping");
        visitor.visit_map(Entries {
            reader: self,
            entries: entries.iter(),
            known: None,
            current: None,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let key = match self.node {
            Node::Map(_) | Node::Absent => None,
            Node::Text(text) => {
                let short = SHORT_FORMS.iter().find(|(of, _)| *of == name).map(|(_, key)| *key);
                // A choice without settings is written as its word: `placement: bearer`.
                let word = || fields.iter().copied().find(|field| *field == text.as_str());
                let is_choice = CHOICES.contains(&name);
                match short.or_else(|| is_choice.then(word).flatten()) {
                    Some(key) => Some(key),
                    None if is_choice => {
                        let hint = suggestion(text, fields.iter().copied());
                        let message = "this is to be a mapping, or a word that is known here".to_owned();
                        self.sink
                            .report(self.sink.index.value(&self.path), &self.path, message, hint);
                        return Err(Error::Reported);
                    }
                    None => return self.not_a_mapping(),
                }
            }
            Node::List(_) => return self.not_a_mapping(),
        };
        if let Some(key) = key {
            return visitor.visit_map(Short {
                key: Some(key),
                reader: self,
            });
        }
        let entries = self.entries("a mapping");
        visitor.visit_map(Entries {
            reader: self,
            entries: entries.iter(),
            known: Some(fields),
            current: None,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let words = variants.join(", ");
        let text = self.settle(self.text(&format!("one of {words}")))?;
        match variants.iter().copied().find(|variant| *variant == text) {
            Some(variant) => visitor.visit_enum(Word(variant)),
            None => {
                let hint =
                    super::fault::closest(text, variants.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                let message = format!("this is to be one of {words}");
                self.sink
                    .report(self.sink.index.value(&self.path), &self.path, message, hint);
                Err(Error::Reported)
            }
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
