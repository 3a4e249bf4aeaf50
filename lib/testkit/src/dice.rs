//! Numbers to choose with, the same everywhere for the same seed, and what a run is told by its environment.
//!
//! Whoever rolls dice prints the seed first: `VENEER_SEED` repeats the run.

use std::time::{SystemTime, UNIX_EPOCH};

/// splitmix64: any seed is as good as any other.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `sides`, or 0.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.any() % sides.max(1)
    }

    /// The same for lengths and places.
    pub fn below(&mut self, end: usize) -> usize {
        self.roll(end as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    /// One of these; none where there are none.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        among.get(self.below(among.len()))
    }

    /// One of these, of which there must be some.
    pub fn of<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())].clone()
    }

    /// Bytes of which no two pages are alike.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.any().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// The seed of this run: `VENEER_SEED`, or one from the clock.
pub fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
    number("VENEER_SEED").unwrap_or(now % 1_000_000_000)
}

/// A number in the environment.
pub fn number(name: &str) -> Option<u64> {
    let said = std::env::var(name).ok()?;
    Some(said.parse().unwrap_or_else(|_| panic!("{name}={said}: not a number")))
}

/// A line for whoever watches; the harness shows it with --nocapture and on failure.
pub fn say(line: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_seed_others() {
        let rolled = |seed| {
            let mut dice = Dice::new(seed);
            (0..20).map(|_| dice.roll(1000)).collect::<Vec<_>>()
        };
        assert_eq!(rolled(7), rolled(7));
        assert_ne!(rolled(7), rolled(6));
        assert!(rolled(7).iter().all(|n| *n < 1000));
        let mut dice = Dice::new(1);
        assert_eq!((dice.roll(0), dice.pick::<u8>(&[]), dice.bytes(11).len()), (0, None, 11));
    }
}
