//! What each event does to the machine: DESIGN §4, "A spend", "What may come back" and "The in-doubt rule".

use std::{sync::Arc, time::Duration};

use super::*;
use crate::credential::{
    record::State,
    reply::About,
    schedule::{self, back_off},
    spec::OnDoubt,
};

/// How often the store is asked whether another process's spend is done.
const LOOK_WHILE_YIELDING: Duration = Duration::from_millis(200);
/// How often the store is asked for a sign-in by hand while a person is needed.
const LOOK_WHILE_LOGIN_REQUIRED: Duration = Duration::from_secs(5);
/// After so many failed releases the lease is left to run out by itself.
const RELEASE_TRIES: u32 = 5;
/// A stored back-off binds a newly started process for this long at most: its operator may have mended the cause.
const STARTING_BACK_OFF: Duration = Duration::from_secs(60);
/// So many renewals within [`REJECTIONS_WINDOW`] are made because of rejections; more start a cooldown, whatever
/// was accepted in between (an API that rejects on one path only would be a treadmill).
const MOST_REJECTIONS: u32 = 5;
const REJECTIONS_WINDOW: Duration = Duration::from_secs(60);

/// The way to tokens.
enum Way {
    Refresh,
    SignIn,
    None,
}

impl Lifecycle {
    /// Takes in what happened; returns what is worth a log line.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Note> {
        let mut notes = Vec::new();
        match event {
            Event::Tick => {}
            Event::Wanted => self.wanted = true,
            Event::Used => self.used = true,
            Event::Forced => self.forced = true,
            Event::Rejected(position) => self.rejected(position, now, &mut notes),
            Event::Accepted(position) => self.accepted(position),
            Event::SignedIn(record) => {
                self.pause = None;
                self.cooldown = None;
                self.adopt(Some(record), now, &mut notes);
                if matches!(
                    self.phase,
                    Phase::Holding { .. } | Phase::Loading | Phase::Yielding { .. }
                ) {
                    self.phase = Phase::Resting;
                }
            }
            Event::Loaded(answer) => self.loaded(answer, now, &mut notes),
            Event::Seeded(answer) => self.seeded(answer, now, &mut notes),
            Event::Connected => self.connected(),
            Event::NeverLeft(why) => self.never_left(why, now, &mut notes),
            Event::Claimed(answer) => self.claimed(answer, now, &mut notes),
            Event::Checked(answer) => self.checked(answer, now, &mut notes),
            Event::Answered(outcome) => self.answered(outcome, now, &mut notes),
            Event::Committed(answer) => self.committed(answer, now, &mut notes),
            Event::Released(answer) => self.released(answer, now, &mut notes),
            Event::MarkedDead(answer) => self.marked_dead(answer, now, &mut notes),
        }
        self.settle(now, &mut notes);
        notes
    }

    /// Starts what is due.
    fn settle(&mut self, now: Now, notes: &mut Vec<Note>) {
        if self.is_usable(now) {
            self.wanted = false;
        }
        match &mut self.phase {
            Phase::Resting => {}
            Phase::Holding {
                spend,
                claim,
                until,
                renew,
                renewing,
            } => {
                let free = self.held.as_ref().is_some_and(|held| held.rejected)
                    || until.is_some_and(|until| until.has_passed(now));
                if free && !*renewing {
                    let mut spend = spend.clone();
                    spend.claim = Some(claim.clone());
                    notes.push(Note::Asking(spend.kind, spend.why));
                    self.phase = Phase::Connecting(spend);
                } else if renew.has_passed(now) {
                    *renewing = true;
                }
                return;
            }
            _ => return,
        }
        let Some(why) = self.need(now) else { return };
        let kind = match self.way() {
            Way::Refresh => Kind::Refresh,
            Way::SignIn => Kind::SignIn,
            Way::None => {
                self.forced = false;
                match self.look_again {
                    Some(look) if look.has_passed(now) => self.phase = Phase::Loading,
                    Some(_) => {}
                    None => self.look_again = Some(Deadline::after(now, LOOK_WHILE_LOGIN_REQUIRED)),
                }
                return;
            }
        };
        self.start(kind, why, notes);
    }

    fn start(&mut self, kind: Kind, why: Why, notes: &mut Vec<Note>) {
        self.forced = false;
        self.look_again = None;
        notes.push(Note::Asking(kind, why));
        let spend = Spend {
            kind,
            why,
            claim: None,
            in_doubt: false,
            losses: 0,
        };
        self.phase = if matches!(kind, Kind::Restore(_)) {
            self.claiming(spend)
        } else {
            Phase::Connecting(spend)
        };
    }

    /// Why tokens should be asked for now, if they should.
    fn need(&self, now: Now) -> Option<Why> {
        if self.forced {
            return Some(Why::Forced);
        }
        if self.pause.as_ref().is_some_and(|pause| !pause.until.has_passed(now)) {
            return None;
        }
        let Some(held) = &self.held else {
            return self.is_called_for().then_some(Why::None);
        };
        if !self.is_usable(now) {
            let why = match () {
                () if held.rejected => Why::Rejected,
                () if held.tokens.access.is_none() => Why::None,
                () => Why::Expired,
            };
            return self.is_called_for().then_some(why);
        }
        if self.keep_alive_at().is_some_and(|at| at.has_passed(now)) {
            return Some(Why::KeepAlive);
        }
        let due = self.renew_at().is_some_and(|at| at.has_passed(now));
        (due && (self.used || self.rules.policy.keep_alive)).then_some(Why::Expiring)
    }

    fn is_called_for(&self) -> bool {
        self.wanted || self.rules.policy.keep_alive || self.rules.policy.required
    }

    /// When the held tokens are renewed ahead of their expiry, if they are in use.
    pub fn renew_at(&self) -> Option<Deadline> {
        let held = self.held.as_ref()?;
        schedule::renew_at(
            &held.tokens,
            self.rules.policy.min_age,
            f64::from(self.rules.chance) / 1000.0,
        )
    }

    fn keep_alive_at(&self) -> Option<Deadline> {
        let policy = &self.rules.policy;
        let held = self.held.as_ref().filter(|held| !held.dead)?;
        (policy.keep_alive || policy.refresh_lifetime.is_some())
            .then(|| schedule::keep_alive_at(&held.tokens))
            .flatten()
    }

    fn way(&self) -> Way {
        match &self.held {
            Some(held)
                if self.rules.can_refresh
                    && held.tokens.refresh.is_some()
                    && !held.dead
                    && !(held.in_doubt && self.signs_in_on_doubt()) =>
            {
                Way::Refresh
            }
            _ if self.rules.can_sign_in => Way::SignIn,
            _ => Way::None,
        }
    }

    pub(super) fn has_way(&self) -> bool {
        !matches!(self.way(), Way::None)
    }

    /// When resting ends by itself.
    pub(super) fn wake(&self, now: Now) -> Option<Deadline> {
        let holding = match &self.phase {
            Phase::Holding { until, renew, .. } => [*until, Some(*renew)],
            _ => [None, None],
        };
        let held = self.held.as_ref();
        [
            self.pause.as_ref().map(|pause| pause.until),
            self.look_again,
            self.keep_alive_at(),
            self.renew_at(),
            held.and_then(|held| held.tokens.expires),
        ]
        .into_iter()
        .chain(holding)
        .flatten()
        .filter(|at| !at.has_passed(now))
        .min_by_key(|at| at.remaining(now))
    }

    fn pause(&mut self, severity: Severity, trouble: Trouble, retry_after: Option<Duration>, now: Now) -> BackOff {
        let failures = match &self.pause {
            Some(pause) if pause.severity == severity => pause.failures + 1,
            _ => 1,
        };
        let chance = f64::from(self.rules.chance) / 1000.0;
        let until = Deadline::after(now, back_off(severity, failures, retry_after, chance));
        // Who still waits says so again; nobody else's wish keeps a failing endpoint busy.
        self.wanted = false;
        self.pause = Some(Pause {
            until,
            failures,
            severity,
            trouble,
        });
        BackOff { until, failures }
    }

    fn store_failed(&mut self, fault: String, now: Now, notes: &mut Vec<Note>) {
        if self.store_failures == 0 {
            notes.push(Note::StoreTrouble(fault.clone()));
        }
        self.store_failures += 1;
        let wait = back_off(Severity::Trouble, self.store_failures, None, 0.0);
        self.again = Some(Deadline::after(now, wait));
        self.store_trouble = Some(fault);
    }

    fn store_answered(&mut self) {
        self.again = None;
        self.store_failures = 0;
        self.store_trouble = None;
    }

    fn rejected(&mut self, position: Position, now: Now, notes: &mut Vec<Note>) {
        let cooling = self
            .cooldown
            .as_ref()
            .is_some_and(|cooldown| !cooldown.until.has_passed(now));
        let has_way = self.has_way();
        let Some(held) = self
            .held
            .as_mut()
            .filter(|held| held.position == position && !held.rejected)
        else {
            return;
        };
        if cooling {
            return;
        }
        let burst = match &self.burst {
            Some((count, until)) if !until.has_passed(now) => (count + 1, *until),
            _ => (1, Deadline::after(now, REJECTIONS_WINDOW)),
        };
        if held.on_trial || burst.0 > MOST_REJECTIONS {
            held.on_trial = false;
            let before = self.cooldown.as_ref().filter(|cooldown| !cooldown.accepted);
            let failures = before.map_or(0, |cooldown| cooldown.failures) + 1;
            self.cooldown = Some(Cooldown {
                until: Deadline::after(now, back_off(Severity::Rejected, failures, None, 0.0)),
                failures,
                accepted: false,
            });
            notes.push(Note::Cooldown);
            return;
        }
        self.burst = Some(burst);
        held.rejected = true;
        // The rejection's own caller waits for what comes next, also where that is bad news.
        self.wanted = true;
        if !has_way {
            self.look_again
                .get_or_insert(Deadline::after(now, LOOK_WHILE_LOGIN_REQUIRED));
        }
    }

    fn accepted(&mut self, position: Position) {
        if let Some(held) = self.held.as_mut().filter(|held| held.position == position) {
            held.on_trial = false;
            if let Some(cooldown) = &mut self.cooldown {
                cooldown.accepted = true;
            }
        }
    }

    fn loaded(&mut self, answer: Result<Option<Box<Record>>, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let record = match answer {
            Ok(record) => record,
            Err(fault) => return self.store_failed(fault, now, notes),
        };
        self.store_answered();
        if let Phase::Yielding { until } = self.phase {
            let stands = record
                .as_ref()
                .is_some_and(|record| record.claim.is_some() && record.position == self.stored);
            if stands && !until.has_passed(now) {
                self.again = Some(Deadline::after(now, LOOK_WHILE_YIELDING));
                return;
            }
        } else if !matches!(self.phase, Phase::Loading) {
            return;
        }
        let unseen = self
            .rules
            .seed
            .as_ref()
            .is_some_and(|(hash, _)| record.as_ref().is_none_or(|record| !record.seeds.contains(hash)));
        self.look_again = None;
        self.phase = Phase::Resting;
        if unseen {
            let id = self.draw_id();
            self.phase = Phase::Seeding { id };
        } else {
            self.adopt(record, now, notes);
        }
    }

    fn seeded(&mut self, answer: Result<Seeded, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        match answer {
            Ok(Seeded::Replaced(record) | Seeded::Seen(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                self.adopt(Some(record), now, notes);
            }
            Err(fault) => self.store_failed(fault, now, notes),
        }
    }

    fn connected(&mut self) {
        if let Phase::Connecting(spend) = self.phase.clone() {
            self.phase = match spend.claim.clone() {
                Some(claim) => Phase::Checking(spend, claim),
                None => self.claiming(spend),
            };
        }
    }

    /// Claims with a fresh id, or with the one whose answer was lost.
    fn claiming(&mut self, spend: Spend) -> Phase {
        let (on, kind) = (self.stored, spend.kind);
        if spend.claim.is_none()
            && self
                .unanswered
                .is_none_or(|(_, was_on, was)| (was_on, was) != (on, kind))
        {
            self.unanswered = Some((self.draw_id(), on, kind));
        }
        Phase::Claiming(spend)
    }

    fn draw_id(&mut self) -> Id {
        let id = self.next_id;
        self.next_id = Id(id.0.wrapping_add(1));
        id
    }

    fn never_left(&mut self, why: String, now: Now, notes: &mut Vec<Note>) {
        notes.push(Note::NeverLeft(why.clone()));
        let back_off = self.pause(Severity::Trouble, Trouble::Unreachable(why), None, now);
        match self.phase.clone() {
            Phase::Connecting(spend) => match spend.claim.clone() {
                Some(claim) => self.hold(spend, claim, Some(back_off.until), now),
                None => self.phase = Phase::Resting,
            },
            Phase::Sending(spend, claim) if spend.in_doubt => self.hold(spend, claim, Some(back_off.until), now),
            Phase::Sending(_, claim) => self.release(claim, Some(back_off), false),
            _ => {}
        }
    }

    fn hold(&mut self, spend: Spend, claim: Claim, until: Option<Deadline>, now: Now) {
        self.phase = Phase::Holding {
            spend,
            claim,
            until,
            renew: Deadline::after(now, self.rules.policy.lease / 2),
            renewing: false,
        };
    }

    fn release(&mut self, claim: Claim, back_off: Option<BackOff>, in_doubt: bool) {
        self.phase = Phase::Releasing {
            claim,
            back_off,
            in_doubt,
            then_sign_in: None,
        };
    }

    fn claimed(&mut self, answer: Result<Claimed, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let spend = match self.phase.clone() {
            Phase::Claiming(spend) => spend,
            Phase::Holding {
                spend, claim, until, ..
            } => return self.lease_renewed(spend, claim, until, answer, now, notes),
            _ => return,
        };
        match answer {
            Ok(Claimed::Granted(claim)) => {
                self.store_answered();
                self.unanswered = None;
                match spend.kind {
                    Kind::Restore(_) => match &self.held {
                        Some(held) => {
                            let tokens = held.tokens.clone();
                            self.phase = Phase::Committing { spend, claim, tokens };
                        }
                        None => self.release(claim, None, false),
                    },
                    Kind::Refresh if claim.in_doubt && spend.claim.is_none() => {
                        notes.push(Note::TakenOver);
                        self.resolve_doubt(spend, claim, now, notes);
                    }
                    Kind::Refresh | Kind::SignIn => self.phase = Phase::Checking(spend, claim),
                }
            }
            Ok(Claimed::Held(remaining)) => {
                self.store_answered();
                self.unanswered = None;
                let until = Deadline::after(now, remaining);
                self.again = Some(Deadline::after(now, remaining.min(LOOK_WHILE_YIELDING)));
                self.phase = Phase::Yielding { until };
            }
            Ok(Claimed::Moved(record)) => {
                self.store_answered();
                self.unanswered = None;
                self.phase = Phase::Resting;
                self.adopt(Some(record), now, notes);
            }
            // No claim, no spend.
            Err(fault) => {
                notes.push(Note::StoreTrouble(fault.clone()));
                self.pause(Severity::Trouble, Trouble::Store(fault), None, now);
                self.phase = Phase::Resting;
            }
        }
    }

    fn lease_renewed(
        &mut self,
        spend: Spend,
        claim: Claim,
        until: Option<Deadline>,
        answer: Result<Claimed, StoreFault>,
        now: Now,
        notes: &mut Vec<Note>,
    ) {
        match answer {
            Ok(Claimed::Granted(_)) => self.hold(spend, claim, until, now),
            Ok(Claimed::Moved(record)) => {
                self.phase = Phase::Resting;
                self.adopt(Some(record), now, notes);
            }
            Ok(Claimed::Held(_)) => self.phase = Phase::Loading,
            Err(_) => {
                self.hold(spend, claim, until, now);
                if let Phase::Holding { renew, .. } = &mut self.phase {
                    *renew = Deadline::after(now, back_off(Severity::Trouble, 1, None, 0.0));
                }
            }
        }
    }

    fn checked(&mut self, answer: Result<Checked, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let Phase::Checking(spend, claim) = self.phase.clone() else {
            return;
        };
        match answer {
            // A person signed in meanwhile: what is held is not what was claimed.
            Ok(Checked::Standing(_)) if spend.kind == Kind::Refresh && self.position() != Some(claim.on) => {
                self.release(claim, None, spend.in_doubt);
            }
            Ok(Checked::Standing(_)) => self.phase = Phase::Sending(spend, claim),
            Ok(Checked::Moved(Some(record)))
                if record.claim.as_ref().is_some_and(|standing| standing.id == claim.id) =>
            {
                // It stands, for too short a time: asking again renews its lease.
                self.unanswered = None;
                self.phase = Phase::Claiming(Spend {
                    claim: Some(claim),
                    ..spend
                });
            }
            Ok(Checked::Moved(record)) => {
                self.phase = Phase::Resting;
                self.adopt(record, now, notes);
            }
            Err(fault) => {
                notes.push(Note::StoreTrouble(fault.clone()));
                let back_off = self.pause(Severity::Trouble, Trouble::Store(fault), None, now);
                if spend.in_doubt {
                    self.hold(spend, claim, Some(back_off.until), now);
                } else {
                    self.release(claim, None, false);
                }
            }
        }
    }

    fn answered(&mut self, outcome: Outcome, now: Now, notes: &mut Vec<Note>) {
        let Phase::Sending(mut spend, claim) = self.phase.clone() else {
            return;
        };
        match outcome {
            Outcome::Granted(tokens) => {
                let tokens = Arc::new(self.complete(tokens, spend.kind, now));
                self.phase = Phase::Committing { spend, claim, tokens };
            }
            Outcome::Refused(refusal) => {
                notes.push(Note::Refused(refusal.clone()));
                if spend.kind == Kind::Refresh && refusal.about == About::RefreshToken {
                    self.phase = Phase::MarkingDead { claim };
                    return;
                }
                let severity = match refusal.about {
                    About::Login => Severity::Login,
                    About::Rate => Severity::Trouble,
                    About::RefreshToken | About::Subject | About::Client | About::Request => Severity::Refused,
                };
                let retry_after = refusal.retry_after;
                let back_off = self.pause(severity, Trouble::Refused(refusal), retry_after, now);
                self.release(claim, Some(back_off), spend.in_doubt);
            }
            Outcome::Done => self.lost(&mut spend, claim, Lost::NoToken, now, notes),
            Outcome::Lost(lost) => self.lost(&mut spend, claim, lost, now, notes),
        }
    }

    fn lost(&mut self, spend: &mut Spend, claim: Claim, lost: Lost, now: Now, notes: &mut Vec<Note>) {
        notes.push(Note::InDoubt(lost.clone()));
        let back_off = self.pause(Severity::Trouble, Trouble::Lost(lost), None, now);
        if spend.kind == Kind::Refresh {
            spend.losses += 1;
            self.resolve_doubt(spend.clone(), claim, now, notes);
        } else {
            // A lost sign-in spends nothing.
            self.release(claim, Some(back_off), false);
        }
    }

    fn signs_in_on_doubt(&self) -> bool {
        let by_hand = self.held.as_ref().is_some_and(|held| held.origin == Origin::ByHand);
        self.rules.can_sign_in
            && match self.rules.policy.on_doubt {
                Some(OnDoubt::SignIn) => true,
                Some(OnDoubt::Retry) => false,
                None => !by_hand,
            }
    }

    /// The in-doubt rule: the refresh token of this claim's position was sent, and nobody knows what came of it.
    fn resolve_doubt(&mut self, mut spend: Spend, claim: Claim, now: Now, notes: &mut Vec<Note>) {
        spend.in_doubt = true;
        if let Some(held) = &mut self.held {
            held.in_doubt = true;
        }
        if self.signs_in_on_doubt() {
            self.phase = Phase::Releasing {
                claim,
                back_off: None,
                in_doubt: true,
                then_sign_in: Some(Why::InDoubt),
            };
            return;
        }
        let wait = self
            .pause
            .as_ref()
            .map(|pause| pause.until)
            .filter(|until| !until.has_passed(now));
        let old_token_lives = self.rules.policy.grace.is_none() && self.is_usable(now);
        if old_token_lives {
            // Not before the old access token has expired or been rejected: nothing is left to lose by then.
            let expires = self.held.as_ref().and_then(|held| held.tokens.expires);
            self.hold(spend, claim, expires, now);
        } else if let Some(until) = wait {
            self.hold(spend, claim, Some(until), now);
        } else {
            notes.push(Note::Asking(spend.kind, spend.why));
            self.phase = Phase::Checking(spend, claim);
        }
    }

    /// What a reply leaves unsaid.
    fn complete(&self, mut tokens: Tokens, kind: Kind, now: Now) -> Tokens {
        let policy = &self.rules.policy;
        if tokens.expires.is_none() {
            tokens.expires = policy.assume_lifetime.map(|lifetime| Deadline::after(now, lifetime));
        }
        if kind == Kind::Refresh
            && tokens.refresh.is_none()
            && !policy.single_use
            && let Some(held) = &self.held
        {
            tokens.refresh = held.tokens.refresh.clone();
        }
        if tokens.dies.is_none() && tokens.refresh.is_some() {
            tokens.dies = policy.refresh_lifetime.map(|lifetime| Deadline::after(now, lifetime));
        }
        tokens
    }

    fn committed(&mut self, answer: Result<Committed, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let Phase::Committing { spend, claim, tokens } = self.phase.clone() else {
            return;
        };
        let was_published = self.held.as_ref().is_some_and(|held| !held.saved);
        match answer {
            Ok(Committed::Saved(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                self.pause = None;
                let position = record.position;
                notes.push(match (was_published, spend.kind) {
                    (true, _) | (_, Kind::Restore(_)) => Note::Saved(position),
                    _ => Note::Obtained(position, spend.why),
                });
                let on_trial = match (was_published, &self.held) {
                    (true, Some(held)) => held.on_trial,
                    _ => spend.why == Why::Rejected,
                };
                let rejected = self
                    .held
                    .as_ref()
                    .is_some_and(|held| held.position == position && held.rejected);
                self.adopt(Some(record), now, &mut Vec::new());
                if let Some(held) = self.held.as_mut().filter(|held| held.position == position) {
                    held.on_trial = on_trial;
                    held.rejected = rejected;
                }
                if tokens.access.is_none() {
                    self.pause(Severity::Trouble, Trouble::NoAccessToken, None, now);
                }
            }
            Ok(Committed::Superseded(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                // Ours is void; whatever is saved is newer.
                if self.held.as_ref().is_some_and(|held| !held.saved) {
                    self.held = None;
                }
                self.adopt(Some(record), now, notes);
            }
            Err(fault) => {
                self.store_failures += 1;
                let wait = back_off(Severity::Trouble, self.store_failures, None, 0.0);
                self.again = Some(Deadline::after(now, wait));
                if !was_published && !matches!(spend.kind, Kind::Restore(_)) {
                    notes.push(Note::Unsaved(fault));
                    self.publish_unsaved(&spend, &claim, tokens);
                }
            }
        }
    }

    /// Law 3: after a spend, tokens that can't be saved are used all the same.
    fn publish_unsaved(&mut self, spend: &Spend, claim: &Claim, tokens: Arc<Tokens>) {
        let position = claim.brings();
        self.pause = None;
        self.used = false;
        self.held = Some(Held {
            position,
            origin: match (spend.kind, &self.held) {
                (Kind::Refresh, Some(held)) => held.origin,
                _ => Origin::SignIn,
            },
            tokens,
            dead: false,
            in_doubt: false,
            saved: false,
            rejected: false,
            on_trial: spend.why == Why::Rejected,
        });
    }

    fn released(&mut self, answer: Result<(), StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let Phase::Releasing { then_sign_in, .. } = self.phase.clone() else {
            return;
        };
        if answer.is_err() && self.store_failures < RELEASE_TRIES {
            self.store_failures += 1;
            self.again = Some(Deadline::after(
                now,
                back_off(Severity::Trouble, self.store_failures, None, 0.0),
            ));
            return;
        }
        self.store_answered();
        self.phase = Phase::Resting;
        if let Some(why) = then_sign_in {
            self.start(Kind::SignIn, why, notes);
        }
    }

    fn marked_dead(&mut self, answer: Result<MarkedDead, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        match answer {
            Ok(MarkedDead::Dead(record)) => {
                self.store_answered();
                self.pause = None;
                self.phase = Phase::Resting;
                notes.push(Note::Dead(record.position));
                self.adopt(Some(record), now, notes);
            }
            Ok(MarkedDead::Moved(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                self.adopt(record, now, notes);
            }
            Err(_) => {
                self.store_failures += 1;
                self.again = Some(Deadline::after(
                    now,
                    back_off(Severity::Trouble, self.store_failures, None, 0.0),
                ));
            }
        }
    }

    /// Takes over what the store has, unless this process holds something newer: then that is saved again.
    fn adopt(&mut self, record: Option<Box<Record>>, now: Now, notes: &mut Vec<Note>) {
        let is_first = self.held.is_none() && self.stored == Position::default();
        self.stored = record.as_ref().map_or(Position::default(), |record| record.position);
        if let Some(held) = &self.held
            && self.stored < held.position
        {
            if matches!(self.phase, Phase::Resting) {
                self.start(Kind::Restore(held.position), Why::Restore, notes);
            }
            return;
        }
        let Some(record) = record else { return };
        if let Some(back_off) = record.back_off.filter(|back_off| !back_off.until.has_passed(now))
            && self.pause.is_none()
        {
            let until = if is_first && back_off.until.remaining(now) > STARTING_BACK_OFF {
                Deadline::after(now, STARTING_BACK_OFF)
            } else {
                back_off.until
            };
            self.pause = Some(Pause {
                until,
                failures: back_off.failures,
                severity: Severity::Refused,
                trouble: Trouble::RefusedElsewhere,
            });
        }
        self.foreign = record.position.chain > 0 && record.fingerprint != self.rules.fingerprint;
        if self.foreign {
            notes.push(Note::Foreign(record.position));
            // What this process holds is its own; it ends with its access token.
            if let Some(held) = &mut self.held {
                held.dead = true;
            }
            return;
        }
        if record.position.chain == 0 {
            return;
        }
        let dead = record.state == State::Dead;
        match &mut self.held {
            Some(held) if held.position == record.position && *held.tokens == record.tokens => {
                held.dead = dead;
                held.saved = true;
                held.in_doubt = record.doubt;
            }
            _ => {
                notes.push(Note::Adopted(record.position));
                self.used = false;
                if record.back_off.is_none() {
                    self.pause = None;
                }
                self.held = Some(Held {
                    position: record.position,
                    origin: record.origin,
                    tokens: Arc::new(record.tokens),
                    dead,
                    in_doubt: record.doubt,
                    saved: true,
                    rejected: false,
                    on_trial: false,
                });
            }
        }
    }
}
