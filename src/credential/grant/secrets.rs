//! Which texts of a request are secret, and taking them out of what the vendor says about it.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use form_urlencoded::byte_serialize;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use super::{Basic, Body, Json, Request};
use crate::template::{Missing, Part, Template, Values};

/// Shorter values are in every other sentence: taking them out would garble a text and hide nothing.
const SHORTEST: usize = 4;

/// What stands where a secret stood.
const MASK: &str = "***";

/// Fields whose values are words of the protocol, worth reading in an error and no secret anywhere.
const PLAIN: &[&str] = &["audience", "grant_type", "resource", "scope"];

/// In names of fields whose value is secret even when it was written straight into the config.
const TELLING: &[&str] = &["assertion", "auth", "code", "key", "pass", "pwd", "secret", "token"];

/// The secret texts of a built request, in the spellings in which a vendor may echo them. Debug shows how many.
#[derive(Clone, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// The text with every secret masked.
    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.expose_secret()) {
                text = text.replace(secret.expose_secret(), MASK);
            }
        }
        text
    }

    /// Adds a secret and its encodings.
    pub fn add(&mut self, secret: &str) {
        if secret.chars().count() < SHORTEST {
            return;
        }
        let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let segment = utf8_percent_encode(secret, crate::template::SEGMENT).to_string();
        let form: String = byte_serialize(secret.as_bytes()).collect();
        let spellings = [
            in_lower_hex(&percent),
            in_lower_hex(&segment),
            in_lower_hex(&form),
            percent,
            segment,
            form,
            STANDARD_NO_PAD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            secret.to_owned(),
        ];
        for spelling in spellings {
            if !self.0.iter().any(|known| known.expose_secret() == spelling) {
                self.0.push(spelling.into());
            }
        }
        // Longest first, so that no mask leaves the rest of a longer spelling behind.
        self.0
            .sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
    }

    fn add_template(&mut self, name: &str, template: &Template, values: &dyn Values) -> Result<(), Missing> {
        if PLAIN.contains(&name) {
            return Ok(());
        }
        let name = name.to_lowercase();
        if TELLING.iter().any(|word| name.contains(word)) {
            self.add(template.render(values)?.expose_secret());
        }
        for part in template.parts() {
            match part {
                Part::Written(_) => {}
                Part::Value(value) => self.add(value.expose_secret()),
                Part::Reference(scope, name) => {
                    if let Some(value) = values.value(*scope, name) {
                        self.add(&value);
                    }
                }
            }
        }
        Ok(())
    }

    fn add_json(&mut self, name: &str, json: &Json, values: &dyn Values) -> Result<(), Missing> {
        match json {
            Json::Text(template) => self.add_template(name, template, values),
            Json::Plain(_) => Ok(()),
            Json::Array(items) => items.iter().try_for_each(|item| self.add_json(name, item, values)),
            Json::Object(fields) => fields
                .iter()
                .try_for_each(|(name, value)| self.add_json(name, value, values)),
        }
    }

    fn add_basic(&mut self, basic: &Basic, values: &dyn Values) -> Result<(), Missing> {
        let (username, password) = (basic.username.render(values)?, basic.password.render(values)?);
        self.add(password.expose_secret());
        self.add(&format!("{}:{}", username.expose_secret(), password.expose_secret()));
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        self.add(&format!(
            "{}:{}",
            encode(username.expose_secret()),
            encode(password.expose_secret())
        ));
        self.add_template("username", &basic.username, values)
    }
}

/// The same percent-encoded text with its digits in lower case.
fn in_lower_hex(encoded: &str) -> String {
    let mut digits = 0_u8;
    encoded
        .chars()
        .map(|c| {
            if c == '%' {
                digits = 2;
                return c;
            }
            let is_digit = digits > 0;
            digits = digits.saturating_sub(1);
            if is_digit { c.to_ascii_lowercase() } else { c }
        })
        .collect()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Request {
    /// The secret texts that [`Request::build`] puts into the message: what came from the environment, a file or
    /// a reference, and what was written into a field whose name says that it is secret.
    pub fn secrets(&self, values: &dyn Values) -> Result<Secrets, Missing> {
        let mut secrets = Secrets::default();
        secrets.add_template("url", &self.url, values)?;
        for (name, template) in &self.query {
            secrets.add_template(name, template, values)?;
        }
        for (name, template) in &self.headers {
            secrets.add_template(name.as_str(), template, values)?;
        }
        if let Some(basic) = &self.basic {
            secrets.add_basic(basic, values)?;
        }
        match &self.body {
            Body::Empty => {}
            Body::Form(fields) => {
                for (name, template) in fields {
                    secrets.add_template(name, template, values)?;
                }
            }
            Body::Json(json) => secrets.add_json("", json, values)?,
        }
        Ok(secrets)
    }
}
