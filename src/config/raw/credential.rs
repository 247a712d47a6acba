//! A credential as it is written, in a config or in a preset.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{Entries, Errors, Field, Free, Mark, Reply, Sign, Span, Text, Tls};

/// How to authenticate: a `preset` with `params`, a standard `grant`, or requests of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Credential {
    /// A vendor's grants, steps and placement; `bearerd presets` lists them. The keys here are laid over it. Absent:
    /// a `grant`, or requests of its own.
    pub preset: Field<Text>,
    /// The preset's parameters. Absent: the defaults that the preset has.
    pub params: Field<Entries<Field<Text>>>,
    /// A standard OAuth grant. Absent: a `preset`, or requests of its own.
    pub grant: Field<Grant>,
    /// The request that gets tokens from nothing. Absent: it can't sign in by itself.
    pub sign_in: Field<Exchange>,
    /// The request that gets tokens for a refresh token. Absent: it signs in again instead.
    pub refresh: Field<Exchange>,
    /// Other requests of the vendor, by name, for `bearerd login CREDENTIAL STEP`. Absent: none, or the preset's.
    pub steps: Field<Entries<Step>>,
    /// Where each part of the subject stands in a request: `${header:NAME}` or `${path:NAME}`. Absent: one token for
    /// all requests.
    pub subject: Field<Entries<Field<Text>>>,
    /// Where the access token goes.
    #[schemars(extend("default" = "bearer"))]
    pub placement: Field<Placement>,
    /// How replies to its requests read. Absent: the usual names, at the top and within `data` and the like.
    pub reply: Field<Reply>,
    /// How refusals of its requests read. Absent: as RFC 6749 has them, and the usual deviations.
    pub errors: Field<Errors>,
    /// How its API says that the access token is no longer good. Absent: status 401.
    pub rejected: Field<Vec<Field<Sign>>>,
    /// What to do with a refresh token that was sent and whose answer never came. Absent: `sign_in` where that needs
    /// no person and no person began the chain, else `retry`.
    pub on_doubt: Field<OnDoubt>,
    /// For how long the provider accepts a spent refresh token again. Absent: not at all.
    pub grace: Field<Span>,
    /// How old an access token must be before it is renewed ahead of its expiry.
    #[schemars(extend("default" = 0))]
    pub min_age: Field<Span>,
    /// How long a refresh token lives without use. Absent: it isn't renewed for its own sake.
    pub refresh_lifetime: Field<Span>,
    /// Renews also when nobody uses it.
    #[schemars(extend("default" = false))]
    pub keep_alive: Field<bool>,
    /// A refresh token is of use once: a reply without a new one ends the chain.
    #[schemars(extend("default" = false))]
    pub single_use: Field<bool>,
    /// The lifetime of an access token that doesn't say its own. Absent: it is used until it is rejected (a JWT says
    /// its own).
    pub assume_lifetime: Field<Span>,
    /// Whether `/readyz` waits for it.
    #[schemars(extend("default" = false))]
    pub required: Field<bool>,
    /// How long one token request may take.
    #[schemars(extend("default" = "15s"))]
    pub spend_deadline: Field<Span>,
    /// How long a claim stands: at least twice `spend_deadline`.
    #[schemars(extend("default" = "30s"))]
    pub lease: Field<Span>,
    /// How many subjects are held in memory at a time.
    #[schemars(extend("default" = 10000))]
    pub max_subjects: Field<u64>,
    /// A refresh token to start from. Absent: none.
    pub seed: Field<Text>,
    /// TLS settings of its token endpoint. Absent: the common `tls`.
    pub tls: Field<Tls>,
    /// The HTTP proxy that leads to its token endpoint, `http://USER:PASSWORD@HOST:PORT`, or `none`. Absent: what
    /// `HTTPS_PROXY` and `NO_PROXY` say.
    pub proxy: Field<Text>,
    /// Whether its token endpoint may be plain http off loopback.
    #[schemars(extend("default" = false))]
    pub insecure: Field<bool>,
}

/// A standard grant.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grant {
    /// Which one. Required.
    #[serde(rename = "type")]
    pub kind: Field<GrantType>,
    /// The token of `static`. Required by `static`.
    pub token: Field<Text>,
    /// The token endpoint. Required by all but `static`.
    pub token_url: Field<Text>,
    /// The authorization endpoint of `authorization_code`: the page that `bearerd login` opens (RFC 6749 §3.1).
    /// Required by `authorization_code`.
    pub authorize_url: Field<Text>,
    /// The device authorization endpoint of `device_code` (RFC 8628 §3.1). Required by `device_code`.
    pub device_url: Field<Text>,
    /// The client's id. Required where `auth` isn't `none`, and by the grants with a browser.
    pub client_id: Field<Text>,
    /// The client's secret. Absent: a public client.
    pub client_secret: Field<Text>,
    /// How the client authenticates. Absent: `basic` where there is a `client_secret`, else `none`.
    pub auth: Field<Auth>,
    /// The scope to ask for. Absent: what the provider gives by itself.
    pub scope: Field<Text>,
    /// More parameters: of the token requests, or of the request that begins signing in with a browser. Absent: none.
    pub extra: Field<Entries<Field<Text>>>,
    /// The user of `password`. Absent: `bearerd login` asks once.
    pub username: Field<Text>,
    /// The password of `password`. Absent: `bearerd login` asks once.
    pub password: Field<Text>,
    /// The refresh token that `refresh_token` starts from. Absent: what `seed` gives.
    pub refresh_token: Field<Text>,
    /// The port of `authorization_code`'s redirect, `http://127.0.0.1:PORT/callback`, where the provider wants an
    /// exact one. Absent: any free port (RFC 8252 §7.3).
    pub redirect_port: Field<u16>,
    /// The redirect of `authorization_code` where the provider has another one registered: `bearerd login` asks for
    /// the address that the browser ends up at. Absent: loopback.
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
    /// What is sent. Required.
    pub request: Field<Request>,
    /// How its reply reads, over the credential's own `reply`. Absent: the credential's own.
    pub reply: Field<Reply>,
}

/// A vendor's own request.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// What it is for, in a sentence. Absent: nothing is told.
    pub about: Field<Text>,
    /// What to ask a person first: a question by name, for `${ask:NAME}`. Absent: nothing is asked.
    pub ask: Field<Entries<Field<Text>>>,
    /// What is sent. Required.
    pub request: Field<Request>,
    /// How its reply reads, over the credential's own `reply`. Absent: the credential's own.
    pub reply: Field<Reply>,
    /// What follows.
    #[schemars(extend("default" = "nothing"))]
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
    /// Its method.
    #[schemars(extend("default" = "POST"))]
    pub method: Field<Text>,
    /// Its URL. Required.
    pub url: Field<Text>,
    /// Parameters added to the URL's query. Absent: none.
    pub query: Field<Entries<Field<Text>>>,
    /// Header fields. Absent: none.
    pub headers: Field<Entries<Field<Text>>>,
    /// HTTP Basic authentication. Absent: none.
    pub basic: Field<Basic>,
    /// An urlencoded body. Absent: none.
    pub form: Field<Entries<Field<Text>>>,
    /// A JSON body: a mapping, or JSON text whose numbers and booleans keep their type. Absent: none.
    pub json: Field<Free>,
    /// Fields that go where `fields_in` says. Absent: none.
    pub fields: Field<Entries<Field<Text>>>,
    /// Where `fields` go: `query`, `form` or `json`.
    #[schemars(extend("default" = "form"))]
    pub fields_in: Field<Text>,
}

/// HTTP Basic authentication.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Basic {
    /// Before the colon. Absent: empty.
    pub username: Field<Text>,
    /// After it. Absent: empty.
    pub password: Field<Text>,
    /// Whether both are form-encoded first (RFC 6749 §2.3.1).
    #[schemars(extend("default" = false))]
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
        let basic = generator.subschema_for::<Basic>();
        let text = |about: &str| json_schema!({ "type": ["string", "number", "boolean"], "description": about });
        let only = |key: &str, schema: Schema| {
            json_schema!({
                "type": "object", "properties": { key: schema }, "required": [key], "additionalProperties": false
            })
        };
        let mut basic = basic;
        basic.insert(
            "description".into(),
            "HTTP Basic credentials, in which `${token:access}` is the token. Required for this one.".into(),
        );
        let mut value = text("What the header field holds.");
        value.insert("default".into(), "${token:access}".into());
        json_schema!({
            "description": "Where the access token goes.",
            "oneOf": [
                { "const": "bearer", "description": "`authorization: Bearer TOKEN`." },
                only("basic", basic),
                {
                    "type": "object",
                    "properties": {
                        "header": text("A header field of this name. Required for this one."),
                        "value": value
                    },
                    "required": ["header"],
                    "additionalProperties": false
                },
                only("query", text("A query parameter of this name. Required for this one.")),
                only(
                    "form",
                    text("A field of urlencoded bodies, and a query parameter elsewhere, of this name. Required for this one.")
                )
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
