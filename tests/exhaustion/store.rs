//! The store: the transitions that every store runs, and around them the planted faults.

use std::sync::Arc;

use bearerd::{
    credential::{
        record::{
            BackOff, Checked, Claim, Claimed, Committed, Id, Lineage, MarkedDead, Record, SeedHash, Seeded, State,
        },
        token::Tokens,
    },
    store::{
        AskClaim,
        ledger::{self, Change, Ruling, StoreNow},
    },
};

use crate::setup::{LEASE, Planted, SPEND_DEADLINE, at, fingerprint};

#[derive(Clone)]
pub(crate) struct Store {
    pub record: Option<Arc<Record>>,
    pub planted: Option<Planted>,
}

fn store_now(now: u64) -> StoreNow {
    StoreNow::of_host(at(now))
}

impl Store {
    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    fn run<A>(&mut self, ruling: Ruling<A>) -> A {
        match ruling.change {
            Change::Keep => {}
            Change::Put(record) => self.record = Some(Arc::new(*record)),
            Change::Remove => self.record = None,
        }
        ruling.answer
    }

    pub(crate) fn claim(&mut self, mut ask: AskClaim, now: u64) -> Claimed {
        if self.has(Planted::NoClaim) {
            return Claimed::Granted(Claim {
                id: ask.id,
                on: ask.on,
                kind: ask.kind,
                attempt: 1,
                in_doubt: false,
            });
        }
        let asked = ask.on;
        if self.has(Planted::NoGenerationCheck)
            && let Some(record) = &self.record
        {
            ask.on = record.position;
        }
        match self.run(ledger::claim(self.record.as_deref(), &ask, store_now(now))) {
            Claimed::Granted(claim) => Claimed::Granted(Claim { on: asked, ..claim }),
            other => other,
        }
    }

    /// Whether the claim stands, in truth.
    pub(crate) fn check(&self, claim: &Claim, now: u64) -> Checked {
        ledger::check(self.record.as_deref(), claim, SPEND_DEADLINE, store_now(now)).answer
    }

    /// What a process is told of its claim.
    pub(crate) fn answer_check(&self, claim: &Claim, now: u64) -> Checked {
        if self.has(Planted::NoCheckBeforeSend) || self.has(Planted::NoClaim) {
            return Checked::Standing(LEASE);
        }
        self.check(claim, now)
    }

    pub(crate) fn commit(&mut self, claim: &Claim, tokens: &Tokens, lineage: &Lineage) -> Committed {
        self.run(ledger::commit(self.record.as_deref(), claim, tokens, lineage))
    }

    pub(crate) fn release(&mut self, claim: &Claim, back_off: Option<BackOff>, in_doubt: bool) {
        let before = self.record.clone();
        self.run(ledger::release(self.record.as_deref(), claim, back_off, in_doubt));
        if self.has(Planted::ReleaseForgetsDoubt) && self.record != before {
            self.mend(|record| record.doubt = false);
        }
    }

    pub(crate) fn mark_dead(&mut self, claim: &Claim) -> MarkedDead {
        if self.has(Planted::DeadWhateverStands)
            && let Some(record) = &self.record
        {
            let record = Record {
                state: State::Dead,
                claim: None,
                doubt: false,
                ..(**record).clone()
            };
            self.record = Some(Arc::new(record.clone()));
            return MarkedDead::Dead(Box::new(record));
        }
        self.run(ledger::mark_dead(self.record.as_deref(), claim))
    }

    pub(crate) fn replace(&mut self, id: Id, tokens: &Tokens, seeds: &[SeedHash]) -> Record {
        let before = self.record.clone();
        let record = self.run(ledger::replace(
            self.record.as_deref(),
            id,
            tokens,
            seeds,
            &fingerprint(),
        ));
        if self.has(Planted::ReplaceVoidsNothing)
            && let Some(before) = before
        {
            self.mend(|record| record.claim = before.claim.clone());
        }
        record
    }

    pub(crate) fn seed(&mut self, id: Id, hash: SeedHash, tokens: &Tokens) -> Seeded {
        self.run(ledger::seed(self.record.as_deref(), id, hash, tokens, &fingerprint()))
    }

    fn mend(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(Arc::make_mut(record));
        }
    }
}
