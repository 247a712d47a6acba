//! Where traces go.

use super::Check;
use crate::config::{
    checked::{Tls, Traces},
    node::KeyPath,
    raw::{self, Field, Text},
    resolve::AT_LOAD,
};

/// Whether this program was built with what traces take.
const BUILT_IN: bool = cfg!(feature = "otlp");

impl Check<'_> {
    pub(super) fn traces(&self, field: &Field<raw::Traces>, common: &Tls) -> Option<Traces> {
        let raw = field.given()?;
        let at = KeyPath::of(["traces"]);
        if !BUILT_IN {
            self.fault_at_key(
                &at,
                "this bearerd was built without traces".into(),
                Some("build it with `cargo build --release --features otlp`, or leave `traces` out".into()),
            );
        }
        let sample = raw.sample.given().copied().unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            self.fault(
                &at.key("sample"),
                "this is a share of the requests".into(),
                Some("give a number from 0 to 1, such as 0.1".into()),
            );
        }
        let collector = match &raw.otlp {
            Field::Given(Text(text)) => {
                let at = at.key("otlp");
                let url = self.resolve_url(text, &at, AT_LOAD, None).template()?;
                self.base_url(&url, &at, self.flag(&raw.insecure, false))
            }
            Field::Absent => {
                self.fault_at_key(
                    &at,
                    "`otlp` is missing".into(),
                    Some("give the collector's address: `otlp: http://127.0.0.1:4318`".into()),
                );
                None
            }
            Field::Faulty => None,
        };
        Some(Traces {
            collector: collector?,
            sample,
            tls: common.clone(),
            proxy: self.proxy(&Field::Absent, &at),
        })
    }
}
