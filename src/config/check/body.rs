//! The bodies of described requests.

use secrecy::ExposeSecret;

use super::{Check, request::Terms};
use crate::{
    config::{
        fault::suggestion,
        node::{KeyPath, Node},
        raw::{self, Field, Text},
        resolve::{AT_LOAD, Resolved},
    },
    credential::grant::{Body, Json},
    template::Template,
};

/// Where `fields` can go.
const FIELDS_IN: [&str; 3] = ["query", "form", "json"];

impl Check<'_> {
    /// A request's body; `fields` that go into the query are put there.
    pub(super) fn body(
        &self,
        raw: &raw::Request,
        at: &KeyPath,
        query: &mut Option<Vec<(String, Template)>>,
        terms: Terms<'_>,
    ) -> Option<Body> {
        // Wherever they go, what is wrong with them is told.
        let fields = self.fields(&raw.fields, &at.key("fields"), terms);
        let fields_in = self.fields_in(&raw.fields_in, &at.key("fields_in"), terms)?;
        let in_body = !raw.fields.is_absent() && fields_in != "query";
        let bodies = [
            (!raw.form.is_absent(), "form"),
            (!raw.json.is_absent(), "json"),
            (in_body, "fields"),
        ];
        let mut given = bodies.into_iter().filter_map(|(given, name)| given.then_some(name));
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            self.fault_at_key(
                &at.key(second),
                format!("a request has one body, and `{first}` is one too"),
                Some(format!("keep one, and set the other to null: `{first}: ~`")),
            );
            return None;
        }
        let fields = fields?;
        match (&raw.form, &raw.json, &raw.fields) {
            (form @ Field::Given(_), ..) => {
                let form = self.fields(form, &at.key("form"), terms);
                if fields_in == "query"
                    && let Some(query) = query
                {
                    query.extend(fields);
                }
                Some(Body::Form(form?))
            }
            (_, Field::Given(json), _) => {
                if fields_in == "query"
                    && let Some(query) = query
                {
                    query.extend(fields);
                }
                Some(Body::Json(self.json(&json.0, &at.key("json"), terms)?))
            }
            (_, _, Field::Given(_)) => Some(match fields_in.as_str() {
                "query" => {
                    if let Some(query) = query {
                        query.extend(fields);
                    }
                    Body::Empty
                }
                "json" => {
                    let texts = fields.into_iter().map(|(name, value)| (name, Json::Text(value)));
                    Body::Json(Json::Object(texts.collect()))
                }
                _ => Body::Form(fields),
            }),
            (Field::Faulty, ..) | (_, Field::Faulty, _) | (_, _, Field::Faulty) => None,
            (Field::Absent, Field::Absent, Field::Absent) => Some(Body::Empty),
        }
    }

    /// Where `fields` go.
    fn fields_in(&self, field: &Field<Text>, at: &KeyPath, terms: Terms<'_>) -> Option<String> {
        if field.is_absent() {
            return Some("form".to_owned());
        }
        let place = self.word(field, at, terms)?;
        if !self.blind && !FIELDS_IN.contains(&place.as_str()) {
            self.fault(
                &self.cause(field, at, terms.params),
                format!("fields go in one of {}", FIELDS_IN.join(", ")),
                suggestion(&place, FIELDS_IN),
            );
            return None;
        }
        Some(place)
    }

    /// A word, which a parameter may give.
    fn word(&self, field: &Field<Text>, at: &KeyPath, terms: Terms<'_>) -> Option<String> {
        let Text(text) = field.given()?;
        let template = self.resolve(text, at, AT_LOAD, terms.params).template()?;
        Some(template.render(&()).ok()?.expose_secret().to_owned())
    }

    fn json(&self, node: &Node, at: &KeyPath, terms: Terms<'_>) -> Option<Json> {
        match node {
            Node::Text(text) => match serde_json::from_str(text) {
                Ok(value) => self.json_text(value, at, terms),
                // serde_json's own words name a place and what was expected there, and show none of the text.
                Err(error) => {
                    self.fault(
                        at,
                        format!(
                            "this is no JSON text (its line {}, column {})",
                            error.line(),
                            error.column()
                        ),
                        Some("write a mapping instead, or mend the JSON".into()),
                    );
                    None
                }
            },
            Node::Map(_) => self
                .json_node(node, at, terms)
                .map(|json| json.unwrap_or(Json::Object(Vec::new()))),
            Node::List(_) | Node::Absent => {
                self.fault(at, "this is to be a mapping or JSON text".into(), None);
                None
            }
        }
    }

    /// A value of a mapping; `Some(None)` is one to leave out.
    fn json_node(&self, node: &Node, at: &KeyPath, terms: Terms<'_>) -> Option<Option<Json>> {
        Some(match node {
            Node::Absent => None,
            Node::Text(text) => match self.resolve(text, at, terms.allowed, terms.params) {
                Resolved::Template(template) => Some(Json::Text(template)),
                Resolved::LeftOut => None,
                Resolved::Faulty => return None,
            },
            Node::List(items) => {
                let mut array = Vec::new();
                for (nth, item) in items.iter().enumerate() {
                    array.extend(self.json_node(item, &at.item(nth), terms)?);
                }
                Some(Json::Array(array))
            }
            Node::Map(entries) => {
                let mut object = Vec::new();
                for (name, value) in entries {
                    if let Some(json) = self.json_node(value, &at.key(name), terms)? {
                        object.push((name.clone(), json));
                    }
                }
                Some(Json::Object(object))
            }
        })
    }

    /// A value of a JSON text, whose strings are templates.
    fn json_text(&self, value: serde_json::Value, at: &KeyPath, terms: Terms<'_>) -> Option<Json> {
        use serde_json::Value;
        Some(match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Json::Plain(value),
            Value::String(text) => match self.resolve(&text, at, terms.allowed, terms.params) {
                Resolved::Template(template) => Json::Text(template),
                Resolved::LeftOut => Json::Plain(Value::Null),
                Resolved::Faulty => return None,
            },
            Value::Array(items) => {
                let items = items.into_iter().map(|item| self.json_text(item, at, terms));
                Json::Array(items.collect::<Option<_>>()?)
            }
            Value::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| Some((name, self.json_text(value, at, terms)?)));
                Json::Object(fields.collect::<Option<_>>()?)
            }
        })
    }
}
