//! A checked config becomes a running program.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use tokio::task::AbortHandle;

use crate::{
    clock::Clock,
    config::checked::{Bind, Config, Listener, Proxy, State, Tls},
    manager::{Closing, Environment, Manager, STORE_DEADLINE, StartError},
    metrics::Metrics,
    name::{CredentialName, ListenerName, UpstreamName},
    proxy::{ListenerContext, Router, RouterError, Stack, Target, stack},
    store::{self, Keys, Place, Portable, Retirement, StoreError, TokenStore},
    upstream::{self, Client, Exchange, Settings, SettingsError},
};

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
    /// The token managers.
    pub managers: Arc<BTreeMap<CredentialName, Manager>>,
    closing: Closing,
    retiring: Option<Retiring>,
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
        let retirement = retirement(&config);
        let mut program = Self::over(store.clone(), config, clock.clone())?;
        if let Some(retirement) = retirement {
            let retiring = async move { retirement.keep(&*store, &clock).await };
            program.retiring = Some(Retiring(tokio::spawn(retiring).abort_handle()));
        }
        Ok(program)
    }

    /// Builds it over this store, whatever the config says of one. Must be called within a runtime.
    ///
    /// # Errors
    /// Each [`AssembleError`] but those of opening a store.
    pub fn over(store: Arc<dyn TokenStore>, config: Config, clock: Clock) -> Result<Self, AssembleError> {
        let metrics = Arc::new(Metrics::new());
        let (environment, closing) = Environment::new(store, clock.clone(), metrics.clone());
        let managers = Arc::new(managers(&config, &environment)?);
        let targets = targets(&config)?;
        let mut listeners = Vec::new();
        for (name, listener) in config.listeners {
            let router = Router::new(&name, &listener, &config.routes, &targets, &managers)?;
            let stack = stack(ListenerContext {
                name: name.clone(),
                router: Arc::new(ArcSwap::from_pointee(router)),
                metrics: metrics.clone(),
                clock: clock.clone(),
            });
            listeners.push((listener, name, stack));
        }
        Ok(Self {
            listeners,
            probes: config.probes,
            admin: config.admin,
            metrics,
            managers,
            closing,
            retiring: None,
        })
    }

    /// Ends the managers' tasks once nothing is under way, and waits for as long as a token request and its saving
    /// may take: whether that came in time. To be called after the last request, for a spend outlives its caller.
    pub async fn shutdown(self) -> bool {
        let specs = self.managers.values().map(Manager::spec);
        let spend = specs.map(|spec| spec.policy.spend_deadline).max().unwrap_or_default();
        // The check before it and the commit after it.
        self.closing.finish(spend + 2 * STORE_DEADLINE).await
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

/// What is forgotten: subjects that sign in again without a person when they come back.
fn retirement(config: &Config) -> Option<Retirement> {
    let alone = config.credentials.iter().filter(|(_, it)| it.spec.signs_in_alone());
    let names = alone.map(|(name, _)| name.clone());
    Some(Retirement::new(names, config.forget_after?))
}

fn managers(config: &Config, environment: &Environment) -> Result<BTreeMap<CredentialName, Manager>, AssembleError> {
    let mut managers = BTreeMap::new();
    for (name, credential) in &config.credentials {
        let settings = Settings {
            tls: tls(&credential.tls),
            proxy: credential.proxy.as_ref().map(proxy),
            ..Settings::default()
        };
        let exchange = Exchange::new(&settings).map_err(|source| AssembleError::Endpoint {
            credential: name.clone(),
            source,
        })?;
        let manager = Manager::start(credential.spec.clone(), exchange, environment.clone());
        let manager = manager.map_err(|source| AssembleError::Credential {
            credential: name.clone(),
            source,
        })?;
        managers.insert(name.clone(), manager);
    }
    Ok(managers)
}

fn targets(config: &Config) -> Result<BTreeMap<UpstreamName, Arc<Target>>, AssembleError> {
    let mut targets = BTreeMap::new();
    for (name, upstream) in &config.upstreams {
        let settings = Settings {
            tls: tls(&upstream.tls),
            proxy: upstream.proxy.as_ref().map(proxy),
            connect_timeout: upstream.connect_timeout,
            response_timeout: upstream.response_timeout,
        };
        let client = Client::new(&settings, &upstream.url.origin()).map_err(|source| AssembleError::Upstream {
            upstream: name.clone(),
            source,
        })?;
        let target = Target {
            name: name.clone(),
            base: upstream.url.clone(),
            host: client.host().clone(),
            client,
        };
        targets.insert(name.clone(), Arc::new(target));
    }
    Ok(targets)
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
