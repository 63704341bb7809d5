//! The rounds of a search.

use std::cmp::Ordering;

use tracing::{info, info_span, warn};

use super::Search;
use super::effect::Effect;
use super::found::SearchReport;
use super::trial::Trial;
use super::trials_file::TrialsFile;
use crate::backend::TrainingBackend;
use crate::data::Split;
use crate::files::output_folder::OutputFolder;
use crate::{Error, Result};

/// Each round has three times the epochs of the one before, and the better third of its trials.
const FACTOR: usize = 3;

/// A search that runs, and what it has.
pub(super) struct Rounds<'r, 'a, B: TrainingBackend> {
    pub(super) search: Search<'a, B>,
    pub(super) split: &'r Split,
    pub(super) device: &'r B::Device,
    pub(super) folder: OutputFolder,
    pub(super) file: TrialsFile,
    pub(super) trials: Vec<Trial>,
}

impl<B: TrainingBackend> Rounds<'_, '_, B> {
    /// All rounds.
    pub(super) fn finish(mut self) -> Result<SearchReport> {
        let mut standing: Vec<usize> = (0..self.trials.len()).collect();
        // The worst last: failures, then those that each round left behind.
        let (mut left, mut failed) = (Vec::new(), Vec::new());
        let mut effects = Vec::new();
        let mut rounds = Vec::new();
        let first_seed = self.search.seeds[0];
        let mut epochs = self.search.first_epochs;
        loop {
            let most = standing
                .iter()
                .map(|&place| self.trials[place].most_epochs());
            let most = most.max().unwrap_or(0);
            let is_last = epochs >= most;
            rounds.push((epochs.min(most), standing.len()));
            for &place in &standing {
                self.measure(place, first_seed, epochs)?;
            }
            failed.extend(self.without_failed(&mut standing));
            if rounds.len() == 1 {
                effects = Effect::of_trials(
                    &self.trials,
                    self.search.models.iter().map(|model| &model.space),
                );
            }
            if is_last {
                break;
            }
            let kept = standing.len().div_ceil(FACTOR);
            self.leave(&mut standing, kept, &mut left)?;
            epochs = epochs.saturating_mul(FACTOR);
        }
        failed.extend(self.with_other_seeds(&mut standing, &mut left)?);
        standing.extend(left);
        standing.extend(failed);
        self.remove_checkpoints(&standing)?;
        let trials: Vec<Trial> = standing
            .iter()
            .map(|&place| self.trials[place].clone())
            .collect();
        SearchReport::new(
            self.search.trainer.metric,
            self.split.valid.len(),
            rounds,
            trials,
            effects,
        )
    }

    /// Trains the best of the last round with the other seeds; gives those that fail.
    fn with_other_seeds(
        &mut self,
        standing: &mut Vec<usize>,
        left: &mut Vec<usize>,
    ) -> Result<Vec<usize>> {
        let others: Vec<u64> = self.search.seeds[1..].to_vec();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let finalists = standing
            .len()
            .div_ceil(FACTOR)
            .max(standing.len().min(FACTOR));
        self.leave(standing, finalists, left)?;
        for &place in &*standing {
            for &seed in &others {
                self.measure(place, seed, usize::MAX)?;
            }
        }
        Ok(self.without_failed(standing))
    }

    /// Takes those that failed away, and puts the best of the others first.
    fn without_failed(&self, standing: &mut Vec<usize>) -> Vec<usize> {
        let value = |place: &usize| self.trials[*place].mean();
        let (mut good, failed): (Vec<usize>, Vec<usize>) =
            standing.iter().partition(|place| value(place).is_some());
        good.sort_by(|a, b| value(b).partial_cmp(&value(a)).unwrap_or(Ordering::Equal));
        *standing = good;
        failed
    }

    /// Leaves all but the first behind, before those that were left earlier.
    fn leave(&self, standing: &mut Vec<usize>, kept: usize, left: &mut Vec<usize>) -> Result<()> {
        let behind = standing.split_off(kept.min(standing.len()));
        self.remove_checkpoints(&behind)?;
        left.splice(0..0, behind);
        Ok(())
    }

    /// Trains a trial up to some epochs, unless the folder has what came of it.
    fn measure(&mut self, place: usize, seed: u64, epochs: usize) -> Result<()> {
        let trial = &self.trials[place];
        let epochs = epochs.min(trial.most_epochs());
        let job = trial.job(self.split, seed, epochs);
        let _span =
            info_span!("trial", model = trial.model, drawn = %trial.drawn_text(), seed, epochs)
                .entered();
        let train = self.search.models[trial.place].train;
        let checkpoints = self.folder.join(job.folder());
        let (split, device) = (self.split, self.device);
        let outcome = self
            .file
            .outcome(&job, || train(&job, split, &checkpoints, device))?;
        let trial = &mut self.trials[place];
        trial.add(outcome, epochs, seed == self.search.seeds[0]);
        match &trial.error {
            Some(error) => warn!(error, "a trial failed"),
            None => info!(value = trial.mean(), "a trial was trained"),
        }
        (self.search.on_trial)(trial);
        Ok(())
    }

    /// Removes the checkpoints of trials that are not trained any more.
    fn remove_checkpoints(&self, places: &[usize]) -> Result<()> {
        for &place in places {
            for &seed in &self.search.seeds {
                let job = self.trials[place].job(self.split, seed, 0);
                let path = self.folder.join(job.folder());
                match std::fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io("remove", &path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
