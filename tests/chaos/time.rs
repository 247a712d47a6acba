//! Clocks that go on by themselves, and forward by a token's lifetime when the test says so.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use bearerd::clock::Clock;

/// How long something takes.
pub(crate) struct Stopwatch(Clock, Duration);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let clock = Clock::system();
        let start = clock.monotonic();
        Self(clock, start)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.monotonic() - self.1
    }
}

/// Where the clocks of a lane began, and how far they were set forward since: what a process that joins must know,
/// since leases in a file run on the clock that its processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Milliseconds since the Unix epoch.
    pub(crate) origin: u64,
    pub(crate) forward: Duration,
    /// How far the wall clocks were stepped, in milliseconds.
    pub(crate) stepped: i64,
}

impl Setting {
    pub(crate) fn now() -> Self {
        Self {
            origin: Clock::system().now().wall,
            forward: Duration::ZERO,
            stepped: 0,
        }
    }

    pub(crate) fn to_word(self) -> String {
        format!("{}:{}:{}", self.origin, self.forward.as_millis(), self.stepped)
    }

    pub(crate) fn of(word: &str) -> Option<Self> {
        let (origin, rest) = word.split_once(':')?;
        let (forward, stepped) = rest.split_once(':')?;
        Some(Self {
            origin: origin.parse().ok()?,
            forward: Duration::from_millis(forward.parse().ok()?),
            stepped: stepped.parse().ok()?,
        })
    }
}

/// How coarse the clock is: far less than anything that is measured with it.
const TICK: Duration = Duration::from_millis(5);

/// A clock of a process, which ticks.
#[derive(Clone)]
pub(crate) struct Ticking {
    pub(crate) clock: Clock,
    setting: Arc<Mutex<Setting>>,
    /// How far it has gone.
    shown: Arc<Mutex<Duration>>,
}

impl Ticking {
    pub(crate) fn start(setting: Setting) -> Self {
        let ticking = Self {
            clock: Clock::manual(),
            setting: Arc::new(Mutex::new(setting)),
            shown: Arc::default(),
        };
        ticking.clock.step(setting.stepped);
        ticking.tick();
        let ticks = ticking.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                ticks.tick();
            }
        });
        ticking
    }

    pub(crate) fn forward(&self, span: Duration) {
        self.setting.lock().unwrap().forward += span;
        self.tick();
    }

    /// Steps the wall clock alone.
    pub(crate) fn step(&self, millis: i64) {
        self.clock.step(millis);
    }

    fn tick(&self) {
        let setting = *self.setting.lock().unwrap();
        let mut shown = self.shown.lock().unwrap();
        let elapsed = Clock::system().now().wall.saturating_sub(setting.origin);
        let to_show = Duration::from_millis(elapsed) + setting.forward;
        self.clock.advance(to_show.saturating_sub(*shown));
        *shown = to_show.max(*shown);
    }
}
