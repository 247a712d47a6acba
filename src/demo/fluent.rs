//! Fluent Commerce: parameters in the query string, and refresh tokens that can be used once.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    authority::{Cause, Holder, Ledger, Rotation},
    count::Grant,
    exchange::{Call, Pairs, Purpose, Reply, Vendor, once},
    mint::{self, Mint},
};

/// The name of the demo user.
pub const USERNAME: &str = "demo_user";

/// The demo user's password; its signs have a meaning in a query string, so they must be encoded there.
pub const PASSWORD: &str = "p&ss=w+rd% 7";

/// A kind of client, as the document lists them.
#[derive(Clone, Copy)]
pub struct Client {
    /// Its identifier.
    pub id: &'static str,
    /// Its secret.
    pub secret: &'static str,
    /// The one scope it may ask for.
    pub scope: &'static str,
}

/// The retailer's own client.
pub const API_CLIENT: Client = Client {
    id: "fluent-api",
    secret: "demo-fluent-api-secret-51c0",
    scope: "api",
};

/// The client that is made for integrations.
pub const INTEGRATION_CLIENT: Client = Client {
    id: "FLUENT_INTEGRATION",
    secret: "demo-integration-secret-9be2",
    scope: "retailer",
};

pub(super) struct Fluent {
    ledger: Arc<Ledger>,
}

impl Fluent {
    pub(super) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    fn sign_in(&self, parameters: &Pairs, client: Client, rotation: Rotation) -> Reply {
        let (Some(username), Some(password)) = (once(parameters, "username"), once(parameters, "password")) else {
            return flat(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "username and password are required",
            );
        };
        if (username, password) != (USERNAME, PASSWORD) {
            let message = json!({"error": "invalid_grant", "error_description": "Bad credentials"});
            return nested(StatusCode::BAD_REQUEST, message);
        }
        let holder = Holder {
            name: username.into(),
            client: client.id.into(),
            tenant: None,
        };
        let mint = match rotation {
            Rotation::Rotate => mint_of(client),
            Rotation::Keep => mint_of(client).access_only(),
        };
        let pair = self.ledger.issue(holder, mint);
        self.granted(client, pair.access, pair.refresh)
    }

    fn refresh(&self, parameters: &Pairs, client: Client, rotation: Rotation) -> Reply {
        let Some(token) = once(parameters, "refresh_token") else {
            return flat(StatusCode::BAD_REQUEST, "invalid_request", "refresh_token is required");
        };
        match self.ledger.renew(token, client.id, mint_of(client), rotation) {
            Ok((_, pair)) => self.granted(client, pair.access, pair.refresh),
            Err(_) => flat(StatusCode::BAD_REQUEST, "invalid_grant", "Invalid refresh token"),
        }
    }

    fn granted(&self, client: Client, access: String, refresh: Option<String>) -> Reply {
        let integration = client.id == INTEGRATION_CLIENT.id;
        let mut reply = json!({"access_token": access, "token_type": "bearer"});
        if let Some(refresh) = refresh {
            reply["refresh_token"] = refresh.into();
        }
        reply["expires_in"] = self.ledger.expires_in().into();
        reply["scope"] = client.scope.into();
        reply["Retailer_id"] = if integration { 5 } else { 1 }.into();
        reply["FirstName"] = "Fluent".into();
        reply["LastName"] = "Commerce".into();
        reply["Roles"] = if integration { json!(["RETAILER"]) } else { json!([]) };
        Reply::json(StatusCode::OK, reply)
    }
}

fn mint_of(client: Client) -> Mint {
    let access = if client.id == INTEGRATION_CLIENT.id {
        mint::url_safe
    } else {
        mint::uuid
    };
    Mint {
        access,
        refresh: Some(mint::url_safe),
    }
}

/// An error as the clients' and refresh tokens' examples show it.
fn flat(status: StatusCode, code: &str, description: &str) -> Reply {
    Reply::json(status, json!({"error": code, "error_description": description}))
}

/// An error as the model and the bad credentials' example show it.
fn nested(status: StatusCode, message: Value) -> Reply {
    let code = status.as_str();
    Reply::json(status, json!({"errors": [{"code": code, "message": message}]}))
}

impl Vendor for Fluent {
    fn purpose(&self, call: &Call) -> Purpose {
        let post = call.method == Method::POST;
        let segments = call.segments();
        match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["oauth", "token"] if post => Purpose::Token(match once(&call.query(), "grant_type") {
                Some("password") => Grant::Password,
                Some("refresh_token") => Grant::RefreshToken,
                _ => Grant::Other,
            }),
            ["oauth", "token"] => Purpose::WrongMethod,
            ["graphql"] if post => Purpose::Data(StatusCode::OK),
            ["graphql"] => Purpose::WrongMethod,
            ["api", "v4.1", _, ..] => Purpose::Data(StatusCode::OK),
            _ => Purpose::Nothing,
        }
    }

    fn token(&self, call: &Call, rotation: Rotation) -> Reply {
        if call.body.length > 0 {
            return flat(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "The parameters belong in the query",
            );
        }
        let parameters = call.query();
        let given = (once(&parameters, "client_id"), once(&parameters, "client_secret"));
        let known = [API_CLIENT, INTEGRATION_CLIENT];
        let Some(client) = known
            .into_iter()
            .find(|known| given == (Some(known.id), Some(known.secret)))
        else {
            return flat(StatusCode::UNAUTHORIZED, "invalid_client", "Bad client credentials");
        };
        if once(&parameters, "scope") != Some(client.scope) {
            let description = format!("Invalid scope; this client has: {}", client.scope);
            return flat(StatusCode::BAD_REQUEST, "invalid_scope", &description);
        }
        match once(&parameters, "grant_type") {
            Some("password") => self.sign_in(&parameters, client, rotation),
            Some("refresh_token") => self.refresh(&parameters, client, rotation),
            Some(_) => flat(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "Unsupported grant type",
            ),
            None => flat(StatusCode::BAD_REQUEST, "invalid_request", "Missing grant type"),
        }
    }

    fn authorise(&self, call: &Call) -> Result<Holder, Cause> {
        self.ledger.holder(call.bearer().ok_or(Cause::Missing)?)
    }

    fn denied(&self, _: Cause) -> Reply {
        nested(StatusCode::UNAUTHORIZED, json!("Invalid Bearer Token / No permission"))
    }
}
