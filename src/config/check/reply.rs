//! How replies and refusals read, with defaults that accept the usual spellings.

use http::StatusCode;

use super::{Check, entries};
use crate::{
    config::{
        node::KeyPath,
        raw::{self, Field, Text},
    },
    credential::reply::{ErrorRules, Rejection, ReplyRules, Sign, Unit},
};

/// Where vendors put a reply that isn't flat.
const WITHIN: [&str; 9] = [
    "",
    "/data",
    "/result",
    "/response",
    "/token",
    "/account",
    "/data/token",
    "/data/account",
    "/result/token",
];
/// RFC 6749 §5.1 first, then what vendors write instead.
const ACCESS_TOKEN: [&str; 8] = [
    "access_token",
    "accessToken",
    "AccessToken",
    "token",
    "deviceToken",
    "device_token",
    "access",
    "jwt",
];
const REFRESH_TOKEN: [&str; 5] = [
    "refresh_token",
    "refreshToken",
    "RefreshToken",
    "deviceRefreshToken",
    "device_refresh_token",
];
const EXPIRES_IN: [&str; 4] = ["expires_in", "expiresIn", "ExpiresIn", "expires"];
const EXPIRES_AT: [&str; 5] = ["expires_at", "expiresAt", "expires", "expiry", "expiration"];
const REFRESH_EXPIRES_IN: [&str; 2] = ["refresh_expires_in", "refreshExpiresIn"];

/// RFC 6749 §5.2 first, then errors within errors.
const CODE: [&str; 5] = [
    "/error",
    "/errors/0/message/error",
    "/errors/0/code",
    "/error/code",
    "/code",
];
const TEXT: [&str; 7] = [
    "/error_description",
    "/error_descrption",
    "/errors/0/message/error_description",
    "/errors/0/message",
    "/error/message",
    "/message",
    "/detail",
];
/// RFC 6749 §5.2: the refresh token is invalid, expired or revoked.
const DEAD: &str = "invalid_grant";

fn usual(names: &[&str]) -> Vec<String> {
    let within = |within: &'static str| names.iter().map(move |name| format!("{within}/{name}"));
    WITHIN.into_iter().flat_map(within).collect()
}

fn owned(pointers: &[&str]) -> Vec<String> {
    pointers.iter().map(|pointer| (*pointer).to_owned()).collect()
}

/// The rules where nothing is said.
pub(super) fn default_reply() -> ReplyRules {
    ReplyRules {
        ok: Vec::new(),
        access_token: usual(&ACCESS_TOKEN),
        refresh_token: usual(&REFRESH_TOKEN),
        expires_in: usual(&EXPIRES_IN),
        expires_at: usual(&EXPIRES_AT),
        refresh_expires_in: usual(&REFRESH_EXPIRES_IN),
        unit: Unit::Seconds,
    }
}

impl Check<'_> {
    /// Reply rules over others, key by key.
    pub(super) fn reply(&self, field: &Field<raw::Reply>, under: &ReplyRules, at: &KeyPath) -> ReplyRules {
        let Some(raw) = field.given() else {
            return under.clone();
        };
        let pointers = |field, name, under: &Vec<String>| self.pointers(field, &at.key(name), || under.clone());
        ReplyRules {
            ok: match &raw.ok {
                Field::Given(ok) => self.statuses(ok, &at.key("ok"), 200, 299),
                _ => under.ok.clone(),
            },
            access_token: pointers(&raw.access_token, "access_token", &under.access_token),
            refresh_token: pointers(&raw.refresh_token, "refresh_token", &under.refresh_token),
            expires_in: pointers(&raw.expires_in, "expires_in", &under.expires_in),
            expires_at: pointers(&raw.expires_at, "expires_at", &under.expires_at),
            refresh_expires_in: pointers(&raw.refresh_expires_in, "refresh_expires_in", &under.refresh_expires_in),
            unit: match raw.unit {
                Field::Given(raw::Unit::Seconds) => Unit::Seconds,
                Field::Given(raw::Unit::Milliseconds) => Unit::Milliseconds,
                _ => under.unit,
            },
        }
    }

    /// How refusals read.
    pub(super) fn errors(&self, field: &Field<raw::Errors>, at: &KeyPath) -> ErrorRules {
        let absent = raw::Errors::default();
        let raw = field.given().unwrap_or(&absent);
        let signs = |field: &Field<Vec<Field<raw::Sign>>>, name: &str| {
            let at = at.key(name);
            let signs = field.given().map_or(&[][..], |signs| signs);
            let signs = signs
                .iter()
                .enumerate()
                .filter_map(|(nth, sign)| Some((at.item(nth), sign.given()?)));
            signs.filter_map(|(at, sign)| self.sign(sign, &at)).collect::<Vec<_>>()
        };
        ErrorRules {
            code: self.pointers(&raw.code, &at.key("code"), || owned(&CODE)),
            text: self.pointers(&raw.text, &at.key("text"), || owned(&TEXT)),
            dead: match &raw.dead {
                Field::Absent => vec![Sign::Code(DEAD.into())],
                dead => signs(dead, "dead"),
            },
            subject: signs(&raw.subject, "subject"),
            login: signs(&raw.login, "login"),
            unspent: match &raw.unspent {
                Field::Given(unspent) => self.statuses(unspent, &at.key("unspent"), 500, 599),
                _ => Vec::new(),
            },
            hints: entries(&raw.hints)
                .iter()
                .filter_map(|(code, hint)| Some((code.clone(), hint.given()?.0.clone())))
                .collect(),
        }
    }

    /// How the API rejects an access token.
    pub(super) fn rejected(&self, field: &Field<Vec<Field<raw::Sign>>>, at: &KeyPath) -> Vec<Rejection> {
        let Some(signs) = field.given() else {
            return vec![Rejection {
                status: StatusCode::UNAUTHORIZED.as_u16(),
                field: None,
            }];
        };
        let mut rejections = Vec::new();
        for (nth, sign) in signs.iter().enumerate() {
            let at = at.item(nth);
            match sign.given().and_then(|sign| self.sign(sign, &at)) {
                Some(Sign::Status { status, field }) => rejections.push(Rejection { status, field }),
                Some(Sign::Code(_)) => self.fault(
                    &at,
                    "an API rejects a token by a status".into(),
                    Some("such as `{status: 401}`, or with a field of its body `{status: 400, field: {/error: expired}}`".into()),
                ),
                None => {}
            }
        }
        rejections
    }

    fn sign(&self, raw: &raw::Sign, at: &KeyPath) -> Option<Sign> {
        let field = match raw.field.given() {
            None => None,
            Some(fields) => match &fields.0[..] {
                [(pointer, Field::Given(Text(text)))] => {
                    self.pointer(pointer, &at.key("field"))?;
                    Some((pointer.clone(), text.clone()))
                }
                [(_, Field::Faulty)] => return None,
                _ => {
                    self.fault(
                        &at.key("field"),
                        "one JSON pointer and its text are to be here".into(),
                        None,
                    );
                    return None;
                }
            },
        };
        match (&raw.code, &raw.status) {
            (Field::Faulty, _) | (_, Field::Faulty) => None,
            (Field::Given(Text(code)), Field::Absent) if field.is_none() => Some(Sign::Code(code.clone())),
            (Field::Absent, Field::Given(status)) => {
                let statuses = self.statuses(&[Field::Given(*status)], &at.key("status"), 200, 599);
                statuses.first().map(|status| Sign::Status { status: *status, field })
            }
            _ => {
                self.fault(
                    at,
                    "this is to be an error's code, or a status and perhaps a field".into(),
                    Some(
                        "such as `invalid_grant`, `{status: 401}` or `{status: 400, field: {/error: expired}}`".into(),
                    ),
                );
                None
            }
        }
    }

    fn statuses(&self, statuses: &[Field<u16>], at: &KeyPath, from: u16, to: u16) -> Vec<u16> {
        let mut checked = Vec::new();
        for (nth, status) in statuses.iter().enumerate() {
            match status.given() {
                Some(status) if (from..=to).contains(status) => checked.push(*status),
                Some(_) => self.fault(
                    &at.item(nth),
                    format!("this is to be a status from {from} to {to}"),
                    None,
                ),
                None => {}
            }
        }
        checked
    }

    fn pointers(
        &self,
        field: &Field<Vec<Field<Text>>>,
        at: &KeyPath,
        default: impl FnOnce() -> Vec<String>,
    ) -> Vec<String> {
        let Some(pointers) = field.given() else {
            return default();
        };
        let pointers = pointers.iter().enumerate();
        pointers
            .filter_map(|(nth, pointer)| {
                let Text(pointer) = pointer.given()?;
                self.pointer(pointer, &at.item(nth))?;
                Some(pointer.clone())
            })
            .collect()
    }

    fn pointer(&self, pointer: &str, at: &KeyPath) -> Option<()> {
        if pointer.is_empty() || pointer.starts_with('/') {
            return Some(());
        }
        self.fault(
            at,
            "a JSON pointer begins with a slash (RFC 6901)".into(),
            Some("such as `/data/token`".into()),
        );
        None
    }
}
