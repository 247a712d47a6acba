//! What callers get, and why they get nothing.

use std::time::Duration;

use super::{Lifecycle, state::Phase};
use crate::{
    clock::{Deadline, Now},
    credential::{
        reply::{About, Lost, Refusal},
        token::Position,
    },
};

/// What callers get just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// The held access token.
    Token(Position),
    /// One is on its way, or will be as soon as somebody wants it.
    Wait,
    /// None, for this reason; looked at again at that time.
    Refused(Trouble, Option<Deadline>),
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The token endpoint could not be reached; nothing was sent.
    Unreachable(String),
    /// A request was sent, and nobody knows what came of it.
    Lost(Lost),
    /// It was refused.
    Refused(Refusal),
    /// A reply brought no access token.
    NoAccessToken,
    /// The store can't be used, so nothing may be sent.
    Store(String),
    /// Another process was refused, and everybody waits.
    RefusedElsewhere,
    /// Nobody has signed in yet.
    NeverSignedIn,
    /// The refresh token is dead.
    Dead,
    /// Stored tokens belong to other settings.
    Foreign,
}

impl Trouble {
    /// Whether only a person can help.
    pub fn needs_login(&self) -> bool {
        match self {
            Self::NeverSignedIn | Self::Dead | Self::Foreign => true,
            Self::Refused(refusal) => refusal.about == About::Login,
            _ => false,
        }
    }

    /// Whether it may pass by itself, so that a request is better served late than refused at once.
    pub fn may_pass(&self) -> bool {
        let is_subject = matches!(self, Self::Refused(refusal) if refusal.about == About::Subject);
        !self.needs_login() && !is_subject
    }

    /// A fixed word, for logs, metrics and the status page.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Lost(_) => "in_doubt",
            Self::Refused(refusal) => refusal.about.as_str(),
            Self::NoAccessToken => "no_access_token",
            Self::Store(_) => "store",
            Self::RefusedElsewhere => "refused_elsewhere",
            Self::NeverSignedIn => "never_signed_in",
            Self::Dead => "dead",
            Self::Foreign => "foreign",
        }
    }
}

impl About {
    /// A fixed word, for logs, metrics and the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RefreshToken => "refresh_token_refused",
            Self::Login => "login_refused",
            Self::Subject => "subject_refused",
            Self::Client => "client_refused",
            Self::Rate => "rate_limited",
            Self::Request => "request_refused",
        }
    }
}

impl Lifecycle {
    /// What callers get just now.
    pub fn offer(&self, now: Now) -> Offer {
        if let Some(held) = &self.held
            && self.is_usable(now)
        {
            return Offer::Token(held.position);
        }
        if let Some(pause) = self.pause.as_ref().filter(|pause| !pause.until.has_passed(now))
            && !self.is_asking()
        {
            return Offer::Refused(pause.trouble.clone(), Some(pause.until));
        }
        if let Some(fault) = &self.store_trouble {
            return Offer::Refused(Trouble::Store(fault.clone()), self.again);
        }
        match &self.phase {
            // Once that is over, whoever asks has the store looked at first.
            Phase::Resting if !self.has_way() => {
                let looks = self.look_again.or(self.looked_until);
                Offer::Refused(self.dead_end(), looks.or(Some(Deadline::after(now, Duration::ZERO))))
            }
            // Loading on behalf of `login_required` is no news to callers.
            Phase::Loading if self.look_again.is_some() => Offer::Refused(self.dead_end(), self.look_again),
            _ => Offer::Wait,
        }
    }

    /// Whether a token request is being made, whatever failed before it: a sign-in that ends a doubt doesn't wait.
    fn is_asking(&self) -> bool {
        match &self.phase {
            Phase::Connecting(_)
            | Phase::Claiming(_)
            | Phase::Reading(..)
            | Phase::Checking(..)
            | Phase::Sending(..)
            | Phase::Committing { .. } => true,
            Phase::Releasing { then_sign_in, .. } => then_sign_in.is_some(),
            _ => false,
        }
    }

    /// Why a person is needed.
    pub(super) fn dead_end(&self) -> Trouble {
        match &self.held {
            _ if self.foreign => Trouble::Foreign,
            Some(held) if held.dead || held.tokens.refresh.is_none() => Trouble::Dead,
            _ => Trouble::NeverSignedIn,
        }
    }

    /// Whether the held access token may be sent.
    pub fn is_usable(&self, now: Now) -> bool {
        self.held.as_ref().is_some_and(|held| {
            held.tokens.access.is_some()
                && !held.rejected
                && held.tokens.expires.is_none_or(|expires| !expires.has_passed(now))
        })
    }

    /// Why tokens are not to be had, or were not the last time.
    pub fn trouble(&self) -> Option<Trouble> {
        if let Some(pause) = &self.pause {
            return Some(pause.trouble.clone());
        }
        if let Some(fault) = &self.store_trouble {
            return Some(Trouble::Store(fault.clone()));
        }
        (matches!(self.phase, Phase::Resting | Phase::Loading) && self.look_again.is_some()).then(|| self.dead_end())
    }
}
