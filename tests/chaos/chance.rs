//! Chance that can be had again: `BEARERD_CHAOS_SEED` is the number that a run has printed.

use bearerd::store::random_id;

/// A sequence of numbers that look random (xorshift64*, Vigna 2016).
pub(crate) struct Chance(u64);

impl Chance {
    /// A fresh one, or the one that somebody asks for; prints its seed.
    #[expect(clippy::print_stdout, reason = "shown with --nocapture, or when the test fails")]
    pub(crate) fn new() -> Self {
        let asked = std::env::var("BEARERD_CHAOS_SEED").ok();
        let asked = asked.map(|seed| seed.parse().expect("BEARERD_CHAOS_SEED is a number"));
        let seed: u64 = asked.unwrap_or_else(|| random_id().unwrap().0 as u64).max(1);
        println!("BEARERD_CHAOS_SEED={seed}");
        Self(seed)
    }

    /// One of so many, from 0.
    pub(crate) fn one_of(&mut self, many: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % many
    }
}
