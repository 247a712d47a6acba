//! Which events are written: the operator's filter, with dependencies capped.
//!
//! At `trace` some dependencies print what passes through them, header fields included. So an operator's bare level
//! speaks of bearerd only; a dependency says no more than `warn` unless it is named, and then no more than `debug`,
//! at which none of those compiled in prints a header's value.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::ACCESS;

/// Our own targets begin with this.
pub(super) const OURS: &str = "bearerd";
/// What dependencies say unless they are named.
const UNNAMED: LevelFilter = LevelFilter::WARN;
/// The most a named dependency may say.
const NAMED: LevelFilter = LevelFilter::DEBUG;

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{directive}' is neither a level (off, error, warn, info, debug, trace) nor target=level")]
pub struct FilterError {
    /// The part that can't be read.
    pub directive: String,
}

/// The operator's filter, capped, in two parts: access lines say everything themselves and are written without the
/// span of their request, which other events of the request need to be found by.
#[derive(Debug, Clone)]
pub struct Filters {
    /// Of access lines.
    pub access: Targets,
    /// Of everything else.
    pub others: Targets,
}

impl Filters {
    /// Whether access lines are wanted at all.
    pub fn writes_access(&self) -> bool {
        self.access.would_enable(ACCESS, &Level::INFO)
    }
}

/// Reads the operator's filter; access lines are switched off where they are not wanted.
pub fn capped(text: &str, access: bool) -> Result<Filters, FilterError> {
    let mut ours = LevelFilter::INFO;
    let mut named = Vec::new();
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let wrong = || FilterError {
            directive: directive.into(),
        };
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) if !target.trim().is_empty() => (target.trim(), level.trim()),
            Some(_) => return Err(wrong()),
            None => (OURS, directive),
        };
        let level: LevelFilter = level.parse().map_err(|_| wrong())?;
        match target {
            OURS => ours = level,
            _ if is_ours(target) => named.push((target, level)),
            _ => named.push((target, level.min(NAMED))),
        }
    }
    let others = Targets::new()
        .with_default(UNNAMED.min(ours))
        .with_target(OURS, ours)
        .with_targets(named);
    let access = match access && others.would_enable(ACCESS, &Level::INFO) {
        true => LevelFilter::INFO,
        false => LevelFilter::OFF,
    };
    Ok(Filters {
        access: Targets::new().with_target(ACCESS, access),
        others: others.with_target(ACCESS, LevelFilter::OFF),
    })
}

/// Whether a filter tells parts of bearerd apart.
pub(super) fn names_parts(text: &str) -> bool {
    let mut targets = text.split(',').filter_map(|directive| directive.split_once('='));
    // A beginning of our name, such as `bear=debug`, matches all of ours, but not over `bearerd` itself.
    targets.any(|(target, _)| target.trim().strip_prefix(OURS).is_some_and(|rest| !rest.is_empty()))
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OURS).is_some_and(|rest| rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_speaks_of_bearerd_only() {
        let filter = capped("trace", true).unwrap().others;
        assert!(filter.would_enable("bearerd::manager", &Level::TRACE));
        for dependency in ["hyper::proto::h1", "h2::codec", "rustls::client", "tower", "anything"] {
            assert!(filter.would_enable(dependency, &Level::WARN), "{dependency}");
            assert!(!filter.would_enable(dependency, &Level::INFO), "{dependency}");
        }
        assert!(
            !capped("error", true)
                .unwrap()
                .others
                .would_enable("hyper", &Level::WARN)
        );
    }

    #[test]
    fn a_named_dependency_never_reaches_trace() {
        let filter = capped("info, h2=trace, hyper::proto=trace, bearerd::proxy=trace", true)
            .unwrap()
            .others;
        assert!(filter.would_enable("h2::codec", &Level::DEBUG));
        assert!(!filter.would_enable("h2::codec", &Level::TRACE));
        assert!(!filter.would_enable("hyper::proto::h1::role", &Level::TRACE));
        assert!(filter.would_enable("bearerd::proxy", &Level::TRACE));
        assert!(!filter.would_enable("bearerd::manager", &Level::DEBUG));
        let short = capped("b=trace", true).unwrap().others;
        assert!(
            !short.would_enable("bytes", &Level::TRACE),
            "targets match by their beginning"
        );
    }

    #[test]
    fn access_lines_can_be_switched_off() {
        let has = |text, access| capped(text, access).unwrap().access.would_enable(ACCESS, &Level::INFO);
        assert!(has("", true) && has("warn,bearerd::access=info", true));
        assert!(!has("trace", false) && !has("warn", true));
        let others = capped("trace", true).unwrap().others;
        assert!(!others.would_enable(ACCESS, &Level::ERROR), "never written twice");
    }

    #[test]
    fn what_is_no_filter_is_named() {
        for text in ["loud", "info,hyper=loud", "info,=debug", "[span]=debug,x"] {
            assert!(capped(text, true).is_err(), "{text}");
        }
        assert_eq!(capped("info,loud", true).unwrap_err().directive, "loud");
    }
}
