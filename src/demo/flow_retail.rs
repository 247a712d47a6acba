//! Flow Retail: integration tokens, users' tokens exchanged for a tenant's, and devices.
//!
//! The document names no member of any reply; these speak camel case, like the fields it does name.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{
    authority::{Cause, Holder, Ledger, Pair, Rotation},
    count::Grant,
    exchange::{Call, Purpose, Reply, Vendor},
    mint::{self, Mint},
};

/// The tenant that every demo user, device and key may see.
pub const TENANT: &str = "demo-tenant";

/// A second tenant, which only [`USERS`]' second may see.
pub const OTHER_TENANT: &str = "other-tenant";

/// The long-lived token of the integration user.
pub const INTEGRATION_TOKEN: &str = "demo-integration-token-7f3a";

/// The name of the device application.
pub const APP_ID: &str = "demo-till";

/// The code of a device that can be linked.
pub const DEVICE_CODE: &str = "DEMO-1234";

/// A user, and what that user's own token opens.
#[derive(Clone, Copy)]
pub struct User {
    /// The user's name.
    pub name: &'static str,
    /// The user's auth token.
    pub token: &'static str,
    /// The tenants the user may see.
    pub tenants: &'static [&'static str],
}

/// The demo users.
pub const USERS: [User; 2] = [
    User {
        name: "kari",
        token: "demo-user-token-kari",
        tenants: &[TENANT],
    },
    User {
        name: "ola",
        token: "demo-user-token-ola",
        tenants: &[TENANT, OTHER_TENANT],
    },
];

const USER_MINT: Mint = Mint {
    access: mint::long,
    refresh: None,
};

const DEVICE_MINT: Mint = Mint {
    access: mint::long,
    refresh: Some(mint::long),
};

pub(super) struct FlowRetail {
    ledger: Arc<Ledger>,
}

impl FlowRetail {
    /// The API, which knows one linked device by this refresh token.
    pub(super) fn new(ledger: Arc<Ledger>, device_seed: &str) -> Self {
        ledger.plant(device_seed, device("demo-till-1"));
        Self { ledger }
    }

    fn account(&self, call: &Call, tenant: &str) -> Reply {
        let own = call.bearer();
        let Some(user) = USERS.iter().find(|user| own == Some(user.token)) else {
            return self.denied(Cause::Unknown);
        };
        if !user.tenants.contains(&tenant) {
            return self.denied(Cause::Forbidden);
        }
        let holder = Holder {
            name: user.name.into(),
            client: "user".into(),
            tenant: Some(tenant.into()),
        };
        let pair = self.ledger.issue(holder, USER_MINT);
        Reply::json(
            StatusCode::OK,
            json!({
                "accessToken": pair.access,
                "tokenType": "Bearer",
                "expiresIn": self.ledger.expires_in(),
                "tenantUid": tenant,
            }),
        )
    }

    fn device_token(&self, call: &Call, rotation: Rotation) -> Reply {
        let Some(body) = call.json() else {
            return error(StatusCode::BAD_REQUEST, "invalid_request", "A JSON object is expected");
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let (Some(app), Some(refresh)) = (text("appId"), text("refreshToken")) else {
            return error(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "appId and refreshToken are required",
            );
        };
        match self.ledger.renew(refresh, app, DEVICE_MINT, rotation) {
            Ok((_, Pair { access, refresh })) => {
                let mut reply = json!({"token": access, "expiresIn": self.ledger.expires_in()});
                if let Some(refresh) = refresh {
                    reply["refreshToken"] = refresh.into();
                }
                Reply::json(StatusCode::OK, reply)
            }
            Err(_) => error(StatusCode::UNAUTHORIZED, "invalid_grant", "Invalid refresh token"),
        }
    }
}

fn device(name: &str) -> Holder {
    Holder {
        name: name.into(),
        client: APP_ID.into(),
        tenant: Some(TENANT.into()),
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Reply {
    Reply::json(status, json!({"error": code, "message": message}))
}

impl Vendor for FlowRetail {
    fn purpose(&self, call: &Call) -> Purpose {
        let segments = call.segments();
        let post = call.method == Method::POST;
        match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["v2", "tenants", _, "account"] if post => Purpose::Token(Grant::UserToken),
            ["v2", "device", "token"] if post => Purpose::Token(Grant::RefreshToken),
            ["v2", "device", _, "link"] if post => Purpose::Step,
            ["v2", "tenants", _, "account"] | ["v2", "device", "token"] | ["v2", "device", _, "link"] => {
                Purpose::WrongMethod
            }
            ["v2", "tenants", _, _, ..] => Purpose::Data(StatusCode::OK),
            _ => Purpose::Nothing,
        }
    }

    fn token(&self, call: &Call, rotation: Rotation) -> Reply {
        match call.segments().as_slice() {
            [_, kind, tenant, _] if kind == "tenants" => self.account(call, tenant),
            _ => self.device_token(call, rotation),
        }
    }

    fn step(&self, call: &Call) -> Reply {
        if call.segments().get(2).map(String::as_str) != Some(DEVICE_CODE) {
            return error(StatusCode::NOT_FOUND, "not_found", "No device shows this code");
        }
        let refresh = mint::long();
        self.ledger.plant(&refresh, device("demo-till-2"));
        Reply::json(
            StatusCode::OK,
            json!({"deviceCode": DEVICE_CODE, "linked": true, "refreshToken": refresh}),
        )
    }

    fn authorise(&self, call: &Call) -> Result<Holder, Cause> {
        let token = call.bearer().ok_or(Cause::Missing)?;
        let holder = if token == INTEGRATION_TOKEN {
            Holder {
                name: "integration".into(),
                client: "integration".into(),
                tenant: Some(TENANT.into()),
            }
        } else {
            self.ledger.holder(token)?
        };
        match call.segments().get(2) {
            Some(tenant) if holder.tenant.as_ref() != Some(tenant) => Err(Cause::Forbidden),
            _ => Ok(holder),
        }
    }

    fn denied(&self, cause: Cause) -> Reply {
        match cause {
            Cause::Forbidden => error(
                StatusCode::FORBIDDEN,
                "forbidden",
                "Token is valid but lacks required permissions for the endpoint.",
            ),
            _ => error(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Missing, invalid, or expired token.",
            )
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        }
    }
}
