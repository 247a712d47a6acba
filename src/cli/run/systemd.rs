//! What systemd is told, and what it hands over; nothing where it isn't there (sd_notify(3), sd_listen_fds(3)).

use std::{net::TcpListener, os::unix::net::UnixListener, time::Duration};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::task::AbortHandle;

use crate::serve::{BindError, Bound};

/// Sockets that systemd has bound for this process (socket activation).
#[derive(Default)]
pub(super) struct Sockets {
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
}

impl Sockets {
    /// Those of this process; to be called once, before other threads are started, for it takes the variables out of
    /// the environment that speak of them.
    pub(super) fn take() -> Self {
        let mut handed = ListenFd::from_env();
        let mut sockets = Self::default();
        for nth in 0..handed.len() {
            // What is neither is left alone.
            if let Ok(Some(listener)) = handed.take_tcp_listener(nth) {
                sockets.tcp.push(listener);
            } else if let Ok(Some(listener)) = handed.take_unix_listener(nth) {
                sockets.unix.push(listener);
            }
        }
        sockets
    }

    /// As bound addresses. Must be called within the runtime.
    pub(super) fn bound(self) -> Result<Vec<Bound>, BindError> {
        let tcp = self.tcp.into_iter().map(Bound::of_tcp);
        tcp.chain(self.unix.into_iter().map(Bound::of_unix)).collect()
    }
}

/// The program serves, after its start and after each reload.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The config is being read again (`Type=notify-reload`).
pub(super) fn reloading() {
    // Without the time systemd doesn't take it for an answer to its own signal.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// The program is ending.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What is wrong, for `systemctl status`.
pub(super) fn status(text: &str) {
    // One line is all that it takes.
    tell(&[NotifyState::Status(text.lines().next().unwrap_or_default())]);
}

/// Tells the watchdog that the program is alive for as long as its runtime does anything, if there is one
/// (`WatchdogSec=`).
pub(super) fn watchdog() -> Option<AbortHandle> {
    let limit: Duration = sd_notify::watchdog_enabled()?;
    let telling = tokio::spawn(async move {
        // Half of it, as sd_watchdog_enabled(3) advises.
        let mut ticks = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    });
    Some(telling.abort_handle())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
