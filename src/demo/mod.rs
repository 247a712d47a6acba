//! Emulated vendor APIs, for `bearerd demo` and for tests.
//!
//! Four APIs run in this process, over TLS with an authority made at start, strict as their vendors' documents say:
//! a refresh token is good once, and sending it again revokes everything that grew from the same sign-in. Each
//! counts what it sees and can be told to [misbehave](Misbehaviour).
//!
//! ```no_run
//! # async fn demo() -> Result<(), bearerd::demo::DemoError> {
//! use bearerd::demo::{Apis, Misbehaviour, Options, Times};
//!
//! let apis = Apis::start(Options::default()).await?;
//! apis.fluent().misbehave(Misbehaviour::LostReply, Times::Next(1));
//! # Ok(())
//! # }
//! ```

mod api;
mod authority;
mod body;
mod ca;
mod count;
mod endpoint;
mod exchange;
pub mod flow_retail;
pub mod flowlu;
pub mod fluent;
pub mod idp;
mod mint;
mod misbehave;
mod options;
pub mod pos;
mod server;
mod walkthrough;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

pub use self::{
    api::Api,
    count::{Counts, Grant, Seen},
    misbehave::{HUGE, Misbehaviour, OVER_LONG, RETRY_AFTER_SECONDS, Times, UnknownMisbehaviour},
    options::{DRIP, Options, PAUSE, Ports, TOKEN_LIFETIME},
    pos::PosRefresh,
    walkthrough::{CurlLine, Places, config_yaml, curl_lines},
};
use self::{authority::Ledger, ca::Ca, count::Tally, endpoint::Endpoint, exchange::Vendor, misbehave::Plan};

/// The names that each API answers to, besides its address.
const NAMES: [&str; 5] = [
    "localhost",
    "flow.localhost",
    "fluent.localhost",
    "pos.localhost",
    "flowlu.localhost",
];

/// What can go wrong while the APIs start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Choose another address, or end what holds it.
    #[error("cannot listen on {address} for the emulated {api}: free the port, or choose another")]
    Bind {
        /// Which API.
        api: &'static str,
        /// Where it should have listened.
        address: SocketAddr,
        /// Why it can't.
        #[source]
        source: std::io::Error,
    },
    /// The host's name can't stand in a certificate.
    #[error("cannot make the certificates of the emulated APIs: check the host name they are to be reached by")]
    Certificate(#[from] rcgen::Error),
    /// The certificates don't serve.
    #[error("cannot set up TLS for the emulated APIs")]
    Tls(#[from] rustls::Error),
    /// Choose another file for the authority's certificate.
    #[error("cannot write the demo authority's certificate to {}: choose a file that can be written", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why it can't be written.
        #[source]
        source: std::io::Error,
    },
}

/// The running APIs; they end when this is dropped.
pub struct Apis {
    flow_retail: Api,
    fluent: Api,
    pos: Api,
    flowlu: Api,
    ca_pem: String,
    device_seed: String,
    pos_refresh: PosRefresh,
    /// Dropping the set ends its tasks.
    _serving: JoinSet<()>,
}

impl Apis {
    /// Binds all four, then serves them.
    pub async fn start(options: Options) -> Result<Self, DemoError> {
        let mut names: Vec<String> = NAMES.map(str::to_owned).into();
        names.extend([Ipv4Addr::LOCALHOST.to_string(), "::1".into()]);
        for further in [options.host.clone(), options.bind.to_string()] {
            if !names.contains(&further) {
                names.push(further);
            }
        }
        let ca = Ca::make(names.clone(), options.h2)?;
        if let Some(path) = &options.ca_file {
            let written = tokio::fs::write(path, &ca.pem).await;
            written.map_err(|source| DemoError::CaFile {
                path: path.clone(),
                source,
            })?;
        }
        let device_seed = options.device_seed.clone().unwrap_or_else(mint::long);
        let mut start = Start {
            options: &options,
            names,
            tls: TlsAcceptor::from(Arc::clone(&ca.server)),
            serving: JoinSet::new(),
        };
        let Ports {
            flow_retail,
            fluent,
            pos,
            flowlu,
        } = options.ports;
        let flow_retail = start.api("flow-retail", flow_retail, |ledger| {
            flow_retail::FlowRetail::new(ledger, &device_seed)
        });
        let flow_retail = flow_retail.await?;
        let fluent = start.api("fluent", fluent, fluent::Fluent::new).await?;
        let pos = start.api("pos", pos, |ledger| pos::Pos::new(ledger, options.pos_refresh));
        let pos = pos.await?;
        let flowlu = start.api("flowlu", flowlu, flowlu::Flowlu::new).await?;
        Ok(Self {
            flow_retail,
            fluent,
            pos,
            flowlu,
            ca_pem: ca.pem,
            device_seed,
            pos_refresh: options.pos_refresh,
            _serving: start.serving,
        })
    }

    /// The emulated Flow Retail.
    pub fn flow_retail(&self) -> &Api {
        &self.flow_retail
    }

    /// The emulated Fluent Commerce.
    pub fn fluent(&self) -> &Api {
        &self.fluent
    }

    /// The emulated point of sale.
    pub fn pos(&self) -> &Api {
        &self.pos
    }

    /// The emulated Flowlu.
    pub fn flowlu(&self) -> &Api {
        &self.flowlu
    }

    /// All four.
    pub fn all(&self) -> [&Api; 4] {
        [&self.flow_retail, &self.fluent, &self.pos, &self.flowlu]
    }

    /// The authority's certificate, for clients to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The refresh token of the Flow Retail device that was linked at the start: good once, like any other.
    pub fn device_seed(&self) -> &str {
        &self.device_seed
    }

    /// How POS wants its refresh token.
    pub fn pos_refresh(&self) -> PosRefresh {
        self.pos_refresh
    }
}

/// What the APIs have in common while they start.
struct Start<'a> {
    options: &'a Options,
    names: Vec<String>,
    tls: TlsAcceptor,
    serving: JoinSet<()>,
}

impl Start<'_> {
    async fn api<V: Vendor>(
        &mut self,
        name: &'static str,
        port: u16,
        vendor: impl FnOnce(Arc<Ledger>) -> V,
    ) -> Result<Api, DemoError> {
        let wanted = SocketAddr::new(self.options.bind, port);
        let fault = |source| DemoError::Bind {
            api: name,
            address: wanted,
            source,
        };
        let listener = TcpListener::bind(wanted).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let tally = Arc::new(Tally::default());
        let clock = self.options.clock.clone();
        let ledger = Ledger::new(clock.clone(), self.options.token_lifetime, Arc::clone(&tally));
        let ledger = ledger.with_grace(self.options.grace);
        let ledger = Arc::new(match self.options.keep_issued {
            true => ledger.keeping_issued(),
            false => ledger,
        });
        let authority = |name: &String| match name.parse() {
            Ok(ip) => SocketAddr::new(ip, address.port()).to_string(),
            Err(_) => format!("{}:{}", name.to_ascii_lowercase(), address.port()),
        };
        let endpoint = Arc::new(Endpoint {
            name,
            vendor: Box::new(vendor(Arc::clone(&ledger))),
            ledger,
            tally,
            plan: Plan::default(),
            refusals: Plan::default(),
            unreachable: AtomicBool::new(false),
            last_token: Mutex::default(),
            last_data: Mutex::default(),
            authorities: self.names.iter().map(authority).collect(),
            clock,
            drip: self.options.drip,
            pause: self.options.pause,
        });
        let serving = server::serve(listener, self.tls.clone(), Arc::clone(&endpoint));
        self.serving.spawn(serving);
        Ok(Api {
            base_url: format!("https://{}", authority(&self.options.host)),
            address,
            endpoint,
        })
    }
}
