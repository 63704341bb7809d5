//! Where the jobs of one call put what they find, and the call waits for it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A place for the answer of each of some jobs. Whoever waits is woken once, by the last.
pub(super) struct Answers<T> {
    answers: Mutex<Vec<Answer<T>>>,
    complete: Condvar,
}

enum Answer<T> {
    /// None is waited for.
    None,
    Awaited,
    Here(T),
}

#[expect(
    clippy::indexing_slicing,
    reason = "jobs are numbered by the places they were given"
)]
impl<T> Answers<T> {
    /// Places for the answers of jobs, each of which is waited for or not.
    pub(super) fn new(awaited: impl Iterator<Item = bool>) -> Self {
        let answer = |awaited| {
            if awaited {
                Answer::Awaited
            } else {
                Answer::None
            }
        };
        let answers: Vec<Answer<T>> = awaited.map(answer).collect();
        Self {
            answers: Mutex::new(answers),
            complete: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answer<T>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job's answer where it belongs, if it is still waited for.
    pub(super) fn put(&self, job: usize, answer: T) {
        let mut answers = self.lock();
        if let Answer::Awaited = answers[job] {
            answers[job] = Answer::Here(answer);
            if !any_missing(&answers) {
                self.complete.notify_one();
            }
        }
    }

    /// No longer waits for a job; whether its answer was missing.
    pub(super) fn give_up(&self, job: usize) -> bool {
        let mut answers = self.lock();
        let missing = matches!(answers[job], Answer::Awaited);
        if missing {
            answers[job] = Answer::None;
        }
        missing
    }

    /// Waits until the last answer has come, or until a time; whether it has come.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        let answers = self.lock();
        let left = deadline.saturating_duration_since(Instant::now());
        let waiting = self
            .complete
            .wait_timeout_while(answers, left, |answers| any_missing(answers));
        let (answers, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        !any_missing(&answers)
    }

    /// All answers that have come.
    pub(super) fn take(&self) -> Vec<Option<T>> {
        let taken = |answer: &mut Answer<T>| match std::mem::replace(answer, Answer::None) {
            Answer::Here(answer) => Some(answer),
            Answer::None | Answer::Awaited => None,
        };
        self.lock().iter_mut().map(taken).collect()
    }
}

fn any_missing<T>(answers: &[Answer<T>]) -> bool {
    (answers.iter()).any(|answer| matches!(answer, Answer::Awaited))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_answers_or_those_that_came_in_time() {
        let answers = Arc::new(Answers::new([true; 3].into_iter()));
        answers.put(2, "c");
        assert!(!answers.wait_until(Instant::now() + Duration::from_millis(5)));
        let others = answers.clone();
        let thread = std::thread::spawn(move || {
            others.put(0, "a");
            others.put(1, "b");
        });
        assert!(answers.wait_until(Instant::now() + Duration::from_secs(30)));
        thread.join().unwrap();
        assert_eq!(answers.take(), [Some("a"), Some("b"), Some("c")]);

        let answers = Answers::new([true, false, true, true].into_iter());
        answers.put(3, "d");
        assert!(answers.give_up(0) && !answers.give_up(0) && !answers.give_up(3));
        // One that comes after it was given up is no one's, and stands for no other.
        answers.put(0, "a");
        assert!(!answers.wait_until(Instant::now()));
        answers.put(2, "c");
        assert!(answers.wait_until(Instant::now()));
        assert_eq!(answers.take(), [None, None, Some("c"), Some("d")]);
    }
}
