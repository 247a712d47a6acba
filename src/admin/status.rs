//! What the pages say.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{assemble, manager};

/// Whether the program should get requests, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// The verdict.
    pub status: Ready,
    /// What is wrong, a sentence each.
    pub reasons: Vec<String>,
}

/// The verdict of `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// All is well.
    Ready,
    /// Something is wrong, and requests are served all the same.
    Degraded,
    /// Not yet.
    Starting,
    /// No more.
    Draining,
    /// A required credential has no usable token.
    NotReady,
}

impl Ready {
    /// Whether requests should be sent here.
    pub fn serves(self) -> bool {
        match self {
            Self::Ready | Self::Degraded => true,
            Self::Starting | Self::Draining | Self::NotReady => false,
        }
    }
}

/// The status page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Since when it runs, in seconds.
    pub uptime_seconds: u64,
    /// The time here, by which its other moments are to be read.
    pub now: Moment,
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// The config in use; `None` where it was not read from files.
    #[serde(default)]
    pub config: Option<ConfigStatus>,
    /// Where tokens are kept.
    #[serde(default)]
    pub store: Option<StoreStatus>,
    /// The log, where it can be changed.
    #[serde(default)]
    pub log: Option<LogStatus>,
    /// Its credentials.
    pub credentials: Vec<CredentialStatus>,
    /// Its routes.
    #[serde(default)]
    pub routes: Vec<RouteStatus>,
}

/// A route of the config in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// The upstream that it goes to.
    pub upstream: String,
    /// The credential that it goes with, if with any.
    pub credential: Option<String>,
}

impl From<&assemble::RouteLine> for RouteStatus {
    fn from(line: &assemble::RouteLine) -> Self {
        Self {
            name: line.name.to_string(),
            upstream: line.upstream.to_string(),
            credential: line.credential.as_ref().map(ToString::to_string),
        }
    }
}

/// The config in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Why the config on disk is not in use, if it isn't: its first fault.
    pub stale: Option<String>,
}

/// Where tokens are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The kind of store: `memory`, `sqlite`, `postgres` or `redis`.
    pub kind: String,
    /// Since when it fails, if it does.
    pub failing_since: Option<Moment>,
    /// What it said last.
    pub text: Option<String>,
}

/// The log's filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// In use.
    pub level: String,
    /// What the config says, and what holds after a restart.
    pub configured: String,
}

/// A line of the status page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialStatus {
    /// Its name in the config.
    pub name: String,
    /// How it stands: a word of the token manager's, `live`, `idle`, `renewing`, `failing`, `login_required`, `dead`,
    /// `static` or `subjects`.
    pub state: String,
    /// Whether a request would get a token at once.
    pub usable: bool,
    /// Whether `/readyz` waits for it.
    pub required: bool,
    /// How many subjects hold tokens just now; `None` where the credential has exactly one.
    pub subjects: Option<u64>,
    /// Which sign-in its tokens grew from.
    pub chain: Option<u64>,
    /// How many rotations since.
    pub generation: Option<u64>,
    /// When the held token was obtained.
    pub obtained: Option<Moment>,
    /// When it expires, where it says.
    pub expires: Option<Moment>,
    /// When it is renewed, if it is in use.
    pub next_renewal: Option<Moment>,
    /// When a person has to sign in again unless the grant is renewed before, where that is known.
    pub dies: Option<Moment>,
    /// The last thing that went wrong, if it still matters.
    pub last_error: Option<LastError>,
    /// What a person should do, if anything.
    pub what_to_do: Option<String>,
    /// Whether tokens are in use that the store has not taken yet.
    pub unsaved: bool,
    /// Whether nobody knows what came of sending its refresh token.
    #[serde(default)]
    pub in_doubt: bool,
    /// Until when the API's rejections pass through, because it rejects fresh tokens too.
    #[serde(default)]
    pub cooldown: Option<Moment>,
    /// When tokens are asked for again after a failure, if somebody wants them.
    #[serde(default)]
    pub next_try: Option<Moment>,
    /// What happened to its tokens lately, newest first.
    #[serde(default)]
    pub events: Vec<TokenEvent>,
}

impl From<manager::Status> for CredentialStatus {
    fn from(status: manager::Status) -> Self {
        Self {
            name: status.name,
            state: status.state,
            usable: status.usable,
            required: status.required,
            subjects: status.subjects,
            chain: status.chain,
            generation: status.generation,
            obtained: status.obtained.map(Moment),
            expires: status.expires.map(Moment),
            next_renewal: status.renews.map(Moment),
            dies: status.dies.map(Moment),
            last_error: status.last_error.map(|error| LastError {
                at: Moment(error.at),
                code: error.code,
                text: error.text,
            }),
            what_to_do: status.what_to_do,
            unsaved: status.unsaved,
            in_doubt: status.in_doubt,
            cooldown: status.cools.map(Moment),
            next_try: status.tries.map(Moment),
            events: status.events.into_iter().map(TokenEvent::from).collect(),
        }
    }
}

/// Something that happened to a credential's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEvent {
    /// When, the last time.
    pub at: Moment,
    /// A fixed word for what: `obtained`, `adopted`, `signed_in`, `never_left`, `refused`, `in_doubt`, `taken_over`,
    /// `dead`, `unsaved`, `saved`, `store_trouble`, `foreign`, `cooldown` or `ending`.
    pub what: String,
    /// A fixed word for the reason, where there is one.
    pub why: Option<String>,
    /// Which sign-in the tokens grew from.
    pub chain: Option<u64>,
    /// How many rotations since.
    pub generation: Option<u64>,
    /// How often in a row.
    pub times: u32,
}

impl From<manager::TokenEvent> for TokenEvent {
    fn from(event: manager::TokenEvent) -> Self {
        Self {
            at: Moment(event.at),
            what: event.what.as_str().into(),
            why: event.why.map(str::to_owned),
            chain: event.position.map(|position| position.chain),
            generation: event.position.map(|position| position.generation),
            times: event.times,
        }
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at: Moment,
    /// A fixed word for it.
    pub code: String,
    /// What, without any secret.
    pub text: String,
}

/// A moment on the wall clock, in milliseconds since the Unix epoch; written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Seconds are enough for people. Beyond the year 9999 nobody reads it; the last moment stands for it.
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        let stamp = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{stamp:.0}")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let stamp: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(Self(u64::try_from(stamp.as_millisecond()).unwrap_or(0)))
    }
}
