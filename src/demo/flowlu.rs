//! Flowlu: a key in the query or in the form, or a token as a Basic password. Its errors speak Russian, and misspell
//! `error_description`.

use std::sync::Arc;

use http::{Method, StatusCode, header::AUTHORIZATION};
use serde_json::json;

use super::{
    authority::{Cause, Holder, Ledger, Rotation},
    count::Grant,
    exchange::{Call, Purpose, Reply, Vendor, once},
    mint::{self, Mint},
};

/// The API key; its signs have a meaning in a query string and in a form, so they must be encoded there.
pub const API_KEY: &str = "demo+key/42==";

/// The parameter that carries the key.
pub const API_KEY_PARAMETER: &str = "api_key";

/// The login of the demo administrator.
pub const USERNAME: &str = "demo_admin";

/// The demo administrator's password.
pub const PASSWORD: &str = "пароль ${не шаблон}";

/// The application's identifier.
pub const CLIENT_ID: &str = "demo_erp_v1";

/// The document's token, used once for a whole session: there is no refresh token.
const MINT: Mint = Mint {
    access: mint::hex_and_digits,
    refresh: None,
};

pub(super) struct Flowlu {
    ledger: Arc<Ledger>,
}

impl Flowlu {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

fn error(status: StatusCode, code: &str, text: &str) -> Reply {
    Reply::json(status, json!({"error": code, "error_descrption": text}))
}

/// The key, where the request's kind of message carries it, if it is there and nowhere else.
fn api_key(call: &Call) -> Option<String> {
    let query = call.query();
    let form = call.form();
    let count = |pairs: &[(String, String)]| pairs.iter().filter(|(name, _)| name == API_KEY_PARAMETER).count();
    let (place, elsewhere) = match &form {
        Some(form) => (form, count(&query)),
        None => (&query, 0),
    };
    let key = once(place, API_KEY_PARAMETER)?;
    (elsewhere == 0).then(|| key.to_owned())
}

impl Vendor for Flowlu {
    fn purpose(&self, call: &Call) -> Purpose {
        let segments = call.segments();
        match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["oauth", "token"] if call.method == Method::POST => {
                let form = call.form().unwrap_or_default();
                Purpose::Token(match once(&form, "grant_type") {
                    Some("password") => Grant::Password,
                    _ => Grant::Other,
                })
            }
            ["oauth", "token"] => Purpose::WrongMethod,
            ["api", "v1", "module", _, _, _, ..] if matches!(call.method, Method::GET | Method::POST) => {
                Purpose::Data(StatusCode::OK)
            }
            ["api", "v1", "module", _, _, _, ..] => Purpose::WrongMethod,
            _ => Purpose::Nothing,
        }
    }

    fn token(&self, call: &Call, _: Rotation) -> Reply {
        let form = call.form().unwrap_or_default();
        let wanted = ["grant_type", "username", "password", "client_id"].map(|name| once(&form, name));
        let [Some("password"), Some(username), Some(password), Some(client)] = wanted else {
            return error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Ошибка запроса: отсутствуют обязательные параметры или неверный grant_type",
            );
        };
        if (username, password, client) != (USERNAME, PASSWORD, CLIENT_ID) {
            return error(
                StatusCode::BAD_REQUEST,
                "invalid_grant",
                "Неверные имя пользователя или пароль",
            );
        }
        let holder = Holder {
            name: username.into(),
            client: client.into(),
            tenant: None,
        };
        let pair = self.ledger.issue(holder, MINT);
        Reply::json(
            StatusCode::OK,
            json!({"access_token": pair.access, "token_type": "bearer"}),
        )
    }

    fn authorise(&self, call: &Call) -> Result<Holder, Cause> {
        let key = api_key(call);
        if call.headers.contains_key(AUTHORIZATION) {
            // Two credentials at once: one of them is not meant for this API.
            if key.is_some() {
                return Err(Cause::Missing);
            }
            let (user, token) = call.basic().ok_or(Cause::Missing)?;
            return match user.as_str() {
                "bearer" => self.ledger.holder(&token),
                _ => Err(Cause::Unknown),
            };
        }
        match key.ok_or(Cause::Missing)?.as_str() {
            API_KEY => Ok(Holder {
                name: "api key".into(),
                client: "api key".into(),
                tenant: None,
            }),
            _ => Err(Cause::Unknown),
        }
    }

    fn denied(&self, _: Cause) -> Reply {
        error(StatusCode::UNAUTHORIZED, "unauthorized", "Требуется авторизация")
    }
}
