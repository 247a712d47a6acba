//! A store that ends or stops its own process at a verb.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use bearerd::{
    credential::{
        record::{BackOff, Checked, Claim, Claimed, Committed, Id, Kind, MarkedDead, Record, SeedHash, Seeded},
        spec::Fingerprint,
        token::Tokens,
    },
    store::{AskClaim, Key, Pending, TokenStore},
};
use rustix::process::{Signal, getpid, kill_process};

use crate::{
    point::{Edge, Point, Verb},
    process::tell,
};

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, until the test resumes it.
    Stop,
}

/// Where the process is to be hit, and whether it has claimed since it was told so.
#[derive(Debug)]
struct Armed {
    blow: Blow,
    point: Point,
    has_claimed: bool,
}

/// Wraps a store.
#[derive(Debug)]
pub(crate) struct Mined {
    store: Arc<dyn TokenStore>,
    armed: Mutex<Option<Armed>>,
    resumed: Mutex<Receiver<()>>,
}

impl Mined {
    /// The store, and what tells it that its process was resumed.
    pub(crate) fn over(store: Arc<dyn TokenStore>) -> (Arc<Self>, Sender<()>) {
        let (resume, resumed) = channel();
        let mined = Self {
            store,
            armed: Mutex::default(),
            resumed: Mutex::new(resumed),
        };
        (Arc::new(mined), resume)
    }

    /// Hits this process when it next comes to the point.
    pub(crate) fn arm(&self, blow: Blow, point: Point) {
        *self.armed.lock().unwrap() = Some(Armed {
            blow,
            point,
            has_claimed: false,
        });
    }

    fn pass(&self, edge: Edge, verb: Verb) {
        let blow = {
            let mut armed = self.armed.lock().unwrap();
            let Some(hit) = armed.as_mut() else { return };
            let verb = match verb {
                Verb::Load if hit.has_claimed => Verb::Read,
                other => other,
            };
            hit.has_claimed |= (edge, verb) == (Edge::After, Verb::Claim);
            if hit.point != Point::At(edge, verb) {
                return;
            }
            let blow = hit.blow;
            *armed = None;
            blow
        };
        match blow {
            Blow::Kill => {
                kill_process(getpid(), Signal::KILL).unwrap();
                loop {
                    thread::park();
                }
            }
            Blow::Stop => {
                let resumed = self.resumed.lock().unwrap();
                // What an earlier stop has left.
                while resumed.try_recv().is_ok() {}
                tell("stopping");
                kill_process(getpid(), Signal::STOP).unwrap();
                // The signal may reach another thread first; and whoever resumes the process has to say so, lest
                // this one runs on before it stands still.
                resumed.recv().unwrap();
            }
        }
    }

    fn around<'a, A: 'a>(&'a self, verb: Verb, pending: Pending<'a, A>) -> Pending<'a, A> {
        Box::pin(async move {
            self.pass(Edge::Before, verb);
            let answer = pending.await;
            if answer.is_ok() {
                self.pass(Edge::After, verb);
            }
            answer
        })
    }
}

fn verb_of(kind: Kind, spend: Verb, sign_in: Verb) -> Verb {
    match kind {
        Kind::SignIn => sign_in,
        _ => spend,
    }
}

impl TokenStore for Mined {
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>> {
        self.around(Verb::Load, self.store.load(key))
    }

    fn claim<'a>(&'a self, key: &'a Key, ask: AskClaim) -> Pending<'a, Claimed> {
        let verb = verb_of(ask.kind, Verb::Claim, Verb::ClaimSignIn);
        self.around(verb, self.store.claim(key, ask))
    }

    fn check<'a>(&'a self, key: &'a Key, claim: &'a Claim, at_least: Duration) -> Pending<'a, Checked> {
        let verb = verb_of(claim.kind, Verb::Check, Verb::CheckSignIn);
        self.around(verb, self.store.check(key, claim, at_least))
    }

    fn commit<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        tokens: &'a Tokens,
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Committed> {
        let verb = verb_of(claim.kind, Verb::Commit, Verb::CommitSignIn);
        self.around(verb, self.store.commit(key, claim, tokens, fingerprint))
    }

    fn release<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        back_off: Option<BackOff>,
        in_doubt: bool,
    ) -> Pending<'a, ()> {
        self.around(Verb::Release, self.store.release(key, claim, back_off, in_doubt))
    }

    fn mark_dead<'a>(&'a self, key: &'a Key, claim: &'a Claim) -> Pending<'a, MarkedDead> {
        self.around(Verb::MarkDead, self.store.mark_dead(key, claim))
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        tokens: &'a Tokens,
        seeds: &'a [SeedHash],
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Record> {
        self.store.replace(key, id, tokens, seeds, fingerprint)
    }

    fn seed<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        hash: SeedHash,
        tokens: &'a Tokens,
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Seeded> {
        self.around(Verb::Seed, self.store.seed(key, id, hash, tokens, fingerprint))
    }

    fn forget<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        self.store.forget(key)
    }

    fn subject_secret(&self) -> Pending<'_, [u8; 32]> {
        self.store.subject_secret()
    }

    fn is_durable(&self) -> bool {
        self.store.is_durable()
    }
}
