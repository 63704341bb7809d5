//! The learning rate over the steps of a training.

use serde::{Deserialize, Serialize};

/// How the learning rate falls after its warm-up, from step to step until the last of the last
/// epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// It stays as it is.
    #[default]
    Constant,
    /// To 0 along a straight line.
    Linear,
    /// To 0 along half a cosine (Loshchilov & Hutter, [2017](https://arxiv.org/abs/1608.03983)).
    Cosine,
}

impl Schedule {
    /// The learning rate of a step, counted from 0 over all `steps` of all epochs: it has risen to
    /// `peak` after `warm_up` steps.
    pub(super) fn rate(self, peak: f64, [warm_up, steps]: [usize; 2], step: usize) -> f64 {
        if step < warm_up {
            return peak * (step + 1) as f64 / warm_up as f64;
        }
        let left = steps.saturating_sub(warm_up).max(1);
        let made = ((step - warm_up) as f64 / left as f64).min(1.0);
        match self {
            Self::Constant => peak,
            Self::Linear => peak * (1.0 - made),
            Self::Cosine => peak * 0.5 * (1.0 + (std::f64::consts::PI * made).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(warm_up_steps: usize, schedule: Schedule) -> Vec<f64> {
        let rate = |step| schedule.rate(2.0, [warm_up_steps, 8], step);
        (0..9).map(rate).collect()
    }

    #[test]
    fn rates_rise_and_fall_by_hand() {
        assert_eq!(rates(0, Schedule::Constant), [2.0; 9]);
        let expected = [0.5, 1.0, 1.5, 2.0, 2.0, 1.5, 1.0, 0.5, 0.0];
        assert_eq!(rates(4, Schedule::Linear), expected);
        let cosine = rates(0, Schedule::Cosine);
        assert_eq!((cosine[0], cosine[8]), (2.0, 0.0));
        assert!((cosine[4] - 1.0).abs() < 1e-12);
        assert!(cosine.is_sorted_by(|a, b| a > b));
        // A warm-up as long as all steps ends them.
        assert_eq!(rates(9, Schedule::Linear)[8], 2.0);
    }
}
