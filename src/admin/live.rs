//! The status page's live part: what is true now, sent to whoever watches (server-sent events, the HTML standard's §9.2).
//!
//! While somebody watches, one task looks at the program, tells everybody of changes, and samples the traffic. It ends
//! soon after the last watcher has gone; until the next one comes, nothing runs and nothing is kept. A watcher that
//! reads slowly misses what is old by then, and nobody waits for it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    status::{Moment, Status},
    traffic::{Counters, RouteSample},
    watched::Watched,
};

/// How many may watch at a time: each is a connection and a few kibibytes.
pub const MOST_WATCHERS: usize = 16;
/// Between two looks at the program: changes are told within half a second.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks make a beat, with a sample of the traffic: two seconds.
const LOOKS_A_BEAT: u32 = 4;
/// How many samples are kept: four minutes.
const MOST_SAMPLES: usize = 120;
/// So many looks at nobody end the task. A page that is loaded again finds its plots again.
const LOOKS_AT_NOBODY: u32 = 20;
/// How many frames may wait for a watcher: each look sends two at most.
const MOST_WAITING: usize = 4;
/// What a browser waits before it connects again, in the words of the stream.
const RETRY: &str = "retry: 1000\n\n";

/// Those who watch a program. Clones are the same.
pub(super) struct Live<W> {
    watched: Arc<W>,
    room: Arc<Mutex<Room>>,
    /// Becomes true, or loses its sender, when the listener ends.
    ending: Option<watch::Receiver<bool>>,
}

impl<W> Clone for Live<W> {
    fn clone(&self) -> Self {
        Self {
            watched: self.watched.clone(),
            room: self.room.clone(),
            ending: self.ending.clone(),
        }
    }
}

/// What is told, and to whom.
#[derive(Default)]
struct Room {
    watchers: Vec<Watcher>,
    /// What was last seen, and how often that changed.
    status: Option<Status>,
    version: u64,
    counters: Option<(u64, Counters)>,
    samples: VecDeque<Sample>,
    /// The number of the next sample.
    next: u64,
    is_running: bool,
}

struct Watcher {
    sender: mpsc::Sender<Bytes>,
    /// The version of the status that it has.
    version: Option<u64>,
    /// The next sample that it has not.
    next: u64,
}

/// What the routes did for a while.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    /// When it ended: milliseconds since the Unix epoch.
    at: u64,
    /// For how long, in milliseconds.
    span: u64,
    routes: Vec<RouteSample>,
}

/// A sign of life, and what the watcher has not seen of the traffic.
#[derive(Serialize)]
struct Beat<'a> {
    /// Milliseconds since the Unix epoch.
    now: u64,
    uptime_seconds: u64,
    /// How many requests each route has answered since the start.
    totals: std::collections::BTreeMap<&'a str, u64>,
    samples: Vec<&'a Sample>,
}

impl<W: Watched> Live<W> {
    pub(super) fn new(watched: Arc<W>) -> Self {
        Self {
            watched,
            room: Arc::default(),
            ending: None,
        }
    }

    /// Ends every stream when this becomes true, or its sender is gone.
    pub(super) fn until(self, ending: watch::Receiver<bool>) -> Self {
        Self {
            ending: Some(ending),
            ..self
        }
    }

    /// Another watcher, who is told at once what is true now; `None` where there are too many.
    pub(super) fn watch(&self) -> Option<Events> {
        let mut room = lock(&self.room);
        room.watchers.retain(|watcher| !watcher.sender.is_closed());
        if room.watchers.len() >= MOST_WATCHERS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        room.watchers.push(Watcher {
            sender,
            version: None,
            next: 0,
        });
        if !std::mem::replace(&mut room.is_running, true) {
            tokio::spawn(self.clone().run());
        }
        room.look(&*self.watched);
        if room.counters.is_none() {
            // What the first sample is counted from.
            room.sample(&*self.watched);
        }
        room.beat(&*self.watched);
        drop(room);
        Some(Events {
            receiver,
            greeting: Some(Bytes::from_static(RETRY.as_bytes())),
        })
    }

    /// Looks and tells until nobody has watched for a while, or the listener ends.
    async fn run(self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, and whoever has just come has been told.
        looks.tick().await;
        let (mut count, mut at_nobody) = (1, 0);
        let mut ending = self.ending.clone();
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = ended(&mut ending) => {
                    let mut room = lock(&self.room);
                    room.tell_end();
                    // Whoever comes now is told so at once.
                    *room = Room::default();
                    return;
                }
            }
            let mut room = lock(&self.room);
            room.watchers.retain(|watcher| !watcher.sender.is_closed());
            at_nobody = if room.watchers.is_empty() { at_nobody + 1 } else { 0 };
            if at_nobody >= LOOKS_AT_NOBODY {
                *room = Room::default();
                return;
            }
            if count % LOOKS_A_BEAT == 0 {
                room.sample(&*self.watched);
                room.beat(&*self.watched);
            }
            count += 1;
            if at_nobody == 0 {
                room.look(&*self.watched);
            }
        }
    }
}

impl Room {
    /// Tells those who don't know it how the program stands.
    fn look<W: Watched>(&mut self, watched: &W) {
        let status = watched.status();
        if self
            .status
            .as_ref()
            .is_none_or(|before| !says_the_same(before, &status))
        {
            self.version += 1;
            self.status = Some(status.clone());
        }
        let mut frame = None;
        for watcher in &mut self.watchers {
            if watcher.version == Some(self.version) {
                continue;
            }
            let frame = frame.get_or_insert_with(|| event("status", &status));
            if watcher.sender.try_send(frame.clone()).is_ok() {
                watcher.version = Some(self.version);
            }
        }
    }

    fn sample<W: Watched>(&mut self, watched: &W) {
        let now = watched.status().now.0;
        let counters = Counters::read(&watched.metrics_page());
        if let Some((before, was)) = self.counters.replace((now, counters.clone())) {
            if self.samples.len() == MOST_SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(Sample {
                at: now,
                span: now.saturating_sub(before),
                routes: counters.since(&was),
            });
            self.next += 1;
        }
    }

    /// A sign of life to everybody, with what each has not seen of the traffic.
    fn beat<W: Watched>(&mut self, watched: &W) {
        if self.watchers.is_empty() {
            return;
        }
        let status = watched.status();
        let first = self.next - self.samples.len() as u64;
        let totals = self.counters.as_ref().map(|(_, counters)| counters.totals());
        let totals = totals.unwrap_or_default();
        for watcher in &mut self.watchers {
            let seen = usize::try_from(watcher.next.saturating_sub(first)).unwrap_or(usize::MAX);
            let frame = event(
                "beat",
                &Beat {
                    now: status.now.0,
                    uptime_seconds: status.uptime_seconds,
                    totals: totals.clone(),
                    samples: self.samples.iter().skip(seen).collect(),
                },
            );
            if watcher.sender.try_send(frame).is_ok() {
                watcher.next = self.next;
            }
        }
    }

    fn tell_end(&self) {
        for watcher in &self.watchers {
            // One whose queue is full sees the stream's end.
            let _ = watcher.sender.try_send(Bytes::from_static(b"event: end\ndata: {}\n\n"));
        }
    }
}

/// Whether a watcher would learn nothing new: time goes by without being told.
fn says_the_same(one: &Status, other: &Status) -> bool {
    let timeless = |status: &Status| Status {
        now: Moment(0),
        uptime_seconds: 0,
        ..status.clone()
    };
    timeless(one) == timeless(other)
}

/// An event of the stream. JSON has no line ends but escaped ones.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ended(ending: &mut Option<watch::Receiver<bool>>) {
    match ending {
        // A sender that is gone has ended too.
        Some(ending) => drop(ending.wait_for(|ending| *ending).await),
        None => std::future::pending().await,
    }
}

/// A stream of events, as the body of an answer. It ends when there will be no more.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::Receiver<Bytes>,
    greeting: Option<Bytes>,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(greeting) = self.greeting.take() {
            return Poll::Ready(Some(Ok(Frame::data(greeting))));
        }
        let event = ready!(self.receiver.poll_recv(cx));
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}
