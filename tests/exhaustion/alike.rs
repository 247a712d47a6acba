//! Which states are alike: those that differ in names and in the hour only, and in which process is which.

use std::hash::{Hash, Hasher};

use bearerd::credential::lifecycle::Step;

use crate::{
    canon::Canon,
    setup::millis,
    world::{Process, World},
};

impl World {
    /// What tells this state from others, whichever process is which.
    pub(crate) fn canonical(&self, phase: u8) -> u128 {
        let count = self.processes.len();
        let orders: &[&[usize]] = match count {
            1 => &[&[0]],
            2 => &[&[0, 1], &[1, 0]],
            _ => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
        };
        let hashes = orders.iter().map(|order| self.hash_in(order, phase));
        hashes.min().unwrap_or_default()
    }

    fn hash_in(&self, order: &[usize], phase: u8) -> u128 {
        let canon = &mut Canon::new(self.now);
        for process in order {
            let state = &self.processes[*process];
            let asks = match self.step(*process) {
                Step::Claim { id, .. } | Step::Seed { id, .. } => Some(id),
                _ => None,
            };
            let ids = [
                state.granted.map(|(id, _)| id),
                asks,
                state.login.as_ref().map(|login| login.id),
            ];
            canon.know(ids.into_iter().flatten().map(|id| id.0));
        }
        canon.write_u8(phase);
        self.store.record.hash(canon);
        for process in order {
            self.hash_process(&self.processes[*process], canon);
        }
        self.late.len().hash(canon);
        for token in &self.late {
            canon.token(*token);
        }
        self.hash_server(canon);
        canon.finish128()
    }

    fn hash_process(&self, process: &Process, canon: &mut Canon) {
        process.lifecycle.hash(canon);
        process.granted.hash(canon);
        process.lost.hash(canon);
        process.vouched.map(|until| until > self.now).hash(canon);
        process.vouched.iter().for_each(|until| canon.time(*until));
        process.in_hand.is_some().hash(canon);
        process.in_hand.iter().for_each(|token| canon.token(*token));
        (process.seen == self.store.record).hash(canon);
        process.login.hash(canon);
        process.mail.hash(canon);
    }

    fn hash_server(&self, canon: &mut Canon) {
        let mut families: Vec<usize> = Vec::new();
        let tokens = canon.tokens().to_vec();
        for token in tokens {
            let token = &self.server.tokens[token];
            let family = families
                .iter()
                .position(|known| *known == token.family)
                .unwrap_or_else(|| {
                    families.push(token.family);
                    families.len() - 1
                });
            family.hash(canon);
            (token.open, token.saved, token.spent_at.is_some()).hash(canon);
            if let (Some(spent), Some(grace)) = (token.spent_at, self.setup.grace) {
                canon.time(spent + millis(grace));
                self.is_recoverable(spent).hash(canon);
            }
        }
        for family in families {
            let family = &self.server.families[family];
            (family.by_hand, family.dead, family.residue).hash(canon);
        }
    }
}
