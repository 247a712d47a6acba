//! A checked config becomes a running program, and the next config is laid over the running one.
//!
//! Both are the same two steps: [`Program::plan`] finds out what is new and makes everything that can fail, and
//! [`Program::follow`] puts it in its place. At first, everything is new.

mod acceptor;
mod next;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use secrecy::SecretString;
use tokio::task::AbortHandle;

use crate::{
    clock::Clock,
    config::checked::{Bind, Config, Credential, Listener, Log, Proxy, State, Tls, Traces, Upstream},
    manager::{Closing, Environment, Manager, Managers, STORE_DEADLINE, StartError, StoreHealth},
    metrics::Metrics,
    name::{CredentialName, ListenerName, RouteName, UpstreamName},
    proxy::{Router, RouterError, Stack, Target},
    store::{self, Keys, Place, Portable, Retirement, StoreError, TokenStore},
    upstream::{self, SettingsError},
};
pub use next::{Change, Plan};

/// Why a checked config can't be run.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The TLS settings of the store can't be used together.
    #[error("state.tls: {0}")]
    State(SettingsError),
    /// An upstream's settings can't be used together.
    #[error("upstreams.{upstream}: {source}")]
    Upstream {
        /// Which.
        upstream: UpstreamName,
        /// Why.
        source: SettingsError,
    },
    /// A listener's certificates can't be used.
    #[error("listeners.{listener}.tls: {reason}")]
    Listener {
        /// Which.
        listener: ListenerName,
        /// Why.
        reason: String,
    },
    /// A credential's settings can't be used together.
    #[error("credentials.{credential}: {source}")]
    Endpoint {
        /// Which.
        credential: CredentialName,
        /// Why.
        source: SettingsError,
    },
    /// A credential can't start.
    #[error("credentials.{credential}: {source}")]
    Credential {
        /// Which.
        credential: CredentialName,
        /// Why.
        source: StartError,
    },
    /// The routes can't be served.
    #[error(transparent)]
    Routes(#[from] RouterError),
    /// The next config keeps its state elsewhere, or otherwise sealed.
    #[error("state: it differs from the one in use, which can't be changed while bearerd runs: restart bearerd")]
    Restart,
}

/// A program that is ready to be served; nothing is bound yet.
pub struct Program {
    /// What each listener serves.
    pub listeners: Vec<(Listener, ListenerName, Stack)>,
    /// The probes' address.
    pub probes: Option<Bind>,
    /// The admin listener's address.
    pub admin: Option<Bind>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The token managers of the config in use.
    pub managers: Arc<BTreeMap<CredentialName, Manager>>,
    current: Managers,
    routes: Routes,
    environment: Environment,
    closing: Closing,
    /// What the next config is compared with.
    running: Running,
    /// Where subjects are forgotten, if this program opened its store itself.
    portable: Option<Arc<dyn Portable>>,
    retiring: Option<Retiring>,
}

/// A route of the config in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLine {
    /// Its name.
    pub name: RouteName,
    /// Where it goes.
    pub upstream: UpstreamName,
    /// With which credential, if with any.
    pub credential: Option<CredentialName>,
}

/// The routes of the config in use, and of every config to come.
pub type Routes = Arc<ArcSwap<Vec<RouteLine>>>;

/// The config in use, and what was made of it.
struct Running {
    state: State,
    state_keys: Vec<SecretString>,
    log: Option<Log>,
    traces: Option<Option<Traces>>,
    /// Whose idle subjects are forgotten, and after how long.
    forgotten: Option<(Vec<CredentialName>, Duration)>,
    credentials: BTreeMap<CredentialName, Credential>,
    upstreams: BTreeMap<UpstreamName, (Upstream, Arc<Target>)>,
    listeners: BTreeMap<ListenerName, Listening>,
    /// Of every credential that there ever was: its task may still be under way in the end.
    longest_spend: Duration,
}

/// A listener in use, and what the next config changes under its connections.
struct Listening {
    listener: Listener,
    router: Arc<ArcSwap<Router>>,
    /// What it speaks TLS with, if it does.
    acceptor: Option<Arc<ArcSwap<ServerConfig>>>,
}

/// Forgets idle subjects for as long as the program is there.
struct Retiring(AbortHandle);

impl Drop for Retiring {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Program {
    /// Builds it: opens the store, starts the managers, makes each listener's stack. Must be called within a runtime.
    ///
    /// # Errors
    /// Each [`AssembleError`]; a config that was loaded from files meets only those of the store.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, AssembleError> {
        let store = open_store(&config, &clock).await?;
        Self::with(store.clone(), Some(store), config, clock)
    }

    /// Builds it over this store, whatever the config says of one. Must be called within a runtime.
    ///
    /// # Errors
    /// Each [`AssembleError`] but those of opening a store.
    pub fn over(store: Arc<dyn TokenStore>, config: Config, clock: Clock) -> Result<Self, AssembleError> {
        Self::with(store, None, config, clock)
    }

    fn with(
        store: Arc<dyn TokenStore>,
        portable: Option<Arc<dyn Portable>>,
        config: Config,
        clock: Clock,
    ) -> Result<Self, AssembleError> {
        let metrics = Arc::new(Metrics::new());
        let (environment, closing) = Environment::new(store, clock, metrics.clone());
        let managers = Arc::new(BTreeMap::new());
        let mut program = Self {
            listeners: Vec::new(),
            probes: None,
            admin: None,
            metrics,
            current: managers.clone().into(),
            managers,
            routes: Routes::default(),
            environment,
            closing,
            running: Running {
                state: config.state.clone(),
                state_keys: config.state_keys.clone(),
                log: None,
                traces: None,
                forgotten: None,
                credentials: BTreeMap::new(),
                upstreams: BTreeMap::new(),
                listeners: BTreeMap::new(),
                longest_spend: Duration::ZERO,
            },
            portable,
            retiring: None,
        };
        let plan = program.plan(config)?;
        program.listeners = program.follow(plan)?;
        Ok(program)
    }

    /// What this listener speaks TLS with, from now on and with every config to come; `None` if it is plain.
    pub fn acceptor(&self, listener: &ListenerName) -> Option<Arc<ArcSwap<ServerConfig>>> {
        self.running.listeners.get(listener)?.acceptor.clone()
    }

    /// The token managers of now and of every config to come.
    pub fn current(&self) -> Managers {
        self.current.clone()
    }

    /// The routes of now and of every config to come, by name.
    pub fn routes(&self) -> Routes {
        self.routes.clone()
    }

    /// The kind of store that tokens are kept in, as the config names it, and how it is.
    pub fn store(&self) -> (&'static str, StoreHealth) {
        let kind = match self.running.state {
            State::Memory => "memory",
            State::Sqlite { .. } => "sqlite",
            State::Postgres { .. } => "postgres",
            State::Redis(_) => "redis",
        };
        (kind, self.environment.store_health.clone())
    }

    /// Forgets subjects that have been idle for so long, from now on: those that sign in again without a person when
    /// they come back.
    fn forget_after(&mut self, idle: Option<Duration>) {
        let alone = self
            .running
            .credentials
            .iter()
            .filter(|(_, it)| it.spec.signs_in_alone());
        let names: Vec<_> = alone.map(|(name, _)| name.clone()).collect();
        let forgotten = idle.map(|idle| (names, idle));
        if self.running.forgotten == forgotten {
            return;
        }
        self.running.forgotten = forgotten.clone();
        self.retiring = self.portable.clone().zip(forgotten).map(|(store, (names, idle))| {
            let clock = self.environment.clock.clone();
            let retirement = Retirement::new(names, idle);
            let retiring = async move { retirement.keep(&*store, &clock).await };
            Retiring(tokio::spawn(retiring).abort_handle())
        });
    }

    /// Ends the managers' tasks once nothing is under way, and waits for as long as a token request and its saving
    /// may take: whether that came in time. To be called after the last request, for a spend outlives its caller.
    pub async fn shutdown(self) -> bool {
        // The check before it and the commit after it.
        self.closing
            .finish(self.running.longest_spend + 2 * STORE_DEADLINE)
            .await
    }
}

/// Opens the store of this config.
///
/// # Errors
/// What won't mend by itself; a server that can't be reached yet will.
pub async fn open_store(config: &Config, clock: &Clock) -> Result<Arc<dyn Portable>, AssembleError> {
    let store_tls = |settings: &Option<Tls>| -> Result<Option<store::Tls>, AssembleError> {
        let Some(settings) = settings else { return Ok(None) };
        Ok(Some(store::Tls {
            config: Arc::new(upstream::tls_config(&tls(settings)).map_err(AssembleError::State)?),
            server_name: settings.server_name.clone(),
        }))
    };
    let place = match &config.state {
        State::Memory => Place::Memory,
        State::Sqlite { path } => Place::Sqlite(path.clone()),
        State::Postgres { server, tls } => Place::Postgres(store::postgres::Settings {
            server: (**server).clone(),
            tls: store_tls(tls)?,
        }),
        State::Redis(redis) => Place::Redis(store::redis::Settings {
            host: redis.host.clone(),
            port: redis.port,
            tls: store_tls(&redis.tls)?,
            username: redis.username.clone(),
            password: redis.password.clone(),
            database: redis.database,
            accept_loss: redis.accept_loss,
        }),
    };
    let keys = Keys::of(&config.state_keys)?;
    Ok(store::open(place, keys, clock.clone()).await?)
}

/// The config's words for TLS, in the connections'.
pub(crate) fn tls(tls: &Tls) -> upstream::Tls {
    let tls = tls.clone();
    upstream::Tls {
        ca: tls.ca,
        client: tls.client,
        server_name: tls.server_name,
    }
}

/// The config's words for a proxy, in the connections'.
pub(crate) fn proxy(proxy: &Proxy) -> upstream::Proxy {
    let Proxy {
        host,
        port,
        user,
        except,
    } = proxy.clone();
    upstream::Proxy {
        host,
        port,
        user: user.map(|user| (user.name, user.password)),
        except,
    }
}
