//! Telling everybody, once, that the end has begun.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

/// Starts the end.
#[derive(Debug)]
pub struct Switch {
    sender: watch::Sender<bool>,
    started: Arc<AtomicBool>,
}

/// Waits for the end to begin. Clones wait for the same one.
#[derive(Debug, Clone)]
pub struct Drain {
    receiver: watch::Receiver<bool>,
    /// The same, for whoever looks at each answer: the channel takes a lock.
    started: Arc<AtomicBool>,
}

impl Switch {
    /// A switch, and what waits for it. Dropping the switch starts the end too.
    pub fn new() -> (Self, Drain) {
        let (sender, receiver) = watch::channel(false);
        let started = Arc::new(AtomicBool::new(false));
        let drain = Drain {
            receiver,
            started: started.clone(),
        };
        (Self { sender, started }, drain)
    }

    /// Starts the end.
    pub fn start(&self) {
        // In this order, so that whoever has been woken sees it.
        self.started.store(true, Ordering::Release);
        self.sender.send_replace(true);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.start();
    }
}

impl Drain {
    /// Whether the end has begun.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// True once the end has begun, or the sender is gone: for those who know nothing of this room.
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.receiver.clone()
    }

    /// Returns once the end has begun.
    pub async fn started(&mut self) {
        // An error means that the switch is gone, which is the end as well.
        let _ = self.receiver.wait_for(|started| *started).await;
    }
}
