//! Header fields that upstreams and routes add to requests.

use std::collections::BTreeSet;

use http::{HeaderName, header::AUTHORIZATION};

use super::{Check, entries};
use crate::{
    config::{
        checked::{Credential, Upstream},
        node::KeyPath,
        raw::{self, Field, Text},
        resolve::Allowed,
    },
    credential::placement::{Placement, reads_alike},
    template::{Scope, Template},
};

/// What extra header fields may say of a request.
const OF_REQUESTS: Allowed<'static> = Allowed {
    scopes: &[Scope::Header, Scope::Path],
    tokens: &[],
    subject: &[],
};

impl Check<'_> {
    /// Those of an upstream or a route with this credential.
    pub(super) fn extra_headers(
        &self,
        field: &Field<raw::Entries<Field<Text>>>,
        credential: Option<&Credential>,
        at: &KeyPath,
    ) -> Option<Vec<(HeaderName, Template)>> {
        for (name, _) in entries(field).iter().filter(|(_, value)| !value.is_absent()) {
            self.is_left(name, credential, &at.key(name));
        }
        self.headers(field, at, OF_REQUESTS, None)
    }

    /// What goes in last removes what stands in its place (law 8), so that an extra field would never arrive.
    fn is_left(&self, name: &str, credential: Option<&Credential>, at: &KeyPath) {
        let Ok(name) = name.parse::<HeaderName>() else {
            return;
        };
        if name == AUTHORIZATION {
            self.fault_at_key(
                at,
                "only a credential sets this header field, so this would be dropped".into(),
                Some("make it one: `credentials: { NAME: { grant: { type: static, token: … } } }`".into()),
            );
            return;
        }
        let Some(credential) = credential else { return };
        if let Placement::Header { name: own, .. } = &credential.spec.placement
            && reads_alike(own, &name)
        {
            self.fault_at_key(
                at,
                format!(
                    "credential `{}` has its token in this header field, so this would be dropped",
                    credential.spec.name
                ),
                Some("leave it out, or say `credential: none`".into()),
            );
        }
    }

    /// Those of a route with this credential; what they read of the path must be captured.
    pub(super) fn route_headers(
        &self,
        field: &Field<raw::Entries<Field<Text>>>,
        captured: &BTreeSet<&str>,
        credential: Option<&Credential>,
        at: &KeyPath,
    ) -> Option<Vec<(HeaderName, Template)>> {
        let headers = self.extra_headers(field, credential, at)?;
        for (name, template) in &headers {
            for (scope, capture) in template.references() {
                if scope == Scope::Path && !captured.contains(capture) {
                    self.fault(
                        &at.key(name.as_str()),
                        "this route doesn't capture what this reads of its path".into(),
                        None,
                    );
                }
            }
        }
        Some(headers)
    }

    /// Those of the upstream that the route has none of its own for.
    pub(super) fn add_headers(
        &self,
        own: &mut Vec<(HeaderName, Template)>,
        upstream: &Upstream,
        captured: &BTreeSet<&str>,
        at: &KeyPath,
    ) {
        for (name, template) in &upstream.headers {
            if own.iter().any(|(other, _)| other == name) {
                continue;
            }
            for (scope, capture) in template.references() {
                if scope == Scope::Path && !captured.contains(capture) {
                    self.fault_at_key(
                        at,
                        format!("its upstream's header `{name}` reads `${{path:{capture}}}`, and this route doesn't capture it"),
                        Some(format!("capture it: `path: /…/{{{capture}}}/{{*rest}}`, or give the route its own `headers: {{ {name}: … }}`")),
                    );
                }
            }
            own.push((name.clone(), template.clone()));
        }
    }
}
