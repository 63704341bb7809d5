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

/// The learning rate of every step of a training.
#[derive(Debug, Clone, Copy)]
pub(super) struct LearningRates {
    /// The rate that it rises to.
    pub(super) peak: f64,
    /// Over how many steps it does.
    pub(super) warm_up_steps: usize,
    pub(super) schedule: Schedule,
    /// The number of steps of all epochs.
    pub(super) steps: usize,
}

impl LearningRates {
    /// The learning rate of a step, counted from 0 over all epochs.
    pub(super) fn at(&self, step: usize) -> f64 {
        if step < self.warm_up_steps {
            return self.peak * (step + 1) as f64 / self.warm_up_steps as f64;
        }
        let left = self.steps.saturating_sub(self.warm_up_steps).max(1);
        let made = ((step - self.warm_up_steps) as f64 / left as f64).min(1.0);
        match self.schedule {
            Schedule::Constant => self.peak,
            Schedule::Linear => self.peak * (1.0 - made),
            Schedule::Cosine => self.peak * 0.5 * (1.0 + (std::f64::consts::PI * made).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(warm_up_steps: usize, schedule: Schedule) -> Vec<f64> {
        let rates = LearningRates {
            peak: 2.0,
            warm_up_steps,
            schedule,
            steps: 8,
        };
        (0..9).map(|step| rates.at(step)).collect()
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
