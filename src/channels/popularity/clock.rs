//! What time it is by the data.

use std::collections::VecDeque;

/// By how many of the last observed interactions the time is told: the middle one's.
const LAST: usize = 31;

/// Of how many interactions of a log one may be from a clock that is ahead, and how many in all.
const ONE_OF: usize = 32;
const AHEAD: usize = LAST / 2;

/// The time by the data. A single interaction does not move it, since its clock may be wrong; it
/// only goes forward.
#[derive(Debug, Default)]
pub(super) struct DataClock {
    now: Option<f64>,
    /// The times of the last interactions, in the order in which they came.
    last: VecDeque<f64>,
}

impl DataClock {
    /// The clock at the end of a log, in any order.
    pub(super) fn of_log(times: impl Iterator<Item = f64>) -> Self {
        // The latest first.
        let mut latest: Vec<f64> = Vec::with_capacity(AHEAD + 2);
        let mut count = 0;
        for time in times {
            count += 1;
            if latest.len() <= AHEAD || latest.last().is_some_and(|&least| time > least) {
                let place = latest.partition_point(|&other| other >= time);
                latest.insert(place, time);
                latest.truncate(AHEAD + 1);
            }
        }
        let now = latest.get(AHEAD.min(count / ONE_OF)).copied();
        Self {
            now,
            last: now.into_iter().cycle().take(LAST).collect(),
        }
    }

    /// Takes in the time of an interaction that was observed.
    pub(super) fn observe(&mut self, time: f64) {
        if self.last.len() >= LAST {
            self.last.pop_front();
        }
        self.last.push_back(time);
        if self.now.is_some_and(|now| time <= now) {
            return;
        }
        let mut last = [0.0; LAST];
        (last.iter_mut().zip(&self.last)).for_each(|(to, time)| *to = *time);
        let (last, _) = last.split_at_mut(self.last.len());
        let middle = (last.len() - 1) / 2;
        let (_, &mut middle, _) = last.select_nth_unstable_by(middle, f64::total_cmp);
        self.now = Some(self.now.map_or(middle, |now| now.max(middle)));
    }

    /// The time; `None` before the first interaction.
    pub(super) fn now(&self) -> Option<f64> {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_that_are_ahead_move_nothing_and_most_of_the_last_do() {
        let mut clock = DataClock::of_log([3.0, 1.0, 2.0].into_iter());
        assert_eq!(clock.now(), Some(3.0));
        for _ in 0..AHEAD {
            clock.observe(90.0);
            assert_eq!(clock.now(), Some(3.0));
        }
        clock.observe(80.0);
        assert_eq!(clock.now(), Some(80.0));
        clock.observe(5.0);
        assert_eq!(clock.now(), Some(80.0));
        let log = |ahead: usize| {
            let ahead = std::iter::repeat_n(1e9, ahead);
            DataClock::of_log((0..1_000).map(f64::from).chain(ahead)).now()
        };
        assert_eq!(
            [log(0), log(1), log(AHEAD)],
            [984.0, 985.0, 999.0].map(Some)
        );
        let mut empty = DataClock::of_log([].into_iter());
        assert_eq!(empty.now(), None);
        empty.observe(7.0);
        assert_eq!(empty.now(), Some(7.0));
    }
}
