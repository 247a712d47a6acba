//! The next config over the running one: what is the same goes on, with its tokens and its connections.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use secrecy::ExposeSecret;

use super::{AssembleError, Listening, Program, RouteLine, acceptor::acceptor, proxy, tls};
use crate::{
    clock::Clock,
    config::checked::{Access, Bind, Config, Credential, Listener, Route, Upstream},
    manager::Manager,
    metrics::Usage,
    name::{CredentialName, ListenerName, UpstreamName},
    proxy::{Limits, ListenerContext, Router, Stack, Target, stack},
    upstream::{Client, Exchange, Room, Settings},
};

/// For how long connections to a listener that has ended are served: a request may be on its way.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// What a config comes to over the running one. Dropped, it changes nothing.
pub struct Plan {
    /// Listeners that are to be bound and served, with what [`Program::follow`] makes of them.
    pub added: Vec<(ListenerName, Listener)>,
    /// Listeners whose serving ends: they are gone from the config, or among the added ones.
    pub ended: Vec<ListenerName>,
    /// Listeners that stay, and whose Unix sockets are for others than before.
    pub reowned: Vec<(ListenerName, Access)>,
    /// What changes, in words.
    pub change: Change,
    config: Config,
    /// Of the listeners that speak TLS and did not with these certificates.
    acceptors: BTreeMap<ListenerName, Arc<ServerConfig>>,
    targets: BTreeMap<UpstreamName, Arc<Target>>,
    /// Of the credentials that start anew; the others keep their managers.
    exchanges: BTreeMap<CredentialName, Exchange>,
}

impl Plan {
    /// The probes' address.
    pub fn probes(&self) -> Option<&Bind> {
        self.config.probes.as_ref()
    }

    /// The admin listener's address.
    pub fn admin(&self) -> Option<&Bind> {
        self.config.admin.as_ref()
    }
}

/// What a config changes over the running one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Credentials that are new or not what they were: they start over what the store holds for them.
    pub credentials: Vec<CredentialName>,
    /// Credentials that are gone.
    pub gone: Vec<CredentialName>,
    /// Upstreams that are new or not what they were: their connections are made anew.
    pub upstreams: Vec<UpstreamName>,
    /// Listeners that stay and have another certificate: new connections get it.
    pub certificates: Vec<ListenerName>,
    /// Whether the log is to be written otherwise, which takes a restart.
    pub log: bool,
    /// Whether traces are to go elsewhere, which takes one too.
    pub traces: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn names<N: fmt::Display>(names: &[N]) -> String {
            names.iter().map(N::to_string).collect::<Vec<_>>().join(", ")
        }
        let mut said = Vec::new();
        if !self.credentials.is_empty() {
            said.push(format!("credentials that start anew: {}", names(&self.credentials)));
        }
        if !self.gone.is_empty() {
            said.push(format!("credentials that are gone: {}", names(&self.gone)));
        }
        if !self.upstreams.is_empty() {
            said.push(format!(
                "upstreams that are connected to anew: {}",
                names(&self.upstreams)
            ));
        }
        if !self.certificates.is_empty() {
            said.push(format!(
                "listeners with another certificate: {}",
                names(&self.certificates)
            ));
        }
        if self.log {
            said.push("the settings under log take a restart".into());
        }
        if self.traces {
            said.push("the settings under traces take a restart".into());
        }
        match said.is_empty() {
            true => f.write_str("every credential and upstream is what it was"),
            false => f.write_str(&said.join("; ")),
        }
    }
}

impl Program {
    /// What this config comes to over the running one; everything is made that can fail, and nothing is changed.
    ///
    /// # Errors
    /// Each [`AssembleError`] but those of opening a store; [`AssembleError::Restart`] for another state.
    pub fn plan(&self, config: Config) -> Result<Plan, AssembleError> {
        let running = &self.running;
        let keys = |keys: &[secrecy::SecretString]| -> Vec<String> {
            keys.iter().map(|key| key.expose_secret().to_owned()).collect()
        };
        if config.state != running.state || keys(&config.state_keys) != keys(&running.state_keys) {
            return Err(AssembleError::Restart);
        }
        let mut change = Change {
            gone: missing(&running.credentials, &config.credentials),
            log: running.log.as_ref().is_some_and(|log| *log != config.log),
            traces: running.traces.as_ref().is_some_and(|traces| *traces != config.traces),
            ..Change::default()
        };
        let mut exchanges = BTreeMap::new();
        for (name, credential) in &config.credentials {
            if running
                .credentials
                .get(name)
                .is_some_and(|same| is_same(same, credential))
            {
                continue;
            }
            change.credentials.push(name.clone());
            exchanges.insert(name.clone(), exchange(name, credential)?);
        }
        let mut targets = BTreeMap::new();
        for (name, upstream) in &config.upstreams {
            let kept = running
                .upstreams
                .get(name)
                .filter(|(same, _)| leads_to_same(same, upstream));
            let target = match kept {
                Some((_, target)) => target.clone(),
                None => {
                    change.upstreams.push(name.clone());
                    Arc::new(target(name, upstream, &self.environment.clock)?)
                }
            };
            targets.insert(name.clone(), target);
        }
        let (mut added, mut reowned, mut acceptors) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (name, listener) in &config.listeners {
            let kept = running.listeners.get(name).map(|it| &it.listener);
            let kept = kept.filter(|kept| takes_the_same(kept, listener));
            match kept {
                None => added.push((name.clone(), listener.clone())),
                Some(kept) if kept.access != listener.access => reowned.push((name.clone(), listener.access)),
                Some(_) => {}
            }
            if kept.is_some_and(|kept| kept.tls == listener.tls) {
                continue;
            }
            let acceptor = acceptor(listener).map_err(|reason| AssembleError::Listener {
                listener: name.clone(),
                reason,
            })?;
            change
                .certificates
                .extend(acceptor.iter().filter(|_| kept.is_some()).map(|_| name.clone()));
            acceptors.extend(acceptor.map(|acceptor| (name.clone(), acceptor)));
        }
        let mut ended = missing(&running.listeners, &config.listeners);
        let replaced = added.iter().map(|(name, _)| name);
        ended.extend(replaced.filter(|name| running.listeners.contains_key(*name)).cloned());
        Ok(Plan {
            added,
            ended,
            reowned,
            acceptors,
            change,
            targets,
            exchanges,
            config,
        })
    }

    /// Puts a plan in its place, from one request to the next: the stacks of the listeners that it adds. Requests
    /// under way end as they began; managers that are not used any more end after their last request and spend.
    ///
    /// # Errors
    /// What [`Program::plan`] could not see; nothing is changed then. A config that was loaded meets none.
    pub fn follow(&mut self, plan: Plan) -> Result<Vec<(Listener, ListenerName, Stack)>, AssembleError> {
        let Plan {
            config,
            targets,
            mut exchanges,
            mut acceptors,
            ended,
            change,
            ..
        } = plan;
        let mut managers = BTreeMap::new();
        for (name, credential) in &config.credentials {
            let manager = match (exchanges.remove(name), self.managers.get(name)) {
                (None, Some(kept)) => kept.clone(),
                (None, None) => self.start(name, credential, exchange(name, credential)?)?,
                (Some(exchange), _) => self.start(name, credential, exchange)?,
            };
            managers.insert(name.clone(), manager);
        }
        let mut lines: Vec<_> = config.routes.iter().map(line).collect();
        lines.sort_by(|one, other| one.name.cmp(&other.name));
        let mut routers = Vec::new();
        for (name, listener) in config.listeners {
            let router = Router::new(&name, &listener, &config.routes, &targets, &managers)?;
            routers.push((name, listener, router));
        }

        // From here on nothing can fail.
        let running = &mut self.running;
        for name in &ended {
            if let Some(gone) = running.listeners.remove(name) {
                end(name.clone(), gone.router);
            }
        }
        let mut added = Vec::new();
        for (name, listener, router) in routers {
            let acceptor = acceptors.remove(&name);
            if let Some(known) = running.listeners.get_mut(&name) {
                known.router.store(Arc::new(router));
                known.listener = listener;
                if let Some((current, acceptor)) = known.acceptor.as_ref().zip(acceptor) {
                    current.store(acceptor);
                }
                continue;
            }
            let router = Arc::new(ArcSwap::from_pointee(router));
            let stack = stack(ListenerContext {
                name: name.clone(),
                router: router.clone(),
                metrics: self.metrics.clone(),
                clock: self.environment.clock.clone(),
            });
            let listening = Listening {
                listener: listener.clone(),
                router,
                acceptor: acceptor.map(|acceptor| Arc::new(ArcSwap::new(acceptor))),
            };
            running.listeners.insert(name.clone(), listening);
            added.push((listener, name, stack));
        }
        let spends = managers.values().map(|manager| manager.spec().policy.spend_deadline);
        running.longest_spend = running.longest_spend.max(spends.max().unwrap_or_default());
        running.credentials = config.credentials;
        // Each upstream has its target.
        let upstreams = config.upstreams.into_iter().zip(targets.into_values());
        running.upstreams = upstreams
            .map(|((name, upstream), target)| (name, (upstream, target)))
            .collect();
        self.metrics
            .upstreams(running.upstreams.iter().map(|(name, (_, target))| {
                let usage: Arc<dyn Usage> = Arc::new(target.client.clone());
                (name, usage)
            }));
        // The log is written as it was first said.
        running.log.get_or_insert(config.log);
        running.traces.get_or_insert(config.traces);
        self.probes = config.probes;
        self.admin = config.admin;
        self.managers = Arc::new(managers);
        self.current.replace(self.managers.clone());
        self.routes.store(Arc::new(lines));
        for name in &change.gone {
            self.metrics.forget(name);
        }
        self.forget_after(config.forget_after);
        Ok(added)
    }

    fn start(
        &self,
        name: &CredentialName,
        credential: &Credential,
        exchange: Exchange,
    ) -> Result<Manager, AssembleError> {
        let manager = Manager::start(credential.spec.clone(), exchange, self.environment.clone());
        manager.map_err(|source| AssembleError::Credential {
            credential: name.clone(),
            source,
        })
    }
}

/// Serves those who are connected to a listener that has ended for a moment more, and then nobody: a client that doesn't
/// go when it is told to could else go on for ever by the old rules, and its certificate may be of an authority that
/// counts no more.
fn end(name: ListenerName, router: Arc<ArcSwap<Router>>) {
    tokio::spawn(async move {
        tokio::time::sleep(LAST_REQUESTS).await;
        router.store(Arc::new(Router::over(name)));
    });
}

fn line(route: &Route) -> RouteLine {
    RouteLine {
        name: route.name.clone(),
        upstream: route.upstream.clone(),
        credential: route.credential.clone(),
    }
}

fn missing<N: Ord + Clone, A, B>(before: &BTreeMap<N, A>, after: &BTreeMap<N, B>) -> Vec<N> {
    before
        .keys()
        .filter(|name| !after.contains_key(*name))
        .cloned()
        .collect()
}

/// Whether a listener's connections can go on. Those whose certificates another authority vouched for can't, nor can
/// those that showed none where that is asked of everybody now.
fn takes_the_same(one: &Listener, other: &Listener) -> bool {
    let authorities = |listener: &Listener| listener.tls.as_ref().map(|tls| tls.client_ca.clone());
    (&one.bind, one.title_case_headers) == (&other.bind, other.title_case_headers)
        && authorities(one) == authorities(other)
        && one.requires_certificate() == other.requires_certificate()
}

/// Whether a credential asks for the same, in the same way: then its manager goes on.
fn is_same(one: &Credential, other: &Credential) -> bool {
    one.spec == other.spec && one.tls == other.tls && one.proxy == other.proxy
}

/// Whether the connections to an upstream can go on. Its credential is its routes' concern.
fn leads_to_same(one: &Upstream, other: &Upstream) -> bool {
    let timeouts = |upstream: &Upstream| (upstream.connect_timeout, upstream.response_timeout);
    (&one.url, &one.tls, &one.proxy) == (&other.url, &other.tls, &other.proxy)
        && timeouts(one) == timeouts(other)
        && (&one.limits, &one.retries) == (&other.limits, &other.retries)
}

fn exchange(name: &CredentialName, credential: &Credential) -> Result<Exchange, AssembleError> {
    let settings = Settings {
        tls: tls(&credential.tls),
        proxy: credential.proxy.as_ref().map(proxy),
        ..Settings::default()
    };
    Exchange::new(&settings).map_err(|source| AssembleError::Endpoint {
        credential: name.clone(),
        source,
    })
}

fn target(name: &UpstreamName, upstream: &Upstream, clock: &Clock) -> Result<Target, AssembleError> {
    let settings = Settings {
        tls: tls(&upstream.tls),
        proxy: upstream.proxy.as_ref().map(proxy),
        connect_timeout: upstream.connect_timeout,
        response_timeout: upstream.response_timeout,
        room: Room {
            concurrency: upstream.limits.concurrency,
            queue: upstream.limits.queue,
            queue_timeout: upstream.limits.queue_timeout,
        },
    };
    let client = Client::new(&settings, &upstream.url.origin()).map_err(|source| AssembleError::Upstream {
        upstream: name.clone(),
        source,
    })?;
    Ok(Target {
        name: name.clone(),
        base: upstream.url.clone(),
        host: client.host().clone(),
        limits: Limits::new(&upstream.limits, upstream.retries, clock),
        client,
    })
}

#[cfg(test)]
mod tests;
