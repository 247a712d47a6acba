//! How replies and refusals read, as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{Entries, Field, Text};

/// How replies read. Each list is of JSON pointers (RFC 6901), and the first that yields something wins.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// Accepted statuses. Absent: any 2xx.
    pub ok: Field<Vec<Field<u16>>>,
    /// Where the access token is. Absent: the usual names: `access_token`, `accessToken`, `token` and others.
    pub access_token: Field<Vec<Field<Text>>>,
    /// Where the refresh token is. Absent: the usual names.
    pub refresh_token: Field<Vec<Field<Text>>>,
    /// Where the access token's lifetime is. Absent: the usual names.
    pub expires_in: Field<Vec<Field<Text>>>,
    /// Where its absolute expiry is. Absent: the usual names.
    pub expires_at: Field<Vec<Field<Text>>>,
    /// Where the refresh token's lifetime is. Absent: the usual names.
    pub refresh_expires_in: Field<Vec<Field<Text>>>,
    /// What lifetimes count in.
    #[schemars(extend("default" = "seconds"))]
    pub unit: Field<Unit>,
}

/// What a lifetime counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// How refusals read.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Errors {
    /// JSON pointers to where an error's code may be. Absent: `/error`, `/error/code`, `/code` and others.
    pub code: Field<Vec<Field<Text>>>,
    /// JSON pointers to where its description may be. Absent: `/error_description`, `/message` and others.
    pub text: Field<Vec<Field<Text>>>,
    /// Which refusals of a refresh mean that the refresh token is dead. Absent: `invalid_grant`.
    pub dead: Field<Vec<Field<Sign>>>,
    /// Which refusals of a sign-in mean that the subject is not accepted. Absent: none.
    pub subject: Field<Vec<Field<Sign>>>,
    /// Which refusals of a sign-in mean that its user or password is wrong, besides `invalid_grant`. Absent: none.
    pub login: Field<Vec<Field<Sign>>>,
    /// 5xx statuses that say for certain that nothing was spent. Absent: none.
    pub unspent: Field<Vec<Field<u16>>>,
    /// Words that help, by error code. Absent: none.
    pub hints: Field<Entries<Field<Text>>>,
}

/// A sign in an answer: an error's code, or a status.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Sign {
    /// The error's code.
    pub code: Field<Text>,
    /// The status.
    pub status: Field<u16>,
    /// A JSON pointer into the body, and the text that must be there.
    pub field: Field<Entries<Field<Text>>>,
}

impl JsonSchema for Sign {
    fn schema_name() -> Cow<'static, str> {
        "Sign".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut status = generator.subschema_for::<u16>();
        status.insert(
            "description".into(),
            "The status. Required, for a sign that is no code.".into(),
        );
        json_schema!({
            "description": "A sign in an answer: an error's code, or a status and, where given, one field of its body.",
            "anyOf": [
                { "type": "string", "description": "An error's code." },
                {
                    "type": "object",
                    "properties": {
                        "status": status,
                        "field": {
                            "description": "A JSON pointer into the body, and the text that must be there. Absent: the status is enough.",
                            "type": "object",
                            "additionalProperties": { "type": "string" },
                            "minProperties": 1,
                            "maxProperties": 1
                        }
                    },
                    "required": ["status"],
                    "additionalProperties": false
                }
            ]
        })
    }
}
