//! What a value holds, one by one, as serde asks for it.

use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::StrDeserializer,
};

use super::{Error, Reader};
use crate::config::{fault::suggestion, node::Node};

/// The items of a list.
pub(super) struct Items<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) items: std::slice::Iter<'a, Node>,
    pub(super) at: usize,
}

impl<'de, 'a: 'de> SeqAccess<'de> for Items<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.items.next() else {
            return Ok(None);
        };
        let path = self.reader.path.item(self.at);
        self.at += 1;
        let sink = self.reader.sink;
        seed.deserialize(Reader { node, path, sink }).map(Some)
    }
}

/// The entries of a mapping that are there; unknown keys are written down and left out.
pub(super) struct Entries<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) entries: std::slice::Iter<'a, (String, Node)>,
    pub(super) known: Option<&'static [&'static str]>,
    pub(super) current: Option<(&'a str, &'a Node)>,
}

impl<'de, 'a: 'de> MapAccess<'de> for Entries<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        for (key, node) in self.entries.by_ref() {
            if let Some(known) = self.known
                && !known.contains(&key.as_str())
            {
                let path = self.reader.path.key(key);
                let sink = self.reader.sink;
                let hint = suggestion(key, known.iter().copied());
                sink.report(sink.index.key(&path), &path, "unknown key".into(), hint);
                continue;
            }
            if *node == Node::Absent {
                continue;
            }
            self.current = Some((key, node));
            let key: StrDeserializer<'_, Error> = key.as_str().into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, node) = self
            .current
            .take()
            .ok_or_else(|| Error::custom("a value without its key"))?;
        seed.deserialize(Reader {
            node,
            path: self.reader.path.key(key),
            sink: self.reader.sink,
        })
    }
}

/// A mapping written as one text.
pub(super) struct Short<'a> {
    pub(super) key: Option<&'static str>,
    pub(super) reader: Reader<'a>,
}

impl<'de, 'a: 'de> MapAccess<'de> for Short<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(key) = self.key.take() else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.reader.clone())
    }
}

/// A word of an enumeration.
pub(super) struct Word(pub(super) &'static str);

impl<'de> EnumAccess<'de> for Word {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word: StrDeserializer<'_, Error> = self.0.into_deserializer();
        Ok((seed.deserialize(word)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error::custom("this is to be a word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("this is to be a word"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::custom("this is to be a word"))
    }
}
