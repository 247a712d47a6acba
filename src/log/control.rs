//! The filter in use, which can be changed while the program runs.
//!
//! Each event asks it, so it is made for that: an access line looks at one flag, and any other event of bearerd's own at
//! one number, unless the operator named parts of bearerd.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use arc_swap::ArcSwap;
use tracing::{Level, Metadata, subscriber::Interest};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::{Context, Filter},
};

use super::{
    ACCESS,
    filter::{self, FilterError, Filters, OURS},
};

/// Stands for a filter that tells parts of bearerd apart: it has to be read whole.
const BY_PARTS: u8 = u8::MAX;

/// The log's filter. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whether each request has a line, if the filter lets it through: the config's word.
    access: bool,
    /// What the config says.
    configured: String,
    /// What was last said.
    text: ArcSwap<String>,
    writes_access: AtomicBool,
    /// The number of the level of everything of ours, or [`BY_PARTS`].
    ours: AtomicU8,
    others: ArcSwap<Targets>,
}

impl Control {
    /// The filter of a config.
    ///
    /// # Errors
    /// The text is no filter.
    pub fn new(configured: &str, access: bool) -> Result<Self, FilterError> {
        let control = Self(Arc::new(Inner {
            access,
            configured: configured.into(),
            text: ArcSwap::default(),
            writes_access: AtomicBool::new(false),
            ours: AtomicU8::new(BY_PARTS),
            others: ArcSwap::default(),
        }));
        control.take(configured)?;
        Ok(control)
    }

    /// Puts another filter in its place, from the next event on. Dependencies stay capped, whatever it says.
    ///
    /// # Errors
    /// The text is no filter; nothing is changed then.
    pub fn set(&self, text: &str) -> Result<(), FilterError> {
        self.take(text)?;
        // Each place that logs remembers whether it may.
        tracing_core::callsite::rebuild_interest_cache();
        Ok(())
    }

    fn take(&self, text: &str) -> Result<(), FilterError> {
        let filters = filter::capped(text, self.0.access)?;
        let writes_access = filters.writes_access();
        let Filters { others, .. } = filters;
        let inner = &*self.0;
        let ours = match filter::names_parts(text) {
            true => BY_PARTS,
            false => number(level_of(&others)),
        };
        // While the two are changed an event may meet one of each, and both are capped.
        inner.writes_access.store(writes_access, Ordering::Relaxed);
        inner.others.store(Arc::new(others));
        inner.ours.store(ours, Ordering::Relaxed);
        inner.text.store(Arc::new(text.into()));
        Ok(())
    }

    /// The filter in use.
    pub fn text(&self) -> String {
        self.0.text.load().to_string()
    }

    /// The filter that the config asks for.
    pub fn configured(&self) -> &str {
        &self.0.configured
    }

    /// Whether access lines are written.
    pub(super) fn writes_access(&self) -> bool {
        self.0.writes_access.load(Ordering::Relaxed)
    }

    /// The part of it that is asked about access lines, where they are events.
    pub(super) fn access(&self) -> Access {
        Access(self.clone())
    }

    /// The part that is asked about everything else.
    pub(super) fn others(&self) -> Others {
        Others(self.clone())
    }
}

/// What `bearerd=LEVEL` says in a filter.
fn level_of(others: &Targets) -> LevelFilter {
    let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
    let most = levels.into_iter().find(|level| others.would_enable(OURS, level));
    most.map_or(LevelFilter::OFF, LevelFilter::from_level)
}

/// The more is let through, the greater.
fn number(filter: LevelFilter) -> u8 {
    match filter {
        LevelFilter::OFF => 0,
        LevelFilter::ERROR => 1,
        LevelFilter::WARN => 2,
        LevelFilter::INFO => 3,
        LevelFilter::DEBUG => 4,
        _ => 5,
    }
}

/// Asked about access lines.
pub(super) struct Access(Control);

impl Access {
    fn lets(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == ACCESS && *metadata.level() <= Level::INFO && self.0.writes_access()
    }
}

impl<S> Filter<S> for Access {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.lets(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        always_or_never(self.lets(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.writes_access() {
            true => LevelFilter::INFO,
            false => LevelFilter::OFF,
        })
    }
}

/// Asked about everything else.
pub(super) struct Others(Control);

impl Others {
    fn lets(&self, metadata: &Metadata<'_>) -> bool {
        let (inner, target) = (&*self.0.0, metadata.target());
        if target == ACCESS {
            return false;
        }
        match inner.ours.load(Ordering::Relaxed) {
            ours if ours != BY_PARTS && is_ours(target) => number(LevelFilter::from_level(*metadata.level())) <= ours,
            _ => inner.others.load().would_enable(target, metadata.level()),
        }
    }
}

fn is_ours(target: &str) -> bool {
    let rest = target.strip_prefix(OURS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl<S> Filter<S> for Others {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.lets(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        always_or_never(self.lets(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let others = self.0.0.others.load();
        let levels = others.iter().map(|(_, level)| level);
        levels.chain(others.default_level()).max()
    }
}

fn always_or_never(enabled: bool) -> Interest {
    match enabled {
        true => Interest::always(),
        false => Interest::never(),
    }
}
