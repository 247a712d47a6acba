//! Device authorization (RFC 8628): reading its reply, and when to ask whether the person has agreed.

use std::{collections::BTreeMap, fmt, time::Duration};

use http::Uri;
use secrecy::SecretString;
use serde_json::Value;

use crate::credential::{
    grant::Secrets,
    reply::{About, Lost, Outcome, Refusal, json, text::printable},
};

/// Where the reply says nothing (RFC 8628 §3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// `slow_down` adds this, for good (RFC 8628 §3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// A provider that fails is asked at least this often, unless it said to wait longer.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// `expires_in` is required (RFC 8628 §3.2); without it, what providers commonly give.
const EXPIRES_IN: Duration = Duration::from_secs(15 * 60);
/// Nobody needs longer.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long a code for people may be, in characters; RFC 8628 §6.1 thinks of eight.
const LONGEST_USER_CODE: usize = 64;
/// How long an address may be, in bytes: a QR code that a telephone reads holds about this much.
const LONGEST_ADDRESS: usize = 1024;

/// What the device authorization endpoint answered. Debug shows nothing that is secret.
#[derive(Clone)]
pub struct Authorization {
    device_code: SecretString,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// For how long.
    pub expires_in: Duration,
    /// How long to wait between two polls.
    pub interval: Duration,
}

/// Why the answer is no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// It is no JSON object.
    #[error("the device authorization endpoint answered with something that is no JSON object; check device_url")]
    NotJson,
    /// It lacks something, or has something else in its place.
    #[error("the device authorization endpoint's answer has no usable `{0}` (RFC 8628 §3.2)")]
    Lacks(&'static str),
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("verification_uri", &self.verification_uri)
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

impl Authorization {
    /// Reads a successful answer (RFC 8628 §3.2). It is shown on a terminal, so nothing in it may steer one.
    ///
    /// # Errors
    /// Each [`AuthorizationError`].
    pub fn read(body: &[u8]) -> Result<Self, AuthorizationError> {
        let json = json::parse(body).filter(Value::is_object);
        let json = json.ok_or(AuthorizationError::NotJson)?;
        let text = |name: &str| json.get(name).and_then(json::text).map(|text| text.into_owned());
        let seconds = |name: &str| {
            let text = text(name)?;
            let seconds = text.trim().parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
            seconds.map(|seconds| Duration::from_secs(seconds.ceil() as u64))
        };
        let address = |name: &str| text(name).filter(|text| is_address(text));
        let user_code = text("user_code").and_then(|code| {
            let shown = printable(&code, LONGEST_USER_CODE, &Secrets::default());
            shown.filter(|shown| *shown == code)
        });
        Ok(Self {
            device_code: text("device_code")
                .ok_or(AuthorizationError::Lacks("device_code"))?
                .into(),
            user_code: user_code.ok_or(AuthorizationError::Lacks("user_code"))?,
            // Some wrote it so before the standard was one.
            verification_uri: address("verification_uri")
                .or_else(|| address("verification_url"))
                .ok_or(AuthorizationError::Lacks("verification_uri"))?,
            verification_uri_complete: address("verification_uri_complete")
                .or_else(|| address("verification_url_complete")),
            expires_in: seconds("expires_in").unwrap_or(EXPIRES_IN).min(LONGEST_LIFE),
            interval: seconds("interval").unwrap_or(INTERVAL).min(LONGEST_LIFE),
        })
    }

    /// What the token request refers to (RFC 8628 §3.4).
    pub fn answers(&self) -> BTreeMap<String, SecretString> {
        BTreeMap::from([("device_code".to_owned(), self.device_code.clone())])
    }
}

fn is_address(text: &str) -> bool {
    text.len() <= LONGEST_ADDRESS
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text
            .parse::<Uri>()
            .is_ok_and(|uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some())
}

/// When to ask the token endpoint again (RFC 8628 §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    interval: Duration,
    /// Times in a row that no answer came.
    failures: u32,
}

/// What follows a poll that brought no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Poll again after this long.
    Wait(Duration),
    /// It is over, and why.
    Over(String),
    /// It was refused for another reason: the refusal tells it.
    Refused,
}

impl Pace {
    /// The pace that the answer asked for.
    pub fn new(interval: Duration) -> Self {
        // Nobody means "without a pause".
        let interval = interval.max(Duration::from_secs(1));
        Self { interval, failures: 0 }
    }

    /// How long to wait before a poll.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// The request never left.
    pub fn after_never_left(&mut self) -> Next {
        self.back_off()
    }

    /// What follows such an answer.
    pub fn after(&mut self, outcome: &Outcome) -> Next {
        let refusal = match outcome {
            // The endpoint may have taken the code already; if so, the next answer says so.
            Outcome::Lost(Lost::NoAnswer | Lost::ServerError(_) | Lost::CutShort) => return self.back_off(),
            Outcome::Granted(_) | Outcome::Done | Outcome::Lost(Lost::NoToken | Lost::OverLong) => {
                return Next::Over("the answer was a success without a readable token".into());
            }
            Outcome::Refused(refusal) => refusal,
        };
        self.failures = 0;
        match refusal.code.as_deref() {
            Some("authorization_pending") => Next::Wait(self.interval),
            Some("slow_down") => {
                self.interval += SLOW_DOWN;
                Next::Wait(self.interval.max(asked(refusal)))
            }
            Some("expired_token") => Next::Over("the code has expired before anybody agreed; try again".into()),
            Some("access_denied") => Next::Over("the person who was asked refused".into()),
            _ if refusal.about == About::Rate => Next::Wait((self.interval * 2).max(asked(refusal))),
            _ => Next::Refused,
        }
    }

    /// "An exponential backoff […], such as doubling the polling interval on each such connection timeout" (§3.5).
    fn back_off(&mut self) -> Next {
        self.failures = (self.failures + 1).min(6);
        Next::Wait((self.interval * (1 << self.failures)).min(LONGEST_BACK_OFF.max(self.interval)))
    }
}

/// Whether a refusal says "not yet".
pub fn is_pending(refusal: &Refusal) -> bool {
    matches!(refusal.code.as_deref(), Some("authorization_pending" | "slow_down"))
}

fn asked(refusal: &Refusal) -> Duration {
    refusal.retry_after.unwrap_or_default().min(LONGEST_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Duration = Duration::from_secs(5);

    fn refused(code: &str) -> Outcome {
        Outcome::Refused(Refusal {
            about: About::Request,
            status: 400,
            code: Some(code.into()),
            text: None,
            hint: None,
            retry_after: None,
        })
    }

    #[test]
    fn slow_down_adds_five_seconds_for_good() {
        let mut pace = Pace::new(FIVE);
        assert_eq!(pace.after(&refused("authorization_pending")), Next::Wait(FIVE));
        assert_eq!(pace.after(&refused("slow_down")), Next::Wait(FIVE * 2));
        assert_eq!(pace.after(&refused("authorization_pending")), Next::Wait(FIVE * 2));
        assert_eq!(pace.after(&refused("slow_down")), Next::Wait(FIVE * 3));
    }

    #[test]
    fn a_silent_endpoint_is_asked_less_and_less_often_until_it_answers() {
        let mut pace = Pace::new(FIVE);
        let lost = Outcome::Lost(Lost::NoAnswer);
        assert_eq!(pace.after(&lost), Next::Wait(FIVE * 2));
        assert_eq!(pace.after_never_left(), Next::Wait(FIVE * 4));
        for _ in 0..10 {
            pace.after(&Outcome::Lost(Lost::ServerError(502)));
        }
        assert_eq!(pace.after(&lost), Next::Wait(LONGEST_BACK_OFF));
        assert_eq!(pace.after(&refused("authorization_pending")), Next::Wait(FIVE));
    }

    #[test]
    fn the_end_is_the_end() {
        for (code, word) in [("expired_token", "expired"), ("access_denied", "refused")] {
            match Pace::new(FIVE).after(&refused(code)) {
                Next::Over(words) => assert!(words.contains(word), "{words}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(Pace::new(FIVE).after(&refused("invalid_client")), Next::Refused);
        assert_eq!(Pace::new(FIVE).after(&refused("invalid_grant")), Next::Refused);
    }

    #[test]
    fn the_answer_of_the_standard_is_read_and_so_are_its_older_spellings() {
        // RFC 8628 §3.2.
        let read = Authorization::read(
            br#"{"device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS", "user_code": "WDJB-MJHT",
                "verification_uri": "https://example.com/device",
                "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
                "expires_in": 1800, "interval": 7}"#,
        )
        .unwrap();
        assert_eq!(
            (&*read.user_code, &*read.verification_uri),
            ("WDJB-MJHT", "https://example.com/device")
        );
        assert_eq!((read.expires_in.as_secs(), read.interval.as_secs()), (1800, 7));
        assert!(read.verification_uri_complete.is_some());
        assert!(!format!("{read:?}").contains("GmRhm"));
        let read = Authorization::read(
            br#"{"device_code": "d", "user_code": "A", "verification_url": "https://e.example", "expires_in": "600"}"#,
        )
        .unwrap();
        assert_eq!((read.expires_in.as_secs(), read.interval), (600, FIVE));
    }

    #[test]
    fn what_could_steer_a_terminal_or_is_no_address_is_refused() {
        let lacks = |body: &str| Authorization::read(body.as_bytes()).unwrap_err();
        assert_eq!(lacks("<html>"), AuthorizationError::NotJson);
        assert_eq!(lacks("{}"), AuthorizationError::Lacks("device_code"));
        assert_eq!(
            lacks(r#"{"device_code": "d", "user_code": "a\u001b[2J", "verification_uri": "https://e.example"}"#),
            AuthorizationError::Lacks("user_code")
        );
        for address in ["javascript:alert(1)", "https://e.example/\\u001b", "e.example"] {
            let body = format!(r#"{{"device_code": "d", "user_code": "a", "verification_uri": "{address}"}}"#);
            assert_eq!(lacks(&body), AuthorizationError::Lacks("verification_uri"), "{address}");
        }
    }
}
