//! One log line for each token event, with its reason.

use super::{
    errands::{Context, kind_word},
    words,
};
use crate::{credential::lifecycle::Note, log};

impl Context {
    /// One log line for each token event, with its reason.
    pub(super) fn note(&self, note: &Note) {
        let Self { spec, environment, .. } = self;
        let (name, metrics) = (&spec.name, &environment.metrics);
        let credential = name.as_str();
        match note {
            Note::Asking(kind, why) => {
                tracing::info!(target: log::TOKEN, credential, grant = kind_word(*kind), why = why.as_str(), "asking for tokens");
            }
            Note::Obtained(position, why) => {
                tracing::info!(target: log::TOKEN, credential, %position, why = why.as_str(), "obtained tokens");
            }
            Note::Adopted(position) => {
                tracing::info!(target: log::TOKEN, credential, %position, "using stored tokens");
            }
            Note::NeverLeft(why) => {
                tracing::warn!(target: log::TOKEN, credential, error = %why, "a token request never left");
            }
            Note::Refused(refusal) => {
                tracing::warn!(target: log::TOKEN, credential, about = refusal.about.as_str(),
                    error = %words::refusal_words(refusal), hint = refusal.hint.as_deref(), "a token request was refused");
            }
            Note::InDoubt(lost) => {
                metrics.in_doubt(name);
                tracing::warn!(target: log::TOKEN, credential, error = %words::lost_words(lost),
                    "the outcome of a token request is unknown");
            }
            Note::TakenOver => {
                metrics.in_doubt(name);
                tracing::warn!(target: log::TOKEN, credential, "took over a spend that nobody finished");
            }
            Note::Dead(position) => {
                tracing::error!(target: log::TOKEN, credential, %position, "the refresh token is dead");
            }
            Note::Unsaved(fault) => {
                tracing::error!(target: log::TOKEN, credential, error = %fault, "new tokens are in use but not saved");
            }
            Note::Saved(position) => {
                tracing::info!(target: log::TOKEN, credential, %position, "saved the tokens in use");
            }
            Note::StoreTrouble(fault) => {
                tracing::error!(target: log::TOKEN, credential, error = %fault, "no claim, no token request");
            }
            Note::Foreign(position) => {
                tracing::warn!(target: log::TOKEN, credential, %position,
                    "stored tokens belong to other settings and are left alone");
            }
            Note::Cooldown => {
                tracing::warn!(target: log::TOKEN, credential,
                    "the API rejects fresh tokens too: its rejections pass through for a while");
            }
            Note::Ending(at, why) => {
                tracing::warn!(target: log::TOKEN, credential, why = why.as_str(), dies = words::moment(*at),
                    hint = words::about_the_end(spec, *at, *why, environment.clock.now()), "this grant dies soon, and a person has to sign in");
            }
        }
    }
}
