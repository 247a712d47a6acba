//! Telling everybody, once, that the end has begun.

use tokio::sync::watch;

/// Starts the end.
#[derive(Debug)]
pub struct Switch(watch::Sender<bool>);

/// Waits for the end to begin. Clones wait for the same one.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<bool>);

impl Switch {
    /// A switch, and what waits for it. Dropping the switch starts the end too.
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Drain(receiver))
    }

    /// Starts the end.
    pub fn start(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    /// Whether the end has begun.
    pub fn has_started(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns once the end has begun.
    pub async fn started(&mut self) {
        // An error means that the switch is gone, which is the end as well.
        let _ = self.0.wait_for(|started| *started).await;
    }
}
