//! A waker of one's own, for what is polled within a task that others wake too.

use std::{
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, RawWakerVTable, Wake, Waker},
};

/// Rung by its [waker](Self::waker), it wakes the task that listens, which then knows what for. The waker is the same for
/// its whole life, so that nothing has to register it anew; and who listens is registered once, however often it rings.
#[derive(Debug)]
pub(super) struct Bell {
    rope: Arc<Rope>,
    waker: Waker,
    /// Which waker is in the rope, as [`Waker::will_wake`] tells them apart: looking there would mean to lock it.
    listener: Option<(usize, &'static RawWakerVTable)>,
}

/// What rings, from wherever.
#[derive(Debug, Default)]
struct Rope {
    has_rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Default for Bell {
    /// A bell that has not rung, and that nobody listens to.
    fn default() -> Self {
        let rope = Arc::<Rope>::default();
        Self {
            waker: Waker::from(rope.clone()),
            rope,
            listener: None,
        }
    }
}

impl Bell {
    /// What rings it.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Wakes this task from now on, in place of whichever was woken before.
    pub(super) fn listen(&mut self, context: &Context<'_>) {
        let task = context.waker();
        let is = |known: (usize, &_)| known.0 == task.data().addr() && ptr::eq(known.1, task.vtable());
        // The rope keeps the one that is there, so none that came later can be at its address.
        if !self.listener.is_some_and(is) {
            let kept = task.clone();
            self.listener = Some((kept.data().addr(), kept.vtable()));
            let _before = self.rope.task().replace(kept);
        }
    }

    /// Wakes nobody from now on.
    pub(super) fn leave(&mut self) {
        if self.listener.take().is_some() {
            let _before = self.rope.task().take();
        }
    }

    /// It counts as having rung; nobody is woken.
    pub(super) fn ring_silently(&self) {
        self.rope.has_rung.store(true, Ordering::Relaxed);
    }

    /// Whether it has rung since it was asked the last time. To miss nothing, listen first.
    pub(super) fn has_rung(&self) -> bool {
        // Nearly always it has not, and looking costs less than taking.
        self.rope.has_rung.load(Ordering::Relaxed) && self.rope.has_rung.swap(false, Ordering::Acquire)
    }
}

impl Rope {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        // What is done while it is held is done whole.
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // In this order, so that whoever has been woken sees it.
        self.has_rung.store(true, Ordering::Release);
        if let Some(task) = &*self.task() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_listened_last_is_woken_each_time_until_it_leaves() {
        let (one, other) = (Arc::<Task>::default(), Arc::<Task>::default());
        let mut bell = Bell::default();
        let woken = || (one.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed));
        let listen = |bell: &mut Bell, task: &Arc<Task>| bell.listen(&Context::from_waker(&task.clone().into()));
        bell.waker().wake_by_ref();
        assert!(bell.has_rung() && !bell.has_rung());

        listen(&mut bell, &one);
        bell.waker().wake_by_ref();
        bell.waker().wake_by_ref();
        assert_eq!(woken(), (2, 0));
        assert!(bell.has_rung());
        listen(&mut bell, &other);
        bell.waker().wake_by_ref();
        assert_eq!(woken(), (2, 1));
        listen(&mut bell, &one);
        bell.waker().wake_by_ref();
        assert_eq!(woken(), (3, 1));
        bell.leave();
        bell.waker().wake_by_ref();
        assert_eq!(woken(), (3, 1));
        assert_eq!(
            (Arc::strong_count(&one), Arc::strong_count(&other)),
            (1, 1),
            "nobody is kept"
        );
    }
}
