//! What the config says of one credential, checked.

use std::{fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{
    browser::Browser,
    grant::Request,
    placement::Placement,
    reply::{ErrorRules, Rejection, ReplyRules},
};
use crate::{
    name::{CredentialName, StepName},
    template::{Scope, Template},
};

/// A credential: its grants, its placement and the rules between them.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name in the config.
    pub name: CredentialName,
    /// A token that is simply given (`static`): no grant, no store.
    pub fixed: Option<SecretString>,
    /// Gets tokens from nothing but the config and, where [`Grant::asks`], a person.
    pub sign_in: Option<Grant>,
    /// How a person signs in with a browser; what the browser brings, [`Spec::sign_in`] asks for.
    pub browser: Option<Browser>,
    /// Gets tokens for the held refresh token.
    pub refresh: Option<Grant>,
    /// Other requests of the vendor, run by `bearerd login`.
    pub steps: Vec<Step>,
    /// A refresh token given in the config.
    pub seed: Option<SecretString>,
    /// What a person must be asked before [`Grant::asks`] requests can be built, in order.
    pub ask: Vec<Ask>,
    /// Where the access token goes.
    pub placement: Placement,
    /// The parts of its subject; none where it has exactly one.
    pub subject: Vec<SubjectPart>,
    /// How its token endpoint's refusals read.
    pub errors: ErrorRules,
    /// How its API says that an access token is no longer good.
    pub rejected: Vec<Rejection>,
    /// The rules of its lifecycle.
    pub policy: Policy,
    /// What its stored tokens belong to.
    pub fingerprint: Fingerprint,
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        // Each field by name, so that a new one can't be forgotten here.
        let Self {
            name,
            fixed,
            sign_in,
            browser,
            refresh,
            steps,
            seed,
            ask,
            placement,
            subject,
            errors,
            rejected,
            policy,
            fingerprint,
        } = self;
        let same = |one: &Option<SecretString>, two: &Option<SecretString>| {
            one.as_ref().map(ExposeSecret::expose_secret) == two.as_ref().map(ExposeSecret::expose_secret)
        };
        same(fixed, &other.fixed)
            && same(seed, &other.seed)
            && (name, sign_in, browser, refresh) == (&other.name, &other.sign_in, &other.browser, &other.refresh)
            && (steps, ask, placement, subject) == (&other.steps, &other.ask, &other.placement, &other.subject)
            && (errors, rejected, policy, fingerprint)
                == (&other.errors, &other.rejected, &other.policy, &other.fingerprint)
    }
}

impl Eq for Spec {}

impl Spec {
    /// Whether tokens can be had without a person.
    pub fn signs_in_alone(&self) -> bool {
        self.sign_in.as_ref().is_some_and(|grant| !grant.asks())
    }
}

/// A request for tokens, and how to read its reply (RFC 6749 §4, or a vendor's own).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What is sent.
    pub request: Request,
    /// What a good answer looks like.
    pub reply: ReplyRules,
}

impl Grant {
    /// Whether a person has to be asked for something that the request needs.
    pub fn asks(&self) -> bool {
        self.request
            .templates()
            .any(|template| template.references().any(|(scope, _)| scope == Scope::Ask))
    }
}

/// A vendor's own request, run by `bearerd login CREDENTIAL STEP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: StepName,
    /// What it is for, in a sentence.
    pub about: Option<String>,
    /// What to ask before it is sent, in order.
    pub ask: Vec<Ask>,
    /// The request and its reply; tokens in the reply start a new chain.
    pub grant: Grant,
    /// What follows.
    pub then: Then,
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The name in `${ask:name}`.
    pub name: String,
    /// The words of the question.
    pub question: String,
    /// Whether the answer is typed without echo.
    pub secret: bool,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// A refresh, with the refresh token that the step brought or the config gives.
    Refresh,
    /// A sign-in.
    SignIn,
}

/// A part of a credential's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPart {
    /// The name in `${subject:name}`.
    pub name: String,
    /// Where a request says it: references of the scopes `header` and `path` only.
    pub from: Template,
}

/// The rules of a credential's lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// What to do with a refresh token whose spend is in doubt; `None` is the default of the in-doubt rule.
    pub on_doubt: Option<OnDoubt>,
    /// For how long the provider accepts a spent refresh token again.
    pub grace: Option<Duration>,
    /// How old an access token must be before it is renewed ahead of its expiry.
    pub min_age: Duration,
    /// How long a refresh token lives without use, where its reply doesn't say.
    pub refresh_lifetime: Option<Duration>,
    /// Renew also when nobody uses it.
    pub keep_alive: bool,
    /// A refresh reply without a refresh token ends the chain.
    pub single_use: bool,
    /// The lifetime of an access token that doesn't say its own.
    pub assume_lifetime: Option<Duration>,
    /// Whether `/readyz` waits for it.
    pub required: bool,
    /// How long one token request may take, from its first byte to the end of its answer.
    pub spend_deadline: Duration,
    /// How long a claim stands; at least twice `spend_deadline`.
    pub lease: Duration,
    /// How many subjects are held in memory at a time.
    pub max_subjects: u64,
}

/// The default of [`Policy::spend_deadline`].
pub const SPEND_DEADLINE: Duration = Duration::from_secs(15);
/// The default of [`Policy::lease`].
pub const LEASE: Duration = Duration::from_secs(30);
/// The default of [`Policy::max_subjects`]: at a few kibibytes each, a process stays below a hundred mebibytes.
pub const MAX_SUBJECTS: u64 = 10_000;

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_doubt: None,
            grace: None,
            min_age: Duration::ZERO,
            refresh_lifetime: None,
            keep_alive: false,
            single_use: false,
            assume_lifetime: None,
            required: false,
            spend_deadline: SPEND_DEADLINE,
            lease: LEASE,
            max_subjects: MAX_SUBJECTS,
        }
    }
}

/// What to do with a spend whose outcome nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDoubt {
    /// Start a new chain.
    SignIn,
    /// Send the same refresh token again, when nothing can be lost by it.
    Retry,
}

/// A hash of what stored tokens belong to (token endpoint, client, user, scope); no secret goes into it.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The SHA-256 of these parts, each with its length before it.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in parts {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let digest = digest.finish();
        Self(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// In hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:.8})", self.0)
    }
}
