//! The point of sale: Basic authentication beside the user's own password, and 201 for everything that is made.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    authority::{Cause, Holder, Ledger, Pair, Rotation},
    count::Grant,
    exchange::{Call, Purpose, Reply, Vendor, once},
    mint::{self, Mint},
};

/// The name of the demo administrator.
pub const USER_NAME: &str = "demo_admin";

/// The demo administrator's password.
pub const PASSWORD: &str = "0012345";

/// The client's identifier, in the Basic header.
pub const CLIENT_ID: &str = "pos-admin-panel";

/// The client's secret, in the Basic header.
pub const CLIENT_SECRET: &str = "demo-panel-secret:4d";

const MINT: Mint = Mint {
    access: mint::uuid,
    refresh: Some(mint::uuid),
};

/// How the refresh token stands in the `Authorization` header: the document leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PosRefresh {
    /// After the word `Bearer`.
    #[default]
    Bearer,
    /// By itself.
    Raw,
}

impl fmt::Display for PosRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer => "bearer",
            Self::Raw => "raw",
        })
    }
}

pub(super) struct Pos {
    ledger: Arc<Ledger>,
    refresh: PosRefresh,
    /// Passwords by user name.
    users: Mutex<BTreeMap<String, String>>,
}

impl Pos {
    pub(super) fn new(ledger: Arc<Ledger>, refresh: PosRefresh) -> Self {
        Self {
            ledger,
            refresh,
            users: Mutex::new(BTreeMap::from([(USER_NAME.into(), PASSWORD.into())])),
        }
    }

    fn log_in(&self, call: &Call, rotation: Rotation) -> Reply {
        let Some(fields) = call.fields() else {
            return bad_request("user_name and password are expected, as a form or as JSON");
        };
        let (Some(user), Some(password)) = (once(&fields, "user_name"), once(&fields, "password")) else {
            return bad_request("user_name and password are required");
        };
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let known = users.get(user).is_some_and(|known| known == password);
        // The document doesn't say whose Basic credentials they are: the client's, or the user's once more.
        let allowed = call.basic().is_some_and(|(name, secret)| {
            (name.as_str(), secret.as_str()) == (CLIENT_ID, CLIENT_SECRET)
                || (name.as_str(), secret.as_str()) == (user, password)
        });
        if !known || !allowed {
            return Reply::bare(StatusCode::UNAUTHORIZED);
        }
        let holder = Holder {
            name: user.into(),
            client: CLIENT_ID.into(),
            tenant: None,
        };
        let mint = match rotation {
            Rotation::Rotate => MINT,
            Rotation::Keep => MINT.access_only(),
        };
        self.granted(self.ledger.issue(holder, mint))
    }

    fn renew(&self, call: &Call, rotation: Rotation) -> Reply {
        let sent = match self.refresh {
            PosRefresh::Bearer => call.bearer(),
            PosRefresh::Raw => call.authorization(),
        };
        sent.and_then(|token| self.ledger.renew(token, CLIENT_ID, MINT, rotation).ok())
            .map_or_else(|| Reply::bare(StatusCode::UNAUTHORIZED), |(_, pair)| self.granted(pair))
    }

    fn granted(&self, pair: Pair) -> Reply {
        let mut reply = json!({
            "access_token": pair.access,
            "expires_in": self.ledger.expires_in(),
        });
        if let Some(refresh) = pair.refresh {
            reply["refresh_token"] = refresh.into();
        }
        reply["token_type"] = "Bearer".into();
        Reply::json(StatusCode::CREATED, reply)
    }
}

fn bad_request(message: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, json!({ "message": message }))
}

impl Vendor for Pos {
    fn purpose(&self, call: &Call) -> Purpose {
        let segments = call.segments();
        let path: Vec<_> = segments.iter().map(String::as_str).collect();
        match (&path[..], &call.method) {
            (["auth", "token"], &Method::POST) => Purpose::Token(Grant::Password),
            (["auth", "refresh-token"], &Method::POST) => Purpose::Token(Grant::RefreshToken),
            (["users"], &Method::POST) => Purpose::Step,
            (["auth", "token" | "refresh-token"] | ["users"], _) => Purpose::WrongMethod,
            (["dishes" | "ingredients"], &Method::POST) => Purpose::Data(StatusCode::CREATED),
            (["dishes" | "ingredients", ..], _) => Purpose::Data(StatusCode::OK),
            _ => Purpose::Nothing,
        }
    }

    fn token(&self, call: &Call, rotation: Rotation) -> Reply {
        match self.purpose(call) {
            Purpose::Token(Grant::RefreshToken) => self.renew(call, rotation),
            _ => self.log_in(call, rotation),
        }
    }

    fn step(&self, call: &Call) -> Reply {
        let fields = call.fields().unwrap_or_default();
        let wanted = ["user_name", "password", "grant_type"].map(|name| once(&fields, name));
        let [Some(user), Some(password), Some("password")] = wanted else {
            return bad_request("user_name, password and grant_type are required");
        };
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.contains_key(user) {
            return Reply::json(StatusCode::CONFLICT, json!({"message": "This user exists already"}));
        }
        users.insert(user.into(), password.into());
        let account: Value = json!({"id": mint::uuid(), "user_name": user});
        Reply::json(StatusCode::CREATED, account)
    }

    fn authorise(&self, call: &Call) -> Result<Holder, Cause> {
        self.ledger.holder(call.bearer().ok_or(Cause::Missing)?)
    }

    fn denied(&self, _: Cause) -> Reply {
        Reply::bare(StatusCode::UNAUTHORIZED)
    }
}
