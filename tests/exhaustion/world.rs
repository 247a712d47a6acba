//! A state of everything: processes, store, authorization server, requests under way; and how one act changes it.

use std::sync::Arc;

use bearerd::{
    credential::{
        lifecycle::{Event, Lifecycle, Offer, Step},
        record::{Claimed, Id, Kind, Lineage, Record},
        token::{Position, Tokens},
    },
    store::AskClaim,
};

use crate::{
    act::{Act, Fault, Meanwhile},
    laws::Broken,
    server::{self, Server},
    setup::{Begin, Budget, LEASE, LIFETIME, Planted, Setup, at, fingerprint, millis, seed_hash},
    store::Store,
};

#[derive(Clone)]
pub(crate) struct World {
    pub setup: Arc<Setup>,
    /// Milliseconds since the start.
    pub now: u64,
    pub store: Store,
    pub server: Arc<Server>,
    pub processes: Vec<Process>,
    /// Refreshes that were sent and that the server has not seen yet.
    pub late: Vec<usize>,
    pub left: Budget,
    /// Since when nothing has gone wrong, where nothing will any more.
    pub calm_since: Option<u64>,
    started: u32,
    logins: u32,
}

#[derive(Clone)]
pub(crate) struct Process {
    pub lifecycle: Arc<Lifecycle>,
    /// The claim that the store granted it last.
    pub granted: Option<(Id, u32)>,
    /// Until when the lease ran that its last check found standing.
    pub vouched: Option<u64>,
    /// A send under this claim was lost.
    pub lost: Option<Id>,
    /// A reply's token, until the store has answered.
    pub in_hand: Option<usize>,
    /// The record as it saw it last.
    pub seen: Option<Arc<Record>>,
    /// A person has signed in through it, and that is not saved yet.
    pub login: Option<Login>,
    /// A sign-in by hand was saved, and it hasn't heard of that yet.
    pub mail: Option<Arc<Record>>,
}

#[derive(Clone, Hash)]
pub(crate) struct Login {
    pub id: Id,
    pub tokens: Arc<Tokens>,
}

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        let setup = Arc::new(setup);
        let mut world = Self {
            now: 0,
            store: Store {
                record: None,
                planted: setup.planted,
            },
            server: Arc::default(),
            processes: Vec::new(),
            late: Vec::new(),
            left: setup.left,
            calm_since: None,
            started: 0,
            logins: 0,
            setup: setup.clone(),
        };
        match setup.begin {
            Begin::Nothing => {}
            Begin::ByHand => {
                let token = world.server_mut().sign_in(true);
                world.store.replace(world.login_id(), &server::reply(token, 0), &[]);
                world.server_mut().tokens[token].saved = true;
            }
            Begin::SignedIn => {
                let token = world.server_mut().sign_in(false);
                let ask = ask_claim(Id(1 << 119), Position::default(), Kind::SignIn);
                if let Claimed::Granted(claim) = world.store.claim(ask, 0) {
                    let lineage = Lineage::unknown(fingerprint());
                    world.store.commit(&claim, &server::reply(token, 0), &lineage);
                }
                world.server_mut().tokens[token].saved = true;
            }
            Begin::Seeds(seeds) => {
                for _ in 0..=seeds.iter().copied().max().unwrap_or(0) {
                    world.server_mut().sign_in(false);
                }
            }
        }
        for process in 0..setup.processes {
            let started = world.start(process);
            world.processes.push(started);
        }
        world
    }

    fn start(&mut self, process: usize) -> Process {
        self.started += 1;
        Process {
            lifecycle: Arc::new(Lifecycle::new(self.setup.rules(process, self.started))),
            granted: None,
            vouched: None,
            lost: None,
            in_hand: None,
            seen: None,
            login: None,
            mail: None,
        }
    }

    pub(crate) fn server_mut(&mut self) -> &mut Server {
        Arc::make_mut(&mut self.server)
    }

    fn login_id(&self) -> Id {
        Id((1 << 120) + u128::from(self.logins))
    }

    pub(crate) fn step(&self, process: usize) -> Step {
        self.processes[process].lifecycle.step(at(self.now))
    }

    pub(crate) fn offer(&self, process: usize) -> Offer {
        self.processes[process].lifecycle.offer(at(self.now))
    }

    /// Whether the store has something that this process hasn't seen.
    pub(crate) fn has_news(&self, process: usize) -> bool {
        self.processes[process].seen != self.store.record
    }

    /// Does one act, and says which law it broke.
    pub(crate) fn act(&mut self, act: Act) -> Result<(), Broken> {
        match act {
            Act::Step(process, fault, meanwhile) => {
                if fault != Fault::None {
                    self.left.faults -= 1;
                }
                let event = self.perform(process, fault)?;
                match meanwhile {
                    Meanwhile::Nothing => {}
                    Meanwhile::Reject => self.reject(process)?,
                    Meanwhile::Mail => self.mail(process)?,
                }
                self.tell(process, event)?;
            }
            Act::Crash(process) => {
                self.left.crashes -= 1;
                self.processes[process] = self.start(process);
            }
            Act::Reject(process) => self.reject(process)?,
            Act::Mail(process) => self.mail(process)?,
            Act::Jump(to) => {
                self.left.jumps = self.left.jumps.saturating_sub(1);
                self.jump(to)?;
            }
            Act::Arrive(index) => {
                let token = self.late.remove(index);
                let (now, grace) = (self.now, self.setup.grace);
                let answer = self.server_mut().refresh(token, now, grace);
                self.reused(token, answer, Some(now));
            }
            Act::Login(process) => {
                self.left.logins -= 1;
                self.logins += 1;
                let id = self.login_id();
                // As the manager does: any claim proves that the store can be written.
                let on = self
                    .store
                    .record
                    .as_ref()
                    .map(|record| record.position)
                    .unwrap_or_default();
                let ask = ask_claim(Id(id.0 | 1 << 60), on, Kind::SignIn);
                self.store.claim(ask, self.now);
                let token = self.server_mut().sign_in(true);
                let tokens = Arc::new(server::reply(token, self.now));
                self.processes[process].login = Some(Login { id, tokens });
            }
            Act::Save(process, fault) => {
                if fault != Fault::None {
                    self.left.faults -= 1;
                }
                self.save_login(process, fault)?;
            }
            Act::Revoke => {
                self.left.revocations -= 1;
                if let Some(family) = self.stored_family() {
                    let family = &mut self.server_mut().families[family];
                    (family.dead, family.residue) = (true, true);
                }
            }
        }
        self.holds()
    }

    /// Lets time go by; timers fire at once.
    pub(crate) fn jump(&mut self, to: u64) -> Result<(), Broken> {
        self.now = to;
        for process in 0..self.processes.len() {
            if !self.step(process).is_io() {
                self.tell(process, Event::Tick)?;
            }
        }
        Ok(())
    }

    fn reject(&mut self, process: usize) -> Result<(), Broken> {
        self.left.rejections -= 1;
        match self.processes[process].lifecycle.position() {
            Some(position) => self.tell(process, Event::Rejected(position)),
            None => Ok(()),
        }
    }

    pub(crate) fn mail(&mut self, process: usize) -> Result<(), Broken> {
        match self.processes[process].mail.take() {
            Some(record) => self.tell(process, Event::SignedIn(Box::new((*record).clone()))),
            None => Ok(()),
        }
    }

    pub(crate) fn save_login(&mut self, process: usize, fault: Fault) -> Result<(), Broken> {
        let Some(login) = self.processes[process].login.clone() else {
            return Ok(());
        };
        if fault == Fault::Before {
            return Ok(());
        }
        let seeds: Vec<_> = self.setup.seed(process).map(seed_hash).into_iter().collect();
        let before = self.store.record.clone();
        let record = self.store.replace(login.id, &login.tokens, &seeds);
        self.wrote(before.as_deref(), None)?;
        if fault == Fault::None {
            self.processes[process].login = None;
            self.processes[process].mail = Some(Arc::new(record));
        }
        Ok(())
    }

    /// Tells a process, and goes on with it where nobody else could notice.
    pub(crate) fn tell(&mut self, process: usize, event: Event) -> Result<(), Broken> {
        let now = at(self.now);
        let answered_commit = matches!(event, Event::Committed(Ok(_)));
        let state = &mut self.processes[process];
        let before = state.lifecycle.position();
        let lifecycle = Arc::make_mut(&mut state.lifecycle);
        lifecycle.handle(event, now);
        while self.left.faults == 0 && matches!(lifecycle.step(now), Step::Connect(_)) {
            lifecycle.handle(Event::Connected, now);
        }
        if answered_commit {
            state.in_hand = None;
        }
        let claim = self.store.record.as_ref().and_then(|record| record.claim.as_ref());
        let stands = claim.map(|claim| (claim.id, claim.attempt));
        // What is over makes no two states of one.
        if lifecycle.is_quiet() && state.granted != stands {
            (state.granted, state.lost, state.vouched) = (None, None, None);
        }
        let after = state.lifecycle.position();
        self.never_back(process, before, after)
    }

    /// The family of what is stored.
    pub(crate) fn stored_family(&self) -> Option<usize> {
        let token = server::number(&self.store.record.as_ref()?.tokens)?;
        Some(self.server.tokens[token].family)
    }

    /// When something may happen by itself, soonest first. Another look at a store that hasn't changed is none.
    pub(crate) fn deadlines(&self) -> Vec<u64> {
        let now = at(self.now);
        let mut deadlines: Vec<u64> = (0..self.processes.len())
            .filter_map(|process| {
                let Step::Rest(Some(until)) = self.step(process) else {
                    return None;
                };
                let left = millis(until.remaining(now));
                let looks = left <= 200 || (left <= 5_000 && self.needs_login(process));
                (left > 0 && (!looks || self.has_news(process))).then_some(self.now + left)
            })
            .collect();
        if let Some(claim) = self.store.record.as_ref().and_then(|record| record.claim.as_ref()) {
            deadlines.push(claim.lease.until.saturating_sub(at(0).boot));
        }
        if let Some(grace) = self.setup.grace {
            let spent = self.server.tokens.iter().filter(|token| token.open);
            deadlines.extend(spent.filter_map(|token| Some(token.spent_at? + millis(grace))));
        }
        deadlines.retain(|deadline| *deadline > self.now);
        deadlines.sort_unstable();
        deadlines.dedup();
        deadlines
    }

    pub(crate) fn needs_login(&self, process: usize) -> bool {
        matches!(self.offer(process), Offer::Refused(trouble, _) if trouble.needs_login())
    }

    /// When every access token that there is now has expired.
    pub(crate) fn all_expired(&self) -> u64 {
        self.now + millis(LIFETIME)
    }

    pub(crate) fn has(&self, planted: Planted) -> bool {
        self.setup.planted == Some(planted)
    }
}

pub(crate) fn ask_claim(id: Id, on: Position, kind: Kind) -> AskClaim {
    AskClaim {
        id,
        on,
        kind,
        lease: LEASE,
        fingerprint: fingerprint(),
    }
}
