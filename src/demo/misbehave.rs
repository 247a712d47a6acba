//! The ways an API can fail a token request, by name.

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use super::exchange::{Payload, Reply};

/// What `Retry-After` says where it is sent, in seconds.
pub const RETRY_AFTER_SECONDS: u64 = 2;

/// How much an over-long reply is padded, in bytes.
pub const OVER_LONG: usize = 4 * 1024 * 1024;
/// How much padding a huge reply has, in bytes.
pub const HUGE: usize = 64 * 1024 * 1024;

/// A lifetime that overflows once it is turned into milliseconds.
const HUGE_LIFETIME: u64 = u64::MAX;

macro_rules! misbehaviours {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A way to fail a token request. Unless it says "no effect" or "before", the request is served: a refresh
        /// token in it is spent, and the reply holds new ones, whether or not anybody can read them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Misbehaviour {
            $($(#[$doc])* $variant,)*
        }

        impl Misbehaviour {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

misbehaviours! {
    /// Takes effect; the connection closes without an answer.
    LostReply = "lost_reply",
    /// The connection closes before anything happens.
    LostBefore = "lost_before",
    /// Takes effect; nothing is ever answered.
    Hang = "hang",
    /// Nothing is ever answered; no effect.
    HangBefore = "hang_before",
    /// 500 with a JSON error; no effect.
    Status500 = "status_500",
    /// 503 with `Retry-After`; no effect.
    Status503RetryAfter = "status_503_retry_after",
    /// Takes effect; 200 with a page of HTML.
    Html = "html",
    /// The lifetime is a number in quotes.
    TextLifetime = "text_lifetime",
    /// No lifetime.
    MissingLifetime = "missing_lifetime",
    /// The lifetime is 0.
    ZeroLifetime = "zero_lifetime",
    /// The lifetime is -1.
    NegativeLifetime = "negative_lifetime",
    /// The lifetime is the largest number of 64 bits.
    HugeLifetime = "huge_lifetime",
    /// The lifetime has a fraction.
    FractionalLifetime = "fractional_lifetime",
    /// Success has status 201.
    Status201 = "status_201",
    /// The reply has no refresh token; one that was sent is not spent.
    NoNewRefreshToken = "no_new_refresh_token",
    /// Takes effect; the access token is `null`.
    NullAccessToken = "null_access_token",
    /// Takes effect; the access token is empty.
    EmptyAccessToken = "empty_access_token",
    /// The reply starts with a byte order mark.
    Bom = "bom",
    /// Takes effect; the reply breaks off half-way.
    Truncated = "truncated",
    /// Takes effect; the reply holds megabytes of one text besides.
    Huge = "huge",
    /// Takes effect; the reply is longer than any reader should take, and not of one text.
    OverLong = "over_long",
    /// 200 with an error in the body; no effect.
    ErrorIn200 = "error_in_200",
    /// A redirect to another origin; no effect.
    Redirect = "redirect",
    /// 429 with `Retry-After`; no effect.
    RateLimited429 = "rate_limited_429",
    /// 401 `invalid_client`; no effect.
    InvalidClient = "invalid_client",
    /// Takes effect; the reply comes one byte at a time.
    Drip = "drip",
    /// Takes effect; the second half of the reply comes after a pause.
    TwoChunks = "two_chunks",
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no misbehaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no misbehaviour '{0}'; see `Misbehaviour::ALL`")]
pub struct UnknownMisbehaviour(String);

impl FromStr for Misbehaviour {
    type Err = UnknownMisbehaviour;

    fn from_str(text: &str) -> Result<Self, UnknownMisbehaviour> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.name() == text)
            .ok_or_else(|| UnknownMisbehaviour(text.to_owned()))
    }
}

/// How often to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// For so many requests.
    Next(usize),
    /// Until told to behave.
    Always,
}

/// How a reply is to be sent.
pub(super) enum Delivery {
    Whole(Reply),
    Drip(Reply),
    Halves(Reply),
    Cut(Reply),
    /// Close the connection without a word.
    Close,
    /// Say nothing.
    Hang,
}

impl Misbehaviour {
    /// What comes instead of an answer, where the request takes no effect.
    pub(super) fn instead(self) -> Option<Delivery> {
        let retry_after = || (RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        let error = |status, code: &str| Reply::json(status, json!({"error": code, "error_description": "Try again"}));
        let reply = match self {
            Self::LostBefore => return Some(Delivery::Close),
            Self::HangBefore => return Some(Delivery::Hang),
            Self::Status500 => error(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Self::Status503RetryAfter => {
                let (name, value) = retry_after();
                error(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable").with(name, value)
            }
            Self::RateLimited429 => {
                let (name, value) = retry_after();
                error(StatusCode::TOO_MANY_REQUESTS, "slow_down").with(name, value)
            }
            Self::ErrorIn200 => error(StatusCode::OK, "temporarily_unavailable"),
            Self::Redirect => Reply::bare(StatusCode::TEMPORARY_REDIRECT).with(
                LOCATION,
                HeaderValue::from_static("https://elsewhere.invalid/oauth/token"),
            ),
            Self::InvalidClient => Reply::json(
                StatusCode::UNAUTHORIZED,
                json!({"error": "invalid_client", "error_description": "Bad client credentials"}),
            )
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"oauth\"")),
            _ => return None,
        };
        Some(Delivery::Whole(reply))
    }

    /// What becomes of an answer.
    pub(super) fn deliver(self, mut reply: Reply) -> Delivery {
        match self {
            Self::LostReply => return Delivery::Close,
            Self::Hang => return Delivery::Hang,
            Self::Html => {
                let page = Bytes::from_static(b"<!DOCTYPE html><title>Down for maintenance</title><h1>Back soon</h1>");
                reply.status = StatusCode::OK;
                reply.payload = Payload::Text("text/html; charset=utf-8", page);
            }
            Self::Truncated => return Delivery::Cut(reply),
            Self::Drip => return Delivery::Drip(reply),
            Self::TwoChunks => return Delivery::Halves(reply),
            _ if reply.status.is_success() => self.distort(&mut reply),
            // A refusal is a refusal; there is nothing in it to distort.
            _ => {}
        }
        Delivery::Whole(reply)
    }

    fn distort(self, reply: &mut Reply) {
        let Payload::Json(Value::Object(members)) = &mut reply.payload else {
            return;
        };
        // Each vendor spells its members in its own way; where one is missing, its likeliest name is added.
        let named = |candidates: &[&'static str]| {
            let found = candidates.iter().find(|name| members.contains_key(**name));
            found.copied().unwrap_or(candidates[0])
        };
        let access = named(&["access_token", "accessToken", "token"]);
        let lifetime = named(&["expires_in", "expiresIn"]);
        let seconds = members.get(lifetime).and_then(Value::as_u64).unwrap_or(20);
        let (name, value) = match self {
            Self::TextLifetime => (lifetime, json!(seconds.to_string())),
            Self::ZeroLifetime => (lifetime, json!(0)),
            Self::NegativeLifetime => (lifetime, json!(-1)),
            Self::HugeLifetime => (lifetime, json!(HUGE_LIFETIME)),
            Self::FractionalLifetime => (lifetime, json!(seconds as f64 - 0.5)),
            Self::NullAccessToken => (access, Value::Null),
            Self::EmptyAccessToken => (access, json!("")),
            Self::Huge => ("padding", json!("x".repeat(HUGE))),
            Self::OverLong => ("padding", json!(vec![0; OVER_LONG / 2])),
            Self::MissingLifetime => {
                members.remove(lifetime);
                return;
            }
            Self::Status201 => {
                reply.status = StatusCode::CREATED;
                return;
            }
            Self::Bom => {
                let marked = format!("\u{feff}{}", Value::Object(std::mem::take(members)));
                reply.payload = Payload::Text("application/json", marked.into());
                return;
            }
            _ => return,
        };
        members.insert(name.to_owned(), value);
    }
}

/// What the next requests will meet, in the order it was asked for.
pub(super) struct Plan<M>(Mutex<VecDeque<(M, Times)>>);

impl<M> Default for Plan<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M: Copy> Plan<M> {
    pub(super) fn add(&self, misbehaviour: M, times: Times) {
        self.queue().push_back((misbehaviour, times));
    }

    pub(super) fn clear(&self) {
        self.queue().clear();
    }

    /// What this request meets.
    pub(super) fn take(&self) -> Option<M> {
        let mut queue = self.queue();
        while let Some((misbehaviour, times)) = queue.front_mut() {
            match times {
                Times::Always => return Some(*misbehaviour),
                Times::Next(0) => {
                    queue.pop_front();
                }
                Times::Next(left) => {
                    *left -= 1;
                    return Some(*misbehaviour);
                }
            }
        }
        None
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<(M, Times)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_misbehaviour_is_found_by_its_name() {
        for known in Misbehaviour::ALL {
            assert_eq!(known.to_string().parse(), Ok(*known));
        }
        assert!("lost".parse::<Misbehaviour>().is_err());
    }

    #[test]
    fn a_plan_is_met_in_order_and_ends() {
        let plan = Plan::default();
        plan.add(Misbehaviour::Html, Times::Next(2));
        plan.add(Misbehaviour::Bom, Times::Next(0));
        plan.add(Misbehaviour::Drip, Times::Next(1));
        let met: Vec<_> = std::iter::from_fn(|| plan.take()).collect();
        assert_eq!(met, [Misbehaviour::Html, Misbehaviour::Html, Misbehaviour::Drip]);
        plan.add(Misbehaviour::Hang, Times::Always);
        assert_eq!(
            (plan.take(), plan.take()),
            (Some(Misbehaviour::Hang), Some(Misbehaviour::Hang))
        );
        plan.clear();
        assert_eq!(plan.take(), None);
    }
}
