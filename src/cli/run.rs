//! `bearerd run`: the proxy.

#[cfg(feature = "otlp")]
mod collector;
mod reload;
mod serving;
mod source;
#[cfg_attr(not(unix), path = "run/systemd/elsewhere.rs")]
mod systemd;
mod watching;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{runtime::Runtime, sync::mpsc};

use self::{
    reload::{Cause, Running},
    serving::Serving,
    source::Source,
    watching::Watching,
};
use super::Failure;
use crate::{
    admin::Overview,
    assemble::Program,
    clock::Clock,
    config::{
        Loaded,
        checked::{Bind, Log, LogFormat},
    },
    log,
    metrics::Metrics,
    serve::{Hangups, Signals},
};

/// How long open requests may take to end once the program is told to.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long whoever watches may take to hang up after everything else has ended.
const PROBES_DEADLINE: Duration = Duration::from_secs(1);

pub(super) fn execute(files: &[PathBuf]) -> Result<(), Failure> {
    let sockets = systemd::Sockets::take();
    let source = Arc::new(Source::new(files));
    let loaded = source.load().map_err(|faults| Failure::Config(faults.to_string()))?;
    let mut errors = io::stderr().lock();
    for warning in &loaded.warnings {
        // A warning that can't be written is no reason to fail.
        let _ = writeln!(errors, "{warning}");
    }
    drop(errors);
    let runtime = runtime()?;
    let outcome = runtime.block_on(run(loaded, Some(source), sockets, |_| Ok(())));
    // Whatever still runs in a blocking thread must not keep the process from ending.
    runtime.shutdown_background();
    outcome
}

/// A runtime with a worker for each processor.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))
}

/// Runs a config that was loaded once, until a signal ends it. `ready` is called once everything is bound and served.
pub(super) async fn run_once(
    loaded: Loaded,
    ready: impl FnOnce(&Addresses) -> Result<(), Failure>,
) -> Result<(), Failure> {
    run(loaded, None, systemd::Sockets::default(), ready).await
}

/// Runs a loaded config, and what its source says later, until a signal ends it.
async fn run(
    loaded: Loaded,
    source: Option<Arc<Source>>,
    sockets: systemd::Sockets,
    ready: impl FnOnce(&Addresses) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // From here on a signal is an orderly end.
    let no_signals = |error| Failure::Failed(format!("no signals can be had: {error}"));
    let mut signals = Signals::listen().map_err(no_signals)?;
    // Without a source there is nothing to read again, and the signal ends the process as it always did.
    let mut hangups = source.is_some().then(Hangups::listen).transpose().map_err(no_signals)?;
    let has_terminal = io::stdin().is_terminal();
    let clock = Clock::system();
    // The log is there before the metrics are; what it drops until then is not counted.
    let counter: Arc<OnceLock<Arc<Metrics>>> = Arc::default();
    let count = counter.clone();
    let dropped = move || {
        if let Some(metrics) = count.get() {
            metrics.log_dropped();
        }
    };
    let (control, _flush) =
        log::start(&settings(&loaded.config.log), clock.clone(), dropped).map_err(Failure::failed)?;
    #[cfg(feature = "otlp")]
    let traces = collector::start(loaded.config.traces.as_ref())?;
    let program = Program::build(loaded.config, clock.clone())
        .await
        .map_err(Failure::failed)?;
    // Only the first call sets it, and this is the only one.
    let _ = counter.set(program.metrics.clone());

    let (sender, mut wishes) = mpsc::channel(1);
    let overview = Overview::new(program.current(), program.metrics.clone(), clock).of(&program);
    let watching = Arc::new(Watching::new(overview, source.is_some().then_some(sender), control));
    let serving = Serving::new(sockets.bound().map_err(Failure::failed)?);
    let mut running = Running::start(program, serving, source.clone(), watching.clone()).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    ready(&running.serving.addresses())?;
    systemd::ready();
    // It ends with the runtime.
    let _ = systemd::watchdog();

    let signal = loop {
        let (cause, wish) = tokio::select! {
            signal = signals.next() => break signal,
            () = running.serving.collect() => continue,
            () = hung_up(&mut hangups) => match has_terminal && !io::stdin().is_terminal() {
                // The terminal that it was started in is gone, and nobody could end it any more.
                true => break "SIGHUP",
                false => (Cause::Signal, None),
            },
            () = changed(&source) => (Cause::Content, None),
            Some(wish) = wishes.recv() => (Cause::Wish, Some(wish)),
        };
        let outcome = tokio::select! {
            // A file system that doesn't answer holds up no end.
            signal = signals.next() => break signal,
            outcome = running.reload(cause) => outcome,
        };
        if let Some(wish) = wish {
            // Who asked may have gone.
            let _ = wish.send(outcome);
        }
    };
    tracing::info!(signal, "ending: open requests are answered, new ones are not taken");
    systemd::stopping();
    // The probes answer until the last request is: whoever asks must see the drain, not a closed port.
    watching.leave();
    let Running {
        program, mut serving, ..
    } = running;
    let in_time = tokio::select! {
        drained = tokio::time::timeout(DRAIN_DEADLINE, serving.drain()) => drained.is_ok(),
        _ = signals.next() => false,
    };
    if !in_time {
        tracing::warn!("requests were cut off that had not ended");
    }
    // Cut off here, where they had not ended: nobody asks for tokens any more.
    serving.cut().await;
    let saved = tokio::select! {
        saved = program.shutdown() => saved,
        _ = signals.next() => false,
    };
    if !saved {
        tracing::warn!("ended with token requests under way, or with tokens that are not saved");
    }
    // Those that have not ended by then end with the runtime.
    let _ = tokio::time::timeout(PROBES_DEADLINE, serving.drain_watchers()).await;
    #[cfg(feature = "otlp")]
    collector::stop(traces).await;
    tracing::info!("ended");
    Ok(())
}

async fn hung_up(hangups: &mut Option<Hangups>) {
    match hangups {
        Some(hangups) => hangups.next().await,
        None => std::future::pending().await,
    }
}

async fn changed(source: &Option<Arc<Source>>) {
    match source {
        Some(source) => source.changed().await,
        None => std::future::pending().await,
    }
}

/// Where everything listens, with the ports that port 0 became.
pub(super) struct Addresses {
    /// The listeners, by name.
    pub(super) listeners: Vec<(String, Bind)>,
    pub(super) probes: Option<Bind>,
    pub(super) admin: Option<Bind>,
}

/// The config's words for the log, in the log's.
fn settings(log: &Log) -> log::Settings {
    log::Settings {
        format: log.format.map(|format| match format {
            LogFormat::Json => log::Format::Json,
            LogFormat::Text => log::Format::Text,
        }),
        level: log.level.clone(),
        file: log.file.clone(),
        access: log.access,
    }
}
