//! Reading what a token endpoint answered.
//!
//! [`read`] is the table "what may come back" of the spend protocol (docs/protocol.md) as a function. A refresh token in
//! a success is never dropped, whatever else is wrong with the answer.

pub(super) mod json;
mod lifetime;
mod mend;
mod read;
mod refusal;
mod squeeze;
pub(super) mod text;

#[cfg(test)]
mod tests;

pub use read::read;
pub use squeeze::Squeeze;

use std::time::Duration;

use super::token::Tokens;

/// How many bytes of an answer are read; an answer that was cut at this length is over-long. Token replies are a
/// few kilobytes at most.
pub const REPLY_LIMIT: usize = 1 << 20;

/// What a good answer looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyRules {
    /// Accepted statuses; none named means any 2xx.
    pub ok: Vec<u16>,
    /// Where the access token may be: JSON pointers (RFC 6901), the first that yields text wins.
    pub access_token: Vec<String>,
    /// Where the refresh token may be.
    pub refresh_token: Vec<String>,
    /// Where the access token's lifetime may be.
    pub expires_in: Vec<String>,
    /// Where its absolute expiry may be.
    pub expires_at: Vec<String>,
    /// Where the refresh token's lifetime may be.
    pub refresh_expires_in: Vec<String>,
    /// What lifetimes count in.
    pub unit: Unit,
}

/// What a lifetime counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, as RFC 6749 §5.1 says.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// How refusals read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRules {
    /// Where the error's code may be: JSON pointers.
    pub code: Vec<String>,
    /// Where its description may be.
    pub text: Vec<String>,
    /// Which refusals of a refresh mean that the refresh token is dead.
    pub dead: Vec<Sign>,
    /// Which refusals of a sign-in mean that the subject is not accepted.
    pub subject: Vec<Sign>,
    /// Which refusals of a sign-in mean that its user or password is wrong, besides `invalid_grant`.
    pub login: Vec<Sign>,
    /// Statuses of 5xx that say for certain that nothing was spent.
    pub unspent: Vec<u16>,
    /// Words that help, by code.
    pub hints: Vec<(String, String)>,
}

/// A sign in a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// The error's code.
    Code(String),
    /// The status, and where a field is named, what it holds.
    Status {
        /// The status.
        status: u16,
        /// A JSON pointer and the text found there.
        field: Option<(String, String)>,
    },
}

/// How an API says that an access token is no longer good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status.
    pub status: u16,
    /// A JSON pointer into a small body, and the text found there.
    pub field: Option<(String, String)>,
}

/// What a request was for; the same refusal means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Spending a refresh token.
    Refresh,
    /// Signing in.
    SignIn,
    /// A vendor's own step.
    Step,
}

/// An answer, as it came.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: http::StatusCode,
    /// The header fields.
    pub headers: &'a http::HeaderMap,
    /// The body, decoded from its transfer coding.
    pub body: &'a [u8],
    /// Whether the body was cut off: by the connection, or by the limit on its size ([`REPLY_LIMIT`]).
    pub cut: bool,
}

/// What an answer means (docs/protocol.md, "What may come back").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A success with a token in it, however odd the rest.
    Granted(Tokens),
    /// A success of a step that brings no tokens.
    Done,
    /// Definitely refused.
    Refused(Refusal),
    /// Nobody knows: in doubt.
    Lost(Lost),
}

/// A definite refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// What it was about.
    pub about: About,
    /// The status.
    pub status: u16,
    /// The error's code, if the answer had one: short, printable.
    pub code: Option<String>,
    /// Its description in the vendor's own words: short, printable, no secret of the request in it.
    pub text: Option<String>,
    /// A preset's words for this code.
    pub hint: Option<String>,
    /// The answer's Retry-After.
    pub retry_after: Option<Duration>,
}

/// What a refusal was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum About {
    /// The refresh token: it is dead.
    RefreshToken,
    /// The user or the password of a sign-in.
    Login,
    /// The subject.
    Subject,
    /// The client's own authentication (`invalid_client`).
    Client,
    /// Too many requests (429), or 503 that says so.
    Rate,
    /// Anything else: a setting is wrong.
    Request,
}

/// Why an outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lost {
    /// The connection ended, or the deadline passed, before a complete answer.
    NoAnswer,
    /// The answer was cut short.
    CutShort,
    /// The answer was longer than a token reply may be.
    OverLong,
    /// A success without a readable token.
    NoToken,
    /// A server error: a gateway may have lost the answer.
    ServerError(u16),
}
