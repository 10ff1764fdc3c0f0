//! Chance, from a seed: the same seed draws the same everywhere. No generator of a library, whose next version may draw
//! otherwise: a seed that is written down must mean the same run for years.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "drawn numbers are small: counts of a round, indexes of short lists"
)]

use std::time::Duration;

/// An xorshift* generator (Vigna 2016).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        // Neighbouring seeds must not begin alike: one round of splitmix.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Rng((mixed ^ (mixed >> 31)).max(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n.max(1)
    }

    pub fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    pub fn between(&mut self, low: Duration, high: Duration) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.unit())
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// How many of something that happens `mean` times on average.
    pub fn poisson(&mut self, mean: f64) -> u32 {
        if mean > 40.0 {
            // Normal enough; the sum of twelve draws has variance one.
            let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
            return (mean + normal * mean.sqrt()).round().max(0.0) as u32;
        }
        let (least, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > least {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// How many of `n` that each happen with chance `share`.
    pub fn binomial(&mut self, n: u32, share: f64) -> u32 {
        if n == 0 || share <= 0.0 {
            return 0;
        }
        if share > 0.5 {
            return n - self.binomial(n, 1.0 - share);
        }
        // From one that happens to the next: as many draws as happen, however large `n` is.
        let (scale, mut at, mut count) = ((1.0 - share).ln(), 0.0, 0);
        loop {
            at += ((1.0 - self.unit()).ln() / scale).floor() + 1.0;
            if at > f64::from(n) {
                return count;
            }
            count += 1;
        }
    }
}

#[test]
fn draws_have_the_averages_that_were_asked_for() {
    let mut rng = Rng::new(1);
    let mut average =
        |draw: &mut dyn FnMut(&mut Rng) -> u32| (0..20_000).map(|_| f64::from(draw(&mut rng))).sum::<f64>() / 20_000.0;
    for mean in [0.1, 3.0, 39.0, 250.0] {
        let found = average(&mut |rng| rng.poisson(mean));
        assert!((found - mean).abs() < 0.03 * mean + 0.01, "{found} for {mean}");
    }
    for share in [0.001, 0.3, 0.9] {
        let found = average(&mut |rng| rng.binomial(250, share)) / 250.0;
        assert!((found - share).abs() < 0.03 * share + 0.001, "{found} for {share}");
    }
}
