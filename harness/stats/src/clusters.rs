//! A share of clustered observations, such as the gaps of streams: observations of one cluster depend on one another.
//!
//! The share is that of all observations. Its variance is that of a ratio, with the clusters as the sample (Cochran,
//! "Sampling Techniques", 1977, section 6.4). The interval is that of Clopper and Pearson for the number of independent
//! draws with the same variance (Korn and Graubard, "Confidence intervals for proportions with small expected number of
//! positive counts estimated from survey data", 1998). Where the variance is undefined, as with no hit at all, each
//! cluster counts as one draw.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF, StudentsT};

/// Sums over the clusters. Adding a cluster is cheap, and sets of clusters can be merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clusters {
    /// The number of clusters.
    pub count: u64,
    /// Observations of all clusters.
    pub observations: u64,
    /// How many of the observations are hits.
    pub hits: u64,
    /// The sum over clusters of observations squared.
    observations_squared: f64,
    /// The sum over clusters of hits squared.
    hits_squared: f64,
    /// The sum over clusters of observations times hits.
    products: f64,
}

impl Clusters {
    /// Adds a cluster. A cluster without observations is ignored.
    pub fn add(&mut self, observations: u64, hits: u64) {
        if observations == 0 {
            return;
        }
        let (n, h) = (observations as f64, hits as f64);
        self.count += 1;
        self.observations += observations;
        self.hits += hits;
        self.observations_squared += n * n;
        self.hits_squared += h * h;
        self.products += n * h;
    }

    /// Adds all clusters of another set.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.observations += other.observations;
        self.hits += other.hits;
        self.observations_squared += other.observations_squared;
        self.hits_squared += other.hits_squared;
        self.products += other.products;
    }

    /// The share of hits; 0 without observations.
    pub fn share(&self) -> f64 {
        self.hits as f64 / self.observations.max(1) as f64
    }

    /// The confidence interval of the true share.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        if self.count == 0 {
            return (0.0, 1.0);
        }
        let tail = (1.0 - confidence) / 2.0;
        let (share, draws) = (self.share(), self.independent_draws(tail));
        let (hits, misses) = (share * draws, (1.0 - share) * draws);
        // With no hit, or only hits, one end of the interval is 0 or 1.
        let low = if self.hits == 0 {
            0.0
        } else {
            Beta::new(hits, misses + 1.0).map_or(0.0, |law| law.inverse_cdf(tail))
        };
        let high = if self.hits == self.observations {
            1.0
        } else {
            Beta::new(hits + 1.0, misses).map_or(1.0, |law| law.inverse_cdf(1.0 - tail))
        };
        (low, high)
    }

    /// The number of independent draws that carry as much information about the share as these clusters.
    fn independent_draws(&self, tail: f64) -> f64 {
        let (clusters, observations) = (self.count as f64, self.observations as f64);
        let share = self.share();
        // The sum over all clusters of (hits - share * observations)^2.
        let squares = self.hits_squared - 2.0 * share * self.products
            + share * share * self.observations_squared;
        let variance = squares / (observations * observations) * clusters / (clusters - 1.0);
        let rounding = 1e-9 * self.observations_squared / (observations * observations);
        if self.count < 2 || variance.is_nan() || variance <= rounding {
            return clusters;
        }
        let quantile = |freedom: f64| {
            StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |law| law.inverse_cdf(tail))
        };
        let adjusted = (quantile((observations - 1.0).max(1.0)) / quantile(clusters - 1.0)).powi(2);
        let draws = share * (1.0 - share) / variance * adjusted;
        if draws.is_finite() {
            draws.clamp(1.0, observations)
        } else {
            clusters
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binomial;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn clusters_of_one_are_independent_draws() {
        let mut clusters = Clusters::default();
        for number in 0..1000 {
            clusters.add(1, u64::from(number % 20 == 0));
        }
        let (low, high) = clusters.interval(0.95);
        let exact = binomial::interval(1000, 50, 0.95);
        assert!((low - exact.0).abs() < 1e-3, "{low} {exact:?}");
        assert!((high - exact.1).abs() < 1e-3, "{high} {exact:?}");
    }

    #[test]
    fn equal_clusters_count_as_one_draw_each() {
        let mut clusters = Clusters::default();
        for number in 0..200 {
            clusters.add(100, if number % 10 == 0 { 100 } else { 0 });
        }
        let (low, high) = clusters.interval(0.95);
        let exact = binomial::interval(200, 20, 0.95);
        assert!((low - exact.0).abs() < 3e-3, "{low} {exact:?}");
        assert!((high - exact.1).abs() < 3e-3, "{high} {exact:?}");
    }

    #[test]
    fn without_a_hit_each_cluster_is_one_draw() {
        let mut clusters = Clusters::default();
        for _ in 0..50 {
            clusters.add(100, 0);
        }
        let (low, high) = clusters.interval(0.95);
        let exact = binomial::interval(50, 0, 0.95);
        assert!(
            low == 0.0 && (high - exact.1).abs() < 1e-4,
            "{high} {exact:?}"
        );
        assert_eq!(Clusters::default().interval(0.95), (0.0, 1.0));
        let mut one = Clusters::default();
        one.add(100, 50);
        let (low, high) = one.interval(0.95);
        assert!(high - low > 0.9, "{low} {high}");
    }

    #[test]
    fn the_interval_covers_the_true_share_where_gaps_of_a_stream_depend_on_one_another() {
        // Each stream has its own share of slow gaps, uniform from 0 to 0.2: the true share is 0.1.
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut covered, mut covered_if_independent) = (0, 0);
        for _ in 0..400 {
            let mut clusters = Clusters::default();
            for _ in 0..60 {
                let slow: f64 = rng.random_range(0.0..0.2);
                let hits = (0..200).filter(|_| rng.random::<f64>() < slow).count();
                clusters.add(200, hits as u64);
            }
            let within = |(low, high): (f64, f64)| u32::from(low <= 0.1 && 0.1 <= high);
            covered += within(clusters.interval(0.95));
            let independent = binomial::interval(clusters.observations, clusters.hits, 0.95);
            covered_if_independent += within(independent);
        }
        // 95 % of 400 are 380; five standard errors are 22.
        assert!(covered >= 358, "{covered} of 400");
        assert!(
            covered_if_independent < 300,
            "{covered_if_independent} of 400"
        );
    }
}
