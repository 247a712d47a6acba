//! A store that is hit at a verb: it ends or stops its own process, is cut off, or is slow.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use bearerd::{
    credential::{
        record::{
            BackOff, Checked, Claim, Claimed, Committed, Id, Kind, Lineage, MarkedDead, Record, SeedHash, Seeded,
        },
        spec::Fingerprint,
        token::Tokens,
    },
    store::{AskClaim, Key, Pending, StoreError, TokenStore},
};
use rustix::process::{Signal, getpid, kill_process};

use crate::{
    blow::Blow,
    lane::lease,
    point::{Edge, Point, Verb},
    process::tell,
};

/// How much longer than a lease a slow verb, or its answer, takes.
const BEYOND: Duration = Duration::from_secs(1);

/// What a process tells when it is hit and lives.
pub(crate) const STRUCK: &str = "struck";

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
    is_cut_off: AtomicBool,
}

impl Mined {
    /// The store, and what tells it that its process was resumed.
    pub(crate) fn over(store: Arc<dyn TokenStore>) -> (Arc<Self>, Sender<()>) {
        let (resume, resumed) = channel();
        let mined = Self {
            store,
            armed: Mutex::default(),
            resumed: Mutex::new(resumed),
            is_cut_off: AtomicBool::new(false),
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

    /// The store can be reached again.
    pub(crate) fn mend(&self) {
        self.is_cut_off.store(false, Ordering::SeqCst);
    }

    /// What hits this process here.
    fn blow(&self, edge: Edge, verb: Verb) -> Option<Blow> {
        let mut armed = self.armed.lock().unwrap();
        let hit = armed.as_mut()?;
        let verb = match verb {
            Verb::Load if hit.has_claimed => Verb::Read,
            other => other,
        };
        hit.has_claimed |= (edge, verb) == (Edge::After, Verb::Claim);
        let is_here = hit.point == Point::At(edge, verb);
        armed.take_if(|_| is_here).map(|hit| hit.blow)
    }

    async fn pass(&self, edge: Edge, verb: Verb) -> Result<(), StoreError> {
        let Some(blow) = self.blow(edge, verb) else {
            return Ok(());
        };
        match blow {
            Blow::Kill => {
                kill_process(getpid(), Signal::KILL).unwrap();
                loop {
                    thread::park();
                }
            }
            Blow::Stop | Blow::Pause => {
                let resumed = self.resumed.lock().unwrap();
                // What an earlier stop has left.
                while resumed.try_recv().is_ok() {}
                tell(STRUCK);
                if blow == Blow::Stop {
                    kill_process(getpid(), Signal::STOP).unwrap();
                }
                // The signal may reach another thread first; and whoever resumes the process has to say so, lest
                // this one runs on before it stands still.
                resumed.recv().unwrap();
            }
            Blow::Cut => {
                self.is_cut_off.store(true, Ordering::SeqCst);
                tell(STRUCK);
                self.reach()?;
            }
            Blow::Delay => {
                tell(STRUCK);
                tokio::time::sleep(lease() + BEYOND).await;
            }
        }
        Ok(())
    }

    fn reach(&self) -> Result<(), StoreError> {
        match self.is_cut_off.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(StoreError {
                store: "chaos",
                verb: "be reached",
                reason: "it is cut off".into(),
            }),
        }
    }

    fn around<'a, A: Send + 'a>(&'a self, verb: Verb, pending: Pending<'a, A>) -> Pending<'a, A> {
        Box::pin(async move {
            self.reach()?;
            self.pass(Edge::Before, verb).await?;
            let answer = pending.await?;
            self.pass(Edge::After, verb).await?;
            // It may have been cut off while the verb was on its way.
            self.reach()?;
            Ok(answer)
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
        lineage: &'a Lineage,
    ) -> Pending<'a, Committed> {
        let verb = verb_of(claim.kind, Verb::Commit, Verb::CommitSignIn);
        self.around(verb, self.store.commit(key, claim, tokens, lineage))
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
