//! The rules of a credential's lifecycle.

use super::Check;
use crate::{
    config::{
        node::KeyPath,
        raw::{self, Field},
    },
    credential::spec::{LEASE, MAX_SUBJECTS, OnDoubt, Policy, SPEND_DEADLINE},
};

impl Check<'_> {
    pub(super) fn policy(&self, raw: &raw::Credential, at: &KeyPath) -> Policy {
        let span = |field: &Field<raw::Span>| field.given().map(|span| span.0);
        let policy = Policy {
            on_doubt: raw.on_doubt.given().map(|on_doubt| match on_doubt {
                raw::OnDoubt::SignIn => OnDoubt::SignIn,
                raw::OnDoubt::Retry => OnDoubt::Retry,
            }),
            grace: span(&raw.grace),
            min_age: span(&raw.min_age).unwrap_or_default(),
            refresh_lifetime: span(&raw.refresh_lifetime),
            keep_alive: self.flag(&raw.keep_alive, false),
            single_use: self.flag(&raw.single_use, false),
            assume_lifetime: span(&raw.assume_lifetime),
            required: self.flag(&raw.required, false),
            spend_deadline: span(&raw.spend_deadline).unwrap_or(SPEND_DEADLINE),
            lease: span(&raw.lease).unwrap_or(LEASE),
            max_subjects: raw.max_subjects.given().copied().unwrap_or(MAX_SUBJECTS),
        };
        if policy.max_subjects == 0 {
            self.fault(
                &at.key("max_subjects"),
                "with room for no subject, no token is ever held".into(),
                Some("leave it out, or give at least 1".into()),
            );
        }
        if policy.spend_deadline.is_zero() {
            self.fault(&at.key("spend_deadline"), "no request is that fast".into(), None);
        }
        if policy.lease < policy.spend_deadline.saturating_mul(2) {
            let key = if raw.lease.is_absent() {
                "spend_deadline"
            } else {
                "lease"
            };
            self.fault(
                &at.key(key),
                "a lease is at least twice the spend deadline, so that a request ends before its claim does".into(),
                Some("raise `lease`, or lower `spend_deadline`".into()),
            );
        }
        policy
    }
}
