//! The verbs' decisions, each a pure transition of one record: what becomes of it, and what the caller is told.
//!
//! No IO and no clock: a store reads the record, runs the transition and writes what changed, all of it atomically.
//! Everything here can be hashed and compared, so that a model checker can walk through every history.

use std::{cmp::Ordering, time::Duration};

use crate::{
    clock::Now,
    credential::{
        record::{
            BackOff, Checked, Claim, Claimed, Committed, Id, Kind, Lease, Lineage, MarkedDead, Origin, Record,
            SeedHash, Seeded, Standing, State,
        },
        spec::Fingerprint,
        token::{Position, Tokens},
    },
    store::{AskClaim, Imported},
};

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

/// How many ids of sign-ins by hand and seedings a record remembers: one whose answer was lost asks again within
/// seconds, and nobody signs in sixteen times meanwhile.
const REMEMBERED: usize = 16;

/// The store's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreNow {
    /// In milliseconds.
    pub ms: u64,
    /// Which run of the clock: a boot id, or 0 for a clock that is never reset and counts since the Unix epoch.
    pub epoch: u64,
}

impl StoreNow {
    /// The clock of a store that serves one host: time since its boot, which no one can step.
    pub fn of_host(now: Now) -> Self {
        Self {
            ms: now.boot,
            epoch: now.boot_id,
        }
    }

    /// The time of day, where this clock tells it.
    fn wall(self) -> Option<u64> {
        (self.epoch == 0).then_some(self.ms)
    }

    fn lease(self, span: Duration) -> Lease {
        Lease {
            until: self.ms.saturating_add(span.as_millis().try_into().unwrap_or(u64::MAX)),
            epoch: self.epoch,
        }
    }

    /// What is left of a lease; `None` once it is over. One from before the clock's reset is over.
    fn left(self, lease: Lease) -> Option<Duration> {
        (lease.epoch == self.epoch && lease.until > self.ms).then(|| Duration::from_millis(lease.until - self.ms))
    }
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Nothing.
    Keep,
    /// This is saved in its place.
    Put(Box<Record>),
    /// It is removed.
    Remove,
}

/// What a verb does, and what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ruling<A> {
    /// What becomes of the record.
    pub change: Change,
    /// What the caller is told once that is durable.
    pub answer: A,
}

impl<A> Ruling<A> {
    fn keep(answer: A) -> Self {
        Self {
            change: Change::Keep,
            answer,
        }
    }

    fn put(record: Record, answer: impl FnOnce(Box<Record>) -> A) -> Self {
        let record = Box::new(record);
        Self {
            change: Change::Put(record.clone()),
            answer: answer(record),
        }
    }
}

/// Grants a claim where the record is at the position asked for and nobody else's stands.
pub fn claim(record: Option<&Record>, ask: &AskClaim, now: StoreNow) -> Ruling<Claimed> {
    let record = record.cloned().unwrap_or_else(|| Record::new(ask.fingerprint.clone()));
    let is_dead = record.state == State::Dead && ask.kind == Kind::Refresh;
    if is_dead || record.position != ask.on {
        return Ruling::keep(Claimed::Moved(Box::new(record)));
    }
    let lease = now.lease(ask.lease);
    let standing = match &record.claim {
        // Its holder asks again, for a longer lease or because the answer was lost: the claim is the one it was.
        Some(own) if own.id == ask.id => Standing { lease, ..own.clone() },
        Some(other) if let Some(left) = now.left(other.lease) => return Ruling::keep(Claimed::Held(left)),
        taken_over => Standing {
            id: ask.id,
            on: ask.on,
            kind: ask.kind,
            attempt: record.attempts.saturating_add(1),
            // Nobody knows what the holder of a lapsed lease has sent.
            in_doubt: record.doubt || taken_over.is_some(),
            lease,
        },
    };
    let granted = Claim {
        id: standing.id,
        on: standing.on,
        kind: standing.kind,
        attempt: standing.attempt,
        in_doubt: standing.in_doubt,
    };
    let record = Record {
        attempts: record.attempts.max(standing.attempt),
        claim: Some(standing),
        ..record
    };
    Ruling::put(record, |_| Claimed::Granted(granted))
}

/// Says whether the claim stands with at least `at_least` of its lease left.
pub fn check(record: Option<&Record>, claim: &Claim, at_least: Duration, now: StoreNow) -> Ruling<Checked> {
    let left = standing(record, claim)
        .and_then(|(_, standing)| now.left(standing.lease))
        .filter(|left| *left >= at_least);
    Ruling::keep(match left {
        Some(left) => Checked::Standing(left),
        None => Checked::Moved(record.cloned().map(Box::new)),
    })
}

/// Saves what the claim brought, unless something newer is saved. Whether the claim still stands doesn't matter: a
/// late reply that nobody's later reply outranks is worth more than what it replaces.
pub fn commit(record: Option<&Record>, claim: &Claim, tokens: &Tokens, lineage: &Lineage) -> Ruling<Committed> {
    let record = record.cloned().unwrap_or_else(|| Record {
        position: claim.on,
        origin: if claim.on.chain == 0 {
            Origin::None
        } else {
            lineage.origin
        },
        ..Record::new(lineage.fingerprint.clone())
    });
    let Position { chain, generation } = claim.on;
    let (target, origin) = match claim.kind {
        Kind::Refresh => {
            let generation = generation.saturating_add(1);
            (Position { chain, generation }, record.origin)
        }
        Kind::SignIn => (first_of(chain.saturating_add(1)), Origin::SignIn),
        Kind::Restore(held) if held.chain == record.position.chain => (held, record.origin),
        Kind::Restore(held) => (held, lineage.origin),
    };
    let is_there = record.position == target;
    if is_there && record.tokens == *tokens {
        return Ruling::keep(Committed::Saved(Box::new(record)));
    }
    let is_its_own = is_there && (record.saved_by, record.attempt) == (Some(claim.id), claim.attempt);
    let is_outranked = match claim.kind {
        // What is saved at that position came from a reply; what a process merely held doesn't outrank it.
        Kind::Restore(_) => record.position >= target,
        Kind::Refresh | Kind::SignIn => (record.position, record.attempt) >= (target, claim.attempt),
    };
    if !is_its_own && (record.position.chain != chain || is_outranked) {
        return Ruling::keep(Committed::Superseded(Box::new(record)));
    }
    let mut record = record;
    see(&mut record.seeds, &lineage.seeds);
    let record = Record {
        attempt: claim.attempt,
        // Claims on this very position were granted before: their count goes on.
        attempts: if is_there { record.attempts } else { 0 },
        fingerprint: lineage.fingerprint.clone(),
        ..saved(record, target, origin, tokens, claim.id)
    };
    Ruling::put(record, Committed::Saved)
}

/// Ends the claim and keeps doubt: the one it was granted with, and the one its holder leaves. Does nothing when the
/// claim no longer stands. A wait that an earlier refusal asked for goes on where this release asks for none.
pub fn release(record: Option<&Record>, claim: &Claim, back_off: Option<BackOff>, in_doubt: bool) -> Ruling<()> {
    let Some((record, standing)) = standing(record, claim) else {
        return Ruling::keep(());
    };
    let record = Record {
        claim: None,
        doubt: record.doubt || standing.in_doubt || in_doubt,
        back_off: back_off.or(record.back_off),
        ..record.clone()
    };
    Ruling::put(record, |_| ())
}

/// Marks the chain dead and ends the claim, only while it stands. The refusal is a definite answer, so it ends doubt.
pub fn mark_dead(record: Option<&Record>, claim: &Claim) -> Ruling<MarkedDead> {
    match (standing(record, claim), record) {
        (Some((record, _)), _) => {
            let record = Record {
                state: State::Dead,
                claim: None,
                doubt: false,
                ..record.clone()
            };
            Ruling::put(record, MarkedDead::Dead)
        }
        // Asked again after a lost answer: the mark is there, and no later claim was granted that could have made it.
        (None, Some(record))
            if record.state == State::Dead && (record.position, record.attempts) == (claim.on, claim.attempt) =>
        {
            Ruling::keep(MarkedDead::Dead(Box::new(record.clone())))
        }
        (None, record) => Ruling::keep(MarkedDead::Moved(record.cloned().map(Box::new))),
    }
}

/// Starts a new chain with what a person's sign-in brought, unconditionally.
pub fn replace(
    record: Option<&Record>,
    id: Id,
    tokens: &Tokens,
    seeds: &[SeedHash],
    fingerprint: &Fingerprint,
) -> Ruling<Record> {
    let record = record.cloned().unwrap_or_else(|| Record::new(fingerprint.clone()));
    if record.begun_by.contains(&id) {
        return Ruling::keep(record);
    }
    let record = begun(record, id, Origin::ByHand, tokens, seeds, fingerprint);
    Ruling::put(record, |record| *record)
}

/// Starts a new chain with a seed that was never seen before.
pub fn seed(
    record: Option<&Record>,
    id: Id,
    hash: SeedHash,
    tokens: &Tokens,
    fingerprint: &Fingerprint,
) -> Ruling<Seeded> {
    let record = record.cloned().unwrap_or_else(|| Record::new(fingerprint.clone()));
    if record.begun_by.contains(&id) {
        return Ruling::keep(Seeded::Replaced(Box::new(record)));
    }
    if record.seeds.contains(&hash) {
        return Ruling::keep(Seeded::Seen(Box::new(record)));
    }
    let record = begun(record, id, Origin::Seed, tokens, &[hash], fingerprint);
    Ruling::put(record, Seeded::Replaced)
}

/// Removes the record of somebody who has never signed in, unless a claim stands: whoever holds it may be about to
/// save the first tokens.
pub fn forget(record: Option<&Record>) -> Ruling<()> {
    match record {
        Some(record) if record.position == Position::default() && record.claim.is_none() => Ruling {
            change: Change::Remove,
            answer: (),
        },
        _ => Ruling::keep(()),
    }
}

/// Whether nobody has used it since `before` (milliseconds since the Unix epoch), and a sign-in grant brings it back.
/// What is renewed while it is used has an expiry ahead; without one, nobody knows.
pub fn is_idle(record: &Record, before: u64) -> bool {
    let comes_back = matches!(record.origin, Origin::SignIn | Origin::None) && record.seeds.is_empty();
    let is_quiet = record.claim.is_none() && !record.doubt;
    let waits = record.back_off.is_some_and(|back_off| back_off.until.wall() >= before);
    let expires = record.tokens.expires.map(|expires| expires.wall());
    let has_expired = match (expires, &record.tokens.access) {
        (Some(expires), _) => expires < before,
        (None, Some(_)) => false,
        (None, None) => true,
    };
    comes_back && is_quiet && !waits && has_expired && record.tokens.obtained < before
}

/// Removes a record that still is as it was `seen`, idle; whether it was. Where the store's clock tells the time of
/// day, the record must be idle by that one too.
pub fn retire(record: Option<&Record>, seen: &Record, idle: Duration, now: StoreNow) -> Ruling<bool> {
    let idle = idle.as_millis().try_into().unwrap_or(u64::MAX);
    let agrees = now.wall().is_none_or(|wall| is_idle(seen, wall.saturating_sub(idle)));
    match record {
        Some(record) if record == seen && agrees => Ruling {
            change: Change::Remove,
            answer: true,
        },
        _ => Ruling::keep(false),
    }
}

/// Saves a record of another store as it is, unless what is here is newer. Where both hold the same tokens, what either
/// knows of them is kept: seeds, doubt, and that the other's claim may have sent something.
pub fn import(record: Option<&Record>, incoming: &Record) -> Ruling<Imported> {
    let Some(here) = record else {
        return Ruling::put(incoming.clone(), |_| Imported::Saved);
    };
    let mut merged = incoming.clone();
    see(&mut merged.seeds, &here.seeds);
    let reached = |record: &Record| (record.position, record.attempt);
    match reached(here).cmp(&reached(incoming)) {
        Ordering::Less => Ruling::put(merged, |_| Imported::Saved),
        Ordering::Greater => Ruling::keep(Imported::Newer(here.position)),
        Ordering::Equal if here.tokens == incoming.tokens => {
            merged.doubt |= here.doubt || here.claim.is_some();
            merged.attempts = here.attempts.max(incoming.attempts);
            if here.state == State::Dead {
                merged.state = State::Dead;
            }
            if merged == *here {
                return Ruling::keep(Imported::Same);
            }
            Ruling::put(merged, |_| Imported::Same)
        }
        Ordering::Equal => Ruling::keep(Imported::Other(here.position)),
    }
}

fn first_of(chain: u64) -> Position {
    Position { chain, generation: 1 }
}

/// Adds what was not seen before.
fn see(seen: &mut Vec<SeedHash>, seeds: &[SeedHash]) {
    for seed in seeds {
        if !seen.contains(seed) {
            seen.push(*seed);
        }
    }
}

/// The record and its standing claim, if that is this one. A lease that is over ends no claim; a takeover does. An id
/// that is asked with again after its claim has ended gets another attempt, so the id alone doesn't tell them apart.
fn standing<'a>(record: Option<&'a Record>, claim: &Claim) -> Option<(&'a Record, &'a Standing)> {
    let record = record?;
    let standing = record.claim.as_ref()?;
    ((standing.id, standing.attempt) == (claim.id, claim.attempt)).then_some((record, standing))
}

/// The record with new tokens: alive, out of doubt, and without any claim on what they replace.
fn saved(record: Record, position: Position, origin: Origin, tokens: &Tokens, id: Id) -> Record {
    Record {
        position,
        state: State::Live,
        origin,
        tokens: tokens.clone(),
        claim: None,
        saved_by: Some(id),
        doubt: false,
        back_off: None,
        ..record
    }
}

/// The record with a new chain that no claim asked for.
fn begun(
    mut record: Record,
    id: Id,
    origin: Origin,
    tokens: &Tokens,
    seeds: &[SeedHash],
    fingerprint: &Fingerprint,
) -> Record {
    see(&mut record.seeds, seeds);
    record.begun_by.push(id);
    if record.begun_by.len() > REMEMBERED {
        record.begun_by.remove(0);
    }
    let position = first_of(record.position.chain.saturating_add(1));
    Record {
        attempt: 0,
        attempts: 0,
        fingerprint: fingerprint.clone(),
        ..saved(record, position, origin, tokens, id)
    }
}
