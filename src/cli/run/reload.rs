//! The config in use, and the next one over it.

use std::{fmt, sync::Arc};

use super::{super::Failure, serving::Serving, source::Source, systemd, watching::Watching};
use crate::{
    assemble::Program,
    config::{Faults, Loaded},
};

/// The program and everything that it serves.
pub(super) struct Running {
    pub(super) program: Program,
    pub(super) serving: Serving,
    source: Option<Arc<Source>>,
    watching: Arc<Watching>,
}

/// Why the config is read again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// SIGHUP.
    Signal,
    /// A file of it changed.
    Content,
    /// Somebody asked the admin listener.
    Wish,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "SIGHUP",
            Self::Content => "a file changed",
            Self::Wish => "POST /reload",
        })
    }
}

impl Running {
    /// Binds and serves what the program has. Everything is bound before anything is served.
    pub(super) async fn start(
        mut program: Program,
        mut serving: Serving,
        source: Option<Arc<Source>>,
        watching: Arc<Watching>,
    ) -> Result<Self, Failure> {
        let stacks = std::mem::take(&mut program.listeners);
        let wanted = stacks.iter().map(|(listener, name, _)| (name, listener));
        let mut sockets = serving
            .bind(wanted, program.probes.as_ref(), program.admin.as_ref())
            .await?;
        serving.serve(stacks, &mut sockets, &program);
        serving.watch(program.probes.as_ref(), program.admin.as_ref(), sockets, &watching);
        serving.warn_of_unused();
        Ok(Self {
            program,
            serving,
            source,
            watching,
        })
    }

    /// Reads the config again and puts it over the running one, or says why not; then nothing is changed.
    ///
    /// May be dropped at any time: what waits comes before what changes.
    pub(super) async fn reload(&mut self, cause: Cause) -> Result<String, String> {
        systemd::reloading();
        let outcome = self.next().await;
        self.program.metrics.config_reload(outcome.is_ok());
        match &outcome {
            Ok(change) => {
                tracing::info!(%cause, %change, "the config was read again and is in use");
                self.watching.set_stale(None);
                systemd::status("the config on disk is in use");
            }
            Err(refused) => {
                tracing::error!(
                    %cause,
                    faults = %refused.whole,
                    "the config was read again and can't be used: nothing is changed"
                );
                self.watching.set_stale(Some(refused.short.clone()));
                systemd::status(&format!("the config on disk is not in use: {}", refused.short));
            }
        }
        systemd::ready();
        outcome.map_err(|refused| refused.whole)
    }

    async fn next(&mut self) -> Result<String, Refused> {
        let loaded = self.load().await?;
        for warning in &loaded.warnings {
            tracing::warn!(%warning, "the config may not mean what was meant");
        }
        let plan = self.program.plan(loaded.config).map_err(Refused::of)?;
        let wanted = plan.added.iter().map(|(name, listener)| (name, listener));
        let sockets = self.serving.bind(wanted, plan.probes(), plan.admin()).await;
        let mut sockets = sockets.map_err(Refused::of)?;
        // From here on nothing waits.
        let (ended, reowned) = (plan.ended.clone(), plan.reowned.clone());
        let change = plan.change.to_string();
        let stacks = self.program.follow(plan).map_err(Refused::of)?;
        self.serving.end(&ended);
        self.serving.serve(stacks, &mut sockets, &self.program);
        self.serving.reown(&reowned);
        let (probes, admin) = (self.program.probes.as_ref(), self.program.admin.as_ref());
        self.serving.watch(probes, admin, sockets, &self.watching);
        Ok(change)
    }

    async fn load(&self) -> Result<Loaded, Refused> {
        let Some(source) = self.source.clone() else {
            return Err(Refused::of("there is no config to read again"));
        };
        // In a thread of its own: a file system may take its time.
        match tokio::task::spawn_blocking(move || source.load()).await {
            Ok(loaded) => loaded.map_err(|faults| Refused::for_faults(&faults)),
            Err(_) => Err(Refused::of(
                "the config could not be read to its end, which is a fault in bearerd",
            )),
        }
    }
}

/// Why the config on disk is not in use.
struct Refused {
    /// In a line.
    short: String,
    /// Every fault.
    whole: String,
}

impl Refused {
    fn of(why: impl ToString) -> Self {
        let why = why.to_string();
        Self {
            short: why.clone(),
            whole: why,
        }
    }

    fn for_faults(faults: &Faults) -> Self {
        let first = faults.0.first().map(ToString::to_string).unwrap_or_default();
        let first = first.lines().next().unwrap_or_default();
        let short = match faults.0.len() {
            0 | 1 => first.to_owned(),
            several => format!("{first} (the first of {several} faults; `bearerd check` shows them)"),
        };
        Self {
            short,
            whole: faults.to_string(),
        }
    }
}
