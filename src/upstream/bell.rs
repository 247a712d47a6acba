//! A waker of one's own, for what is polled within a task that others wake too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use atomic_waker::AtomicWaker;

/// Rung by its waker, it wakes the task that listens, which then knows what for. The waker is the same for
/// its whole life, so that nothing has to register it anew.
#[derive(Debug, Default)]
pub struct Bell {
    has_rung: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    /// A bell, and what rings it.
    pub fn new() -> (Arc<Self>, Waker) {
        let bell = Arc::<Self>::default();
        let waker = Waker::from(bell.clone());
        (bell, waker)
    }

    /// Wakes this task from now on, in place of whichever was woken before.
    pub fn listen(&self, context: &Context<'_>) {
        self.task.register(context.waker());
    }

    /// Wakes nobody from now on.
    pub fn leave(&self) {
        self.task.take();
    }

    /// Whether it has rung since it was asked the last time. To miss nothing, listen first.
    pub fn has_rung(&self) -> bool {
        // Nearly always it has not, and looking costs less than taking.
        self.has_rung.load(Ordering::Relaxed) && self.has_rung.swap(false, Ordering::Acquire)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order, so that whoever has been woken sees it.
        self.has_rung.store(true, Ordering::Release);
        self.task.wake();
    }
}
