//! What is bound and served just now: the listeners, the probes and the admin listener.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::JoinSet;

use super::{
    super::{Failure, call::shown},
    Addresses,
    watching::Watching,
};
use crate::{
    admin::{Admin, Probes},
    assemble::Program,
    config::checked::{Access, Bind, Listener},
    name::ListenerName,
    proxy::{Connection, Stack},
    serve::{self, Bound, Drain, Switch},
};

/// Everything that accepts connections.
#[derive(Default)]
pub(super) struct Serving {
    listeners: BTreeMap<ListenerName, Open>,
    probes: Option<Open>,
    admin: Option<Open>,
    /// Handed over by systemd, for as long as the process lives.
    handed: Vec<Bound>,
    /// A task for each listener that is served or still has connections.
    proxies: JoinSet<()>,
    /// The same for the probes and the admin listener.
    watchers: JoinSet<()>,
}

/// An address in use.
struct Open {
    /// As the config has it.
    bind: Bind,
    bound: Bound,
    /// Dropped with it, which starts its drain.
    _switch: Switch,
}

/// What a plan needs bound, before anything is changed.
pub(super) struct Sockets {
    listeners: BTreeMap<ListenerName, Bound>,
    probes: Option<Bound>,
    admin: Option<Bound>,
}

impl Serving {
    pub(super) fn new(handed: Vec<Bound>) -> Self {
        Self {
            handed,
            ..Self::default()
        }
    }

    /// Binds what a plan adds. An address that is in use here already is handed on as it is, so that no connection
    /// to it is refused.
    pub(super) async fn bind<'a>(
        &self,
        added: impl Iterator<Item = (&'a ListenerName, &'a Listener)>,
        probes: Option<&Bind>,
        admin: Option<&Bind>,
    ) -> Result<Sockets, Failure> {
        let mut listeners = BTreeMap::new();
        for (name, listener) in added {
            listeners.insert(
                name.clone(),
                self.find(name.as_str(), &listener.bind, listener.access).await?,
            );
        }
        let mut others = [None, None];
        let wanted = [("probes", probes, &self.probes), ("admin", admin, &self.admin)];
        for (socket, (name, bind, open)) in others.iter_mut().zip(wanted) {
            if let Some(bind) = bind.filter(|bind| open.as_ref().is_none_or(|open| open.bind != **bind)) {
                *socket = Some(self.find(name, bind, Access::default()).await?);
            }
        }
        let [probes, admin] = others;
        Ok(Sockets {
            listeners,
            probes,
            admin,
        })
    }

    async fn find(&self, name: &str, bind: &Bind, access: Access) -> Result<Bound, Failure> {
        if let Some(handed) = self.handed.iter().find(|handed| handed.address() == bind) {
            return Ok(handed.clone());
        }
        let takes_any_port = matches!(bind, Bind::Tcp(address) if address.port() == 0);
        let mut open = self.listeners.values().chain(&self.probes).chain(&self.admin);
        // Any free port is one that nobody has yet; but a listener that stays keeps its own.
        let known = match takes_any_port {
            true => self
                .listeners
                .iter()
                .find(|(known, _)| known.as_str() == name)
                .map(|(_, open)| open),
            false => open.find(|open| open.bind == *bind),
        };
        if let Some(known) = known.filter(|known| known.bind == *bind) {
            return Ok(known.bound.clone());
        }
        let bound = Bound::bind_for(bind, access).await;
        bound.map_err(|error| Failure::Failed(format!("listener {name}: {error}")))
    }

    /// Says which of the sockets that were handed over nobody wants.
    pub(super) fn warn_of_unused(&self) {
        for handed in &self.handed {
            let mut open = self.listeners.values().chain(&self.probes).chain(&self.admin);
            if !open.any(|open| open.bind == *handed.address()) {
                let address = shown(handed.address());
                tracing::warn!(%address, "systemd handed over a socket that the config binds nothing to");
            }
        }
    }

    /// Ends these listeners: they accept no more, and answer what was asked.
    pub(super) fn end(&mut self, ended: &[ListenerName]) {
        for name in ended {
            if let Some(open) = self.listeners.remove(name) {
                tracing::info!(listener = %name, address = %shown(open.bound.address()), "no longer listening");
            }
        }
    }

    /// Lets others connect to these listeners than before.
    pub(super) fn reown(&self, reowned: &[(ListenerName, Access)]) {
        for (name, access) in reowned {
            if let Some(open) = self.listeners.get(name) {
                give(name, &open.bound, *access);
            }
        }
    }

    /// Serves what a plan added to this program.
    pub(super) fn serve(
        &mut self,
        stacks: Vec<(Listener, ListenerName, Stack)>,
        sockets: &mut Sockets,
        program: &Program,
    ) {
        for (listener, name, stack) in stacks {
            // Each was bound under its name.
            let Some(bound) = sockets.listeners.remove(&name) else {
                continue;
            };
            // It may have been handed on.
            give(&name, &bound, listener.access);
            tracing::info!(listener = %name, address = %shown(bound.address()), "listening");
            let options = serve::Options {
                title_case_headers: listener.title_case_headers,
                tls: program.acceptor(&name),
                ..serve::Options::default()
            };
            let (switch, drain) = Switch::new();
            let open = Open::new(listener.bind, &bound, switch);
            let services = move |connection| stack.of(connection);
            self.proxies.spawn(serve::serve(bound, services, options, drain));
            self.listeners.insert(name, open);
        }
    }

    /// Serves the probes and the admin listener where a plan puts them.
    pub(super) fn watch(
        &mut self,
        probes: Option<&Bind>,
        admin: Option<&Bind>,
        sockets: Sockets,
        watching: &Arc<Watching>,
    ) {
        let service = Probes::new(watching.clone());
        watch(&mut self.watchers, &mut self.probes, probes, sockets.probes, |_| {
            move |_| service.clone()
        });
        if let Some(bound) = &sockets.admin {
            tracing::info!(address = %shown(bound.address()), "the status page and the actions are here");
        }
        let services = |drain: &Drain| {
            let service = Admin::new(watching.clone()).until(drain.receiver());
            move |connection| service.of(&connection)
        };
        watch(&mut self.watchers, &mut self.admin, admin, sockets.admin, services);
    }

    /// Where everything listens.
    pub(super) fn addresses(&self) -> Addresses {
        let address = |open: &Open| open.bound.address().clone();
        Addresses {
            listeners: self
                .listeners
                .iter()
                .map(|(name, open)| (name.to_string(), address(open)))
                .collect(),
            probes: self.probes.as_ref().map(address),
            admin: self.admin.as_ref().map(address),
        }
    }

    /// Returns once a listener has ended, which is collected with it.
    pub(super) async fn collect(&mut self) {
        tokio::select! {
            Some(_) = self.proxies.join_next() => {}
            Some(_) = self.watchers.join_next() => {}
            else => std::future::pending().await,
        }
    }

    /// Ends every listener, and waits for the last connection.
    pub(super) async fn drain(&mut self) {
        self.handed.clear();
        self.listeners.clear();
        while self.proxies.join_next().await.is_some() {}
    }

    /// Cuts off the listeners' connections that are left.
    pub(super) async fn cut(&mut self) {
        self.proxies.shutdown().await;
    }

    /// Ends the probes and the admin listener, and waits for their last connection.
    pub(super) async fn drain_watchers(&mut self) {
        (self.probes, self.admin) = (None, None);
        while self.watchers.join_next().await.is_some() {}
    }
}

impl Open {
    fn new(bind: Bind, bound: &Bound, switch: Switch) -> Self {
        Self {
            bind,
            bound: bound.clone(),
            _switch: switch,
        }
    }
}

/// What can't be given is told: the socket was bound before, and is its owner's alone then.
fn give(name: &ListenerName, bound: &Bound, access: Access) {
    if let Err(error) = bound.set_access(access) {
        tracing::error!(
            listener = %name,
            %error,
            "the mode, owner or group of its socket can't be changed: restart bearerd, or set them back"
        );
    }
}

/// Serves one of the others from its new socket, if it has one; ends it where the config has it no more.
fn watch<M, S>(
    tasks: &mut JoinSet<()>,
    open: &mut Option<Open>,
    bind: Option<&Bind>,
    bound: Option<Bound>,
    services: impl FnOnce(&Drain) -> M,
) where
    M: Fn(Connection) -> S + Send + Sync + 'static,
    S: serve::Answers,
{
    match (bind, bound) {
        (None, _) => *open = None,
        (Some(_), None) => {}
        (Some(bind), Some(bound)) => {
            let (switch, drain) = Switch::new();
            *open = Some(Open::new(bind.clone(), &bound, switch));
            tasks.spawn(serve::serve(bound, services(&drain), serve::Options::default(), drain));
        }
    }
}
