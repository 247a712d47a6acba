//! The authorization server: a refresh token works once, and using it again ends its family (RFC 9700 §4.14.2).

use std::time::Duration;

use bearerd::{
    clock::Deadline,
    credential::{
        reply::{About, Outcome, Refusal},
        token::Tokens,
    },
};
use secrecy::ExposeSecret;

use crate::setup::{LIFETIME, at, millis, token_number, token_text};

#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    /// The refresh tokens, by number.
    pub tokens: Vec<Refresh>,
    pub families: Vec<Family>,
}

#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    pub family: usize,
    pub spent_at: Option<u64>,
    /// It was sent, and that send was neither refused for another reason nor certain never to have left.
    pub open: bool,
    /// The store had it, at some time.
    pub saved: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Family {
    pub by_hand: bool,
    pub dead: bool,
    /// It ended by what the design calls the residue, or by the provider's own will.
    pub residue: bool,
}

/// What comes of a refresh token that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted(usize),
    /// It was used before: its family ends.
    Reused,
    /// Its family has ended.
    Dead,
}

impl Server {
    /// A new family's first token.
    pub(crate) fn sign_in(&mut self, by_hand: bool) -> usize {
        self.families.push(Family {
            by_hand,
            ..Family::default()
        });
        self.issue(self.families.len() - 1)
    }

    fn issue(&mut self, family: usize) -> usize {
        self.tokens.push(Refresh {
            family,
            spent_at: None,
            open: false,
            saved: false,
        });
        self.tokens.len() - 1
    }

    pub(crate) fn refresh(&mut self, token: usize, now: u64, grace: Option<Duration>) -> Answer {
        let Refresh { family, spent_at, .. } = self.tokens[token];
        if self.families[family].dead {
            return Answer::Dead;
        }
        match spent_at {
            Some(spent) if grace.is_none_or(|grace| now >= spent + millis(grace)) => {
                self.families[family].dead = true;
                Answer::Reused
            }
            _ => {
                self.tokens[token].spent_at = spent_at.or(Some(now));
                Answer::Granted(self.issue(family))
            }
        }
    }
}

/// The reply that brings this token.
pub(crate) fn reply(token: usize, now: u64) -> Tokens {
    Tokens {
        access: Some(token_text(token).into()),
        refresh: Some(token_text(token).into()),
        obtained: at(now).wall,
        expires: Some(Deadline::after(at(now), LIFETIME)),
        dies: None,
    }
}

/// The number of the refresh token.
pub(crate) fn number(tokens: &Tokens) -> Option<usize> {
    token_number(tokens.refresh.as_ref()?.expose_secret().as_bytes())
}

pub(crate) fn refused(about: About, status: u16) -> Outcome {
    Outcome::Refused(Refusal {
        about,
        status,
        code: None,
        text: None,
        hint: None,
        retry_after: None,
    })
}
