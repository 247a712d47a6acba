//! A credential as it is written, in a config or in a preset.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{Entries, Field, Free, Mark, Span, Text, Tls};

/// How to authenticate: a `preset` with `params`, a standard `grant`, or requests of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Credential {
    /// A vendor's grants, steps and placement; `bearerd presets` lists them. The keys here are laid over it.
    pub preset: Field<Text>,
    /// The preset's parameters.
    pub params: Field<Entries<Field<Text>>>,
    /// A standard OAuth grant.
    pub grant: Field<Grant>,
    /// The request that gets tokens from nothing.
    pub sign_in: Field<Exchange>,
    /// The request that gets tokens for a refresh token.
    pub refresh: Field<Exchange>,
    /// Other requests of the vendor, by name, for `bearerd login CREDENTIAL STEP`.
    pub steps: Field<Entries<Step>>,
    /// Where each part of the subject stands in a request: `${header:NAME}` or `${path:NAME}`.
    pub subject: Field<Entries<Field<Text>>>,
    /// Where the access token goes; `bearer` by default.
    pub placement: Field<Placement>,
    /// How replies to its requests read.
    pub reply: Field<Reply>,
    /// How refusals of its requests read.
    pub errors: Field<Errors>,
    /// How its API says that the access token is no longer good; status 401 by default.
    pub rejected: Field<Vec<Field<Sign>>>,
    /// What to do with a refresh token that was sent and whose answer never came.
    pub on_doubt: Field<OnDoubt>,
    /// For how long the provider accepts a spent refresh token again.
    pub grace: Field<Span>,
    /// How old an access token must be before it is renewed ahead of its expiry.
    pub min_age: Field<Span>,
    /// How long a refresh token lives without use.
    pub refresh_lifetime: Field<Span>,
    /// Renews also when nobody uses it.
    pub keep_alive: Field<bool>,
    /// A refresh token is of use once: a reply without a new one ends the chain.
    pub single_use: Field<bool>,
    /// The lifetime of an access token that doesn't say its own.
    pub assume_lifetime: Field<Span>,
    /// Whether `/readyz` waits for it.
    pub required: Field<bool>,
    /// How long one token request may take; `15s` by default.
    pub spend_deadline: Field<Span>,
    /// How long a claim stands: at least twice `spend_deadline`; `30s` by default.
    pub lease: Field<Span>,
    /// How many subjects are held in memory at a time; `10000` by default.
    pub max_subjects: Field<u64>,
    /// A refresh token to start from.
    pub seed: Field<Text>,
    /// TLS settings of its token endpoint.
    pub tls: Field<Tls>,
    /// The HTTP proxy that leads to its token endpoint, `http://USER:PASSWORD@HOST:PORT`, or `none`. Absent: what
    /// `HTTPS_PROXY` and `NO_PROXY` say.
    pub proxy: Field<Text>,
    /// Whether its token endpoint may be plain http off loopback.
    pub insecure: Field<bool>,
}

/// A standard grant.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grant {
    /// Which one.
    #[serde(rename = "type")]
    pub kind: Field<GrantType>,
    /// The token of `static`.
    pub token: Field<Text>,
    /// The token endpoint.
    pub token_url: Field<Text>,
    /// The authorization endpoint of `authorization_code`: the page that `bearerd login` opens (RFC 6749 §3.1).
    pub authorize_url: Field<Text>,
    /// The device authorization endpoint of `device_code` (RFC 8628 §3.1).
    pub device_url: Field<Text>,
    /// The client's id.
    pub client_id: Field<Text>,
    /// The client's secret.
    pub client_secret: Field<Text>,
    /// How the client authenticates; `basic` by default where it has a secret, else `none`.
    pub auth: Field<Auth>,
    /// The scope to ask for.
    pub scope: Field<Text>,
    /// More parameters: of the token requests, or of the request that begins signing in with a browser.
    pub extra: Field<Entries<Field<Text>>>,
    /// The user of `password`. Absent: `bearerd login` asks once.
    pub username: Field<Text>,
    /// The password of `password`. Absent: `bearerd login` asks once.
    pub password: Field<Text>,
    /// The refresh token that `refresh_token` starts from.
    pub refresh_token: Field<Text>,
    /// The port of `authorization_code`'s redirect, `http://127.0.0.1:PORT/callback`, where the provider wants an exact
    /// one. Absent: any free port (RFC 8252 §7.3).
    pub redirect_port: Field<u16>,
    /// The redirect of `authorization_code` where the provider has another one registered: `bearerd login` asks for
    /// the address that the browser ends up at.
    pub redirect_uri: Field<Text>,
}

/// The type of a standard grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// A token that is simply given.
    Static,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §4.3.
    Password,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.1 with PKCE (RFC 7636): a person signs in with a browser, by `bearerd login`.
    AuthorizationCode,
    /// RFC 8628: a person signs in with a browser on another device, by `bearerd login`.
    DeviceCode,
}

/// How a client authenticates (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// In the Authorization header.
    Basic,
    /// In the body.
    Post,
    /// Not at all: the body holds `client_id` alone.
    None,
}

/// A request, and how its reply reads.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exchange {
    /// What is sent.
    pub request: Field<Request>,
    /// How its reply reads, over the credential's own `reply`.
    pub reply: Field<Reply>,
}

/// A vendor's own request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// What it is for, in a sentence.
    pub about: Field<Text>,
    /// What to ask a person first: a question by name, for `${ask:NAME}`.
    pub ask: Field<Entries<Field<Text>>>,
    /// What is sent.
    pub request: Field<Request>,
    /// How its reply reads, over the credential's own `reply`.
    pub reply: Field<Reply>,
    /// What follows.
    pub then: Field<Then>,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Nothing.
    Nothing,
    /// A refresh.
    Refresh,
    /// A sign-in.
    SignIn,
}

/// A described HTTP request. At most one of `form`, `json` and `fields` is its body.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Its method; POST by default.
    pub method: Field<Text>,
    /// Its URL.
    pub url: Field<Text>,
    /// Parameters added to the URL's query.
    pub query: Field<Entries<Field<Text>>>,
    /// Header fields.
    pub headers: Field<Entries<Field<Text>>>,
    /// HTTP Basic authentication.
    pub basic: Field<Basic>,
    /// An urlencoded body.
    pub form: Field<Entries<Field<Text>>>,
    /// A JSON body: a mapping, or JSON text whose numbers and booleans keep their type.
    pub json: Field<Free>,
    /// Fields that go where `fields_in` says.
    pub fields: Field<Entries<Field<Text>>>,
    /// Where `fields` go: `query`, `form` or `json`.
    pub fields_in: Field<Text>,
}

/// HTTP Basic authentication.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Basic {
    /// Before the colon.
    pub username: Field<Text>,
    /// After it.
    pub password: Field<Text>,
    /// Whether both are form-encoded first (RFC 6749 §2.3.1).
    pub form_encoded: Field<bool>,
}

/// Where the access token goes: one of its keys, or the word `bearer`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// `authorization: Bearer TOKEN`.
    pub bearer: Field<Mark>,
    /// HTTP Basic credentials.
    pub basic: Field<Basic>,
    /// A header field of this name.
    pub header: Field<Text>,
    /// What the header field holds; `${token:access}` by default.
    pub value: Field<Text>,
    /// A query parameter of this name.
    pub query: Field<Text>,
    /// A field of urlencoded bodies, and a query parameter elsewhere, of this name.
    pub form: Field<Text>,
}

impl JsonSchema for Placement {
    fn schema_name() -> Cow<'static, str> {
        "Placement".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = generator.subschema_for::<Text>();
        let basic = generator.subschema_for::<Basic>();
        let only = |key: &str, schema: Schema| {
            json_schema!({
                "type": "object", "properties": { key: schema }, "required": [key], "additionalProperties": false
            })
        };
        json_schema!({
            "description": "Where the access token goes.",
            "oneOf": [
                { "const": "bearer" },
                only("basic", basic),
                {
                    "type": "object",
                    "properties": { "header": text.clone(), "value": text.clone() },
                    "required": ["header"],
                    "additionalProperties": false
                },
                only("query", text.clone()),
                only("form", text)
            ]
        })
    }
}

/// How replies read. Each list is of JSON pointers (RFC 6901), and the first that yields something wins.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// Accepted statuses; any 2xx by default.
    pub ok: Field<Vec<Field<u16>>>,
    /// Where the access token is.
    pub access_token: Field<Vec<Field<Text>>>,
    /// Where the refresh token is.
    pub refresh_token: Field<Vec<Field<Text>>>,
    /// Where the access token's lifetime is.
    pub expires_in: Field<Vec<Field<Text>>>,
    /// Where its absolute expiry is.
    pub expires_at: Field<Vec<Field<Text>>>,
    /// Where the refresh token's lifetime is.
    pub refresh_expires_in: Field<Vec<Field<Text>>>,
    /// What lifetimes count in; seconds by default.
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
    /// JSON pointers to where an error's code may be.
    pub code: Field<Vec<Field<Text>>>,
    /// JSON pointers to where its description may be.
    pub text: Field<Vec<Field<Text>>>,
    /// Which refusals of a refresh mean that the refresh token is dead; `invalid_grant` by default.
    pub dead: Field<Vec<Field<Sign>>>,
    /// Which refusals of a sign-in mean that the subject is not accepted.
    pub subject: Field<Vec<Field<Sign>>>,
    /// Which refusals of a sign-in mean that its user or password is wrong, besides `invalid_grant`.
    pub login: Field<Vec<Field<Sign>>>,
    /// 5xx statuses that say for certain that nothing was spent.
    pub unspent: Field<Vec<Field<u16>>>,
    /// Words that help, by error code.
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
        let status = generator.subschema_for::<u16>();
        json_schema!({
            "description": "A sign in an answer: an error's code, or a status and, where given, one field of its body.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": {
                        "status": status,
                        "field": {
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

/// What to do with a spend whose outcome nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// Sign in again.
    SignIn,
    /// Send the same refresh token again, when nothing can be lost by it.
    Retry,
}
