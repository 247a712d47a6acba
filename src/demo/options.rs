//! How the APIs are to run.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use super::PosRefresh;
use crate::clock::Clock;

/// How long access tokens live where nothing else is said: short, so that rotation is seen to happen.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(20);

/// How long a reply in two chunks pauses where nothing else is said.
pub const PAUSE: Duration = Duration::from_secs(10);
/// How long each byte of a dripping reply takes where nothing else is said: a short reply takes most of a minute.
pub const DRIP: Duration = Duration::from_millis(250);

/// The ports to listen on; 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Flow Retail's.
    pub flow_retail: u16,
    /// Fluent Commerce's.
    pub fluent: u16,
    /// The point of sale's.
    pub pos: u16,
    /// Flowlu's.
    pub flowlu: u16,
}

/// How the APIs are to run.
#[derive(Clone)]
pub struct Options {
    /// What tokens expire by.
    pub clock: Clock,
    /// How long access tokens live.
    pub token_lifetime: Duration,
    /// For how long a spent refresh token is accepted again, so that a lost reply loses nothing; zero is never.
    pub grace: Duration,
    /// The address to listen on.
    pub bind: IpAddr,
    /// The ports to listen on.
    pub ports: Ports,
    /// The name that clients reach them by; the certificate vouches for it.
    pub host: String,
    /// Whether to offer HTTP/2; without it only HTTP/1.1 is spoken.
    pub h2: bool,
    /// How POS wants its refresh token.
    pub pos_refresh: PosRefresh,
    /// How long each byte of a dripping reply takes.
    pub drip: Duration,
    /// How long a reply in two chunks pauses between them.
    pub pause: Duration,
    /// The refresh token of a Flow Retail device that is linked from the start; random where absent.
    pub device_seed: Option<String>,
    /// Whether to remember every token issued, for [`Api::issued`](super::Api::issued).
    pub keep_issued: bool,
    /// Where to write the authority's certificate.
    pub ca_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            token_lifetime: TOKEN_LIFETIME,
            grace: Duration::ZERO,
            bind: Ipv4Addr::LOCALHOST.into(),
            ports: Ports::default(),
            host: "localhost".into(),
            h2: true,
            pos_refresh: PosRefresh::default(),
            drip: DRIP,
            pause: PAUSE,
            device_seed: None,
            keep_issued: false,
            ca_file: None,
        }
    }
}
