//! A hash of what matters of a state: names don't, and neither does the hour.
//!
//! Tokens count in the order in which they are met, ids as what they are the name of, times from now on, and what is
//! over is over. So a history that was only shifted or renamed is seen for what it is: the same.

#[cfg(test)]
use std::hash::Hash as _;
use std::hash::Hasher;

use crate::setup::{BOOT, WALL, token_number};

/// Times of the model are this far from its start at most, in milliseconds.
const SPAN: u64 = 1 << 32;

pub(crate) struct Canon {
    now: u64,
    lanes: [u64; 2],
    ids: Vec<u128>,
    tokens: Vec<usize>,
}

impl Canon {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            now,
            lanes: [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03],
            ids: Vec::with_capacity(8),
            tokens: Vec::with_capacity(8),
        }
    }

    /// These ids somebody may still ask with; all others are strangers, each as good as the other.
    pub(crate) fn know(&mut self, ids: impl IntoIterator<Item = u128>) {
        self.ids.extend(ids);
    }

    pub(crate) fn finish128(&self) -> u128 {
        (u128::from(self.lanes[0]) << 64) | u128::from(self.lanes[1])
    }

    /// The tokens that were met, in that order.
    pub(crate) fn tokens(&self) -> &[usize] {
        &self.tokens
    }

    pub(crate) fn token(&mut self, number: usize) {
        let index = self
            .tokens
            .iter()
            .position(|known| *known == number)
            .unwrap_or_else(|| {
                self.tokens.push(number);
                self.tokens.len() - 1
            });
        self.mix(0x7000 + index as u64);
    }

    /// Milliseconds since the model's start.
    pub(crate) fn time(&mut self, at: u64) {
        self.mix(at.saturating_sub(self.now));
    }

    fn mix(&mut self, value: u64) {
        const KEYS: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];
        for (lane, key) in self.lanes.iter_mut().zip(KEYS) {
            let product = u128::from(*lane ^ value.wrapping_mul(0x9fb2_1c65_1e98_df25)) * u128::from(key);
            *lane = (product as u64) ^ ((product >> 64) as u64).rotate_left(7);
        }
    }
}

impl Hasher for Canon {
    fn finish(&self) -> u64 {
        self.lanes[0]
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(number) = token_number(bytes) {
            return self.token(number);
        }
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        match [WALL, BOOT]
            .into_iter()
            .find(|start| (*start..*start + SPAN).contains(&value))
        {
            Some(start) => self.time(value - start),
            None => self.mix(value),
        }
    }

    fn write_u128(&mut self, id: u128) {
        let index = self.ids.iter().position(|known| *known == id);
        self.mix(index.map_or(0x1dff, |index| 0x1d00 + index as u64));
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }
}

#[test]
fn what_was_shifted_and_renamed_is_the_same() {
    use bearerd::{clock::Deadline, credential::record::Id};
    use std::time::Duration;

    let at = |now: u64, ids: [u128; 2], token: usize| {
        let mut canon = Canon::new(now);
        canon.know([ids[0]]);
        Deadline::after(crate::setup::at(now), Duration::from_secs(5)).hash(&mut canon);
        ids.map(Id).hash(&mut canon);
        crate::setup::token_text(token).hash(&mut canon);
        canon.finish128()
    };
    assert_eq!(at(0, [7, 8], 1), at(9_000, [70, 30], 5));
    assert_ne!(at(0, [7, 8], 1), at(0, [7, 7], 1));
}
