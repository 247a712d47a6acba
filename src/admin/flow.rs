//! Signing in with a browser, as `bearerd login` and the running one speak of it.

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};

use crate::manager;

/// What is asked of a sign-in with a browser.
#[derive(Debug)]
pub enum FlowAsk {
    /// Begin one; a code's redirect is to go there.
    Begin {
        /// The redirect URI.
        redirect_uri: Option<String>,
    },
    /// Finish one with what came back.
    Finish {
        /// Which.
        flow: String,
        /// What came back.
        answer: FlowAnswer,
    },
    /// Tell what came of one that is finished elsewhere, within a while.
    Wait {
        /// Which.
        flow: String,
    },
}

/// What came back from the browser: it holds a code.
#[derive(Debug)]
pub enum FlowAnswer {
    /// Where it was redirected to.
    Redirected(SecretString),
    /// What a person pasted.
    Pasted(SecretString),
}

/// What is told of a sign-in with a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowTold {
    /// It has begun.
    Begun(FlowBegun),
    /// Nobody has agreed yet.
    Pending,
    /// It is done, and what is true now.
    Done(String),
}

/// What to show to a person. Debug shows no URL, whose parameters tie it to its attempt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowBegun {
    /// Names it.
    pub flow: String,
    /// For how many seconds it can be answered.
    pub expires_in: u64,
    /// The page to open here, for a code.
    pub url: Option<String>,
    /// The code to type elsewhere, for a device.
    pub user_code: Option<String>,
    /// Where it is to be typed.
    pub verification_uri: Option<String>,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
}

impl fmt::Debug for FlowBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowBegun")
            .field("expires_in", &self.expires_in)
            .field("has_url", &self.url.is_some())
            .finish_non_exhaustive()
    }
}

impl From<manager::Begun> for FlowBegun {
    fn from(begun: manager::Begun) -> Self {
        let (url, code) = match begun.show {
            manager::Show::Page { url } => (Some(url), None),
            manager::Show::Code {
                user_code,
                verification_uri,
                verification_uri_complete,
            } => (None, Some((user_code, verification_uri, verification_uri_complete))),
        };
        let (user_code, verification_uri, verification_uri_complete) = match code {
            Some((code, uri, complete)) => (Some(code), Some(uri), complete),
            None => (None, None, None),
        };
        Self {
            flow: begun.flow,
            expires_in: begun.expires_in.as_secs(),
            url,
            user_code,
            verification_uri,
            verification_uri_complete,
        }
    }
}

/// The body of `…/login/begin`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    redirect_uri: Option<String>,
}

/// The body of `…/login/finish`: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finish {
    flow: String,
    #[serde(default, deserialize_with = "secret")]
    redirected: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    pasted: Option<SecretString>,
}

/// The body of `…/login/wait`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    flow: String,
}

/// A text that is hidden from the moment it is read.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(SecretString::from))
}

impl From<Begin> for FlowAsk {
    fn from(body: Begin) -> Self {
        Self::Begin {
            redirect_uri: body.redirect_uri,
        }
    }
}

impl Finish {
    /// `None` where it says neither or both.
    pub(super) fn ask(self) -> Option<FlowAsk> {
        let answer = match (self.redirected, self.pasted) {
            (Some(target), None) => FlowAnswer::Redirected(target),
            (None, Some(text)) => FlowAnswer::Pasted(text),
            _ => return None,
        };
        Some(FlowAsk::Finish {
            flow: self.flow,
            answer,
        })
    }
}

impl From<Wait> for FlowAsk {
    fn from(body: Wait) -> Self {
        Self::Wait { flow: body.flow }
    }
}
