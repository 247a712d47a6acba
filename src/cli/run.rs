//! `bearerd run`: the proxy.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{runtime::Runtime, task::JoinSet};

use super::{Failure, call::shown, load::load};
use crate::{
    admin::{
        ActionError, Admin, Answers, Done, FlowAsk, FlowTold, LocalAddress, Overview, Probes, Readiness, Ready, Status,
        Watched,
    },
    assemble::Program,
    clock::Clock,
    config::{
        Loaded,
        checked::{Bind, Log, LogFormat},
    },
    log,
    metrics::Metrics,
    name::{CredentialName, StepName},
    proxy,
    serve::{self, Bound, Connection, Drain, Signals, Switch},
};

/// How long open requests may take to end once the program is told to.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long whoever watches may take to hang up after everything else has ended.
const PROBES_DEADLINE: Duration = Duration::from_secs(1);

pub(super) fn execute(files: &[PathBuf]) -> Result<(), Failure> {
    let loaded = load(files)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(run(loaded, |_| Ok(())));
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

/// Runs a loaded config until a signal ends it. `ready` is called once everything is bound and served.
pub(super) async fn run(loaded: Loaded, ready: impl FnOnce(&Addresses) -> Result<(), Failure>) -> Result<(), Failure> {
    // From here on a signal is an orderly end.
    let mut signals = Signals::listen().map_err(|error| Failure::Failed(format!("no signals can be had: {error}")))?;
    let clock = Clock::system();
    // The log is there before the metrics are; what it drops until then is not counted.
    let counter: Arc<OnceLock<Arc<Metrics>>> = Arc::default();
    let count = counter.clone();
    let dropped = move || {
        if let Some(metrics) = count.get() {
            metrics.log_dropped();
        }
    };
    let _flush = log::start(&settings(&loaded.config.log), clock.clone(), dropped).map_err(Failure::failed)?;
    let mut program = Program::build(loaded.config, clock.clone())
        .await
        .map_err(Failure::failed)?;
    // Only the first call sets it, and this is the only one.
    let _ = counter.set(program.metrics.clone());

    let (switch, drain) = Switch::new();
    // The probes answer until the last request is: whoever asks must see the drain, not a closed port.
    let (last_switch, last_drain) = Switch::new();
    let mut proxies = JoinSet::new();
    let mut watchers = JoinSet::new();
    let listeners = std::mem::take(&mut program.listeners);
    let watched = Arc::new(Draining {
        overview: Overview::new(program.managers.clone(), program.metrics.clone(), clock),
        drain: drain.clone(),
    });

    // Everything is bound before anything is served.
    let mut bound = Vec::new();
    for (listener, name, stack) in listeners {
        bound.push((bind(name.as_str(), &listener.bind).await?, listener, name, stack));
    }
    let probes = bind_other("probes", &program.probes).await?;
    let admin = bind_other("admin", &program.admin).await?;
    let addresses = Addresses {
        listeners: bound
            .iter()
            .map(|(bound, _, name, _)| (name.to_string(), bound.address().clone()))
            .collect(),
        probes: probes.as_ref().map(|bound| bound.address().clone()),
        admin: admin.as_ref().map(|bound| bound.address().clone()),
    };

    for (bound, listener, name, stack) in bound {
        tracing::info!(listener = %name, address = %shown(bound.address()), "listening");
        let options = serve::Options {
            title_case_headers: listener.title_case_headers,
            ..serve::Options::default()
        };
        let describe = |request: &mut http::Request<_>, ends: Connection| {
            request.extensions_mut().insert(proxy::Connection {
                local: ends.local.map_or(proxy::Address::Unix, proxy::Address::Tcp),
                peer: ends.peer.map_or(proxy::Address::Unix, proxy::Address::Tcp),
                tls: false,
            });
        };
        proxies.spawn(serve::serve(bound, stack, describe, options, drain.clone()));
    }
    if let Some(bound) = probes {
        let nothing = |_: &mut http::Request<_>, _: Connection| {};
        let probes = Probes::new(watched.clone());
        watchers.spawn(serve::serve(
            bound,
            probes,
            nothing,
            serve::Options::default(),
            last_drain.clone(),
        ));
    }
    if let Some(bound) = admin {
        let describe = |request: &mut http::Request<_>, ends: Connection| {
            if let Some(local) = ends.local {
                request.extensions_mut().insert(LocalAddress(local));
            }
        };
        let admin = Admin::new(watched.clone());
        watchers.spawn(serve::serve(
            bound,
            admin,
            describe,
            serve::Options::default(),
            last_drain,
        ));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    ready(&addresses)?;

    let signal = signals.next().await;
    tracing::info!(signal, "ending: open requests are answered, new ones are not taken");
    switch.start();
    let drained = async { while proxies.join_next().await.is_some() {} };
    let in_time = tokio::select! {
        drained = tokio::time::timeout(DRAIN_DEADLINE, drained) => drained.is_ok(),
        _ = signals.next() => false,
    };
    if !in_time {
        tracing::warn!("requests were cut off that had not ended");
    }
    // Cut off here, where they had not ended: nobody asks for tokens any more.
    proxies.shutdown().await;
    let saved = tokio::select! {
        saved = program.shutdown() => saved,
        _ = signals.next() => false,
    };
    if !saved {
        tracing::warn!("ended with token requests under way, or with tokens that are not saved");
    }
    last_switch.start();
    let ended = async { while watchers.join_next().await.is_some() {} };
    if tokio::time::timeout(PROBES_DEADLINE, ended).await.is_err() {
        watchers.shutdown().await;
    }
    tracing::info!("ended");
    Ok(())
}

/// Where everything listens, with the ports that port 0 became.
pub(super) struct Addresses {
    /// The listeners, by name.
    pub(super) listeners: Vec<(String, Bind)>,
    pub(super) probes: Option<Bind>,
    pub(super) admin: Option<Bind>,
}

async fn bind(name: &str, bind: &Bind) -> Result<Bound, Failure> {
    Bound::bind(bind)
        .await
        .map_err(|error| Failure::Failed(format!("listener {name}: {error}")))
}

async fn bind_other(name: &str, address: &Option<Bind>) -> Result<Option<Bound>, Failure> {
    match address {
        Some(address) => bind(name, address).await.map(Some),
        None => Ok(None),
    }
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

/// The program, and whether it is ending.
struct Draining {
    overview: Overview,
    drain: Drain,
}

impl Watched for Draining {
    fn readiness(&self) -> Readiness {
        match self.drain.has_started() {
            true => Readiness {
                status: Ready::Draining,
                reasons: vec!["bearerd is ending".into()],
            },
            false => self.overview.readiness(),
        }
    }

    fn status(&self) -> Status {
        Status {
            readiness: self.readiness(),
            ..self.overview.status()
        }
    }

    fn metrics_page(&self) -> String {
        self.overview.metrics_page()
    }

    async fn login(
        &self,
        credential: &CredentialName,
        step: Option<&StepName>,
        answers: Answers,
    ) -> Result<Done, ActionError> {
        self.overview.login(credential, step, answers).await
    }

    async fn flow(&self, credential: &CredentialName, ask: FlowAsk) -> Result<FlowTold, ActionError> {
        self.overview.flow(credential, ask).await
    }

    async fn refresh(&self, credential: &CredentialName) -> Result<Done, ActionError> {
        self.overview.refresh(credential).await
    }
}
