//! Numbers and bytes that look random and can be had again from a printed seed.

/// A sequence made from a seed (splitmix64: small, and equal on every machine).
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// Starts from `WAYSIDE_SEED` if it is set, else from `default`, and prints which it was.
    #[must_use]
    pub fn from_env(default: u64) -> Self {
        let seed = std::env::var("WAYSIDE_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default);
        println!("seed: {seed} (WAYSIDE_SEED={seed} repeats it)");
        Self(seed)
    }

    /// Starts from a number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.number() % (high - low + 1)
    }

    /// This many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.number().to_le_bytes())
            .take(length.div_ceil(8))
            .flatten()
            .take(length)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Seeded;

    #[test]
    fn the_same_seed_gives_the_same_bytes_of_the_asked_length() {
        for length in [0, 1, 8, 13] {
            let bytes = Seeded::new(7).bytes(length);
            assert_eq!((bytes.len(), &bytes), (length, &Seeded::new(7).bytes(length)));
        }
        assert_ne!(Seeded::new(7).bytes(16), Seeded::new(8).bytes(16));
    }
}
