//! What bounds an engine.

use std::time::Duration;

use crate::data::ExternalId;
use crate::settings::settings;
use crate::{Error, Result, checks};

settings! {
    /// The bounds of a [`RecallEngine`](super::RecallEngine): of time, of memory, and of what a
    /// call may ask for.
    ///
    /// The defaults: 50 ms a channel, a thread a core, k up to 1,000, 200 items a history and 2,000
    /// older ones that are left out, 100,000 users.
    pub struct EngineConfig {
        /// How long a call waits for a channel that has no budget of its own.
        pub budget: Duration = Duration::from_millis(50), with_budget;
        /// How many threads run channels.
        pub threads: usize = cores(), with_threads;
        /// The largest k.
        pub max_k: usize = 1_000, with_max_k;
        /// How many of a user's last items channels see, and how many events are kept per user.
        pub history: usize = 200, with_history;
        /// How many items of a user's older events are kept, only to be left out, and by how many
        /// items the history of a call may be longer than what channels see. An item takes 24 bytes
        /// and its text, and only users have any who have more than `history` events, or some from
        /// before the end of what the stage's data hold of them. Where all `users` have this many,
        /// that is 4.8 GB and the texts by the defaults, which a smaller number bounds. What the
        /// stage's data hold of a user is left out whatever this is, and takes nothing more.
        pub seen: usize = 2_000, with_seen;
        /// The largest number of users whose events are kept. Beyond it, the user who was active or
        /// asked about the longest ago is forgotten, down to what the run folder has of them.
        pub users: usize = 100_000, with_users;
        /// The largest number of items that a call may block, and that it may name as the only
        /// ones.
        pub blocked: usize = 1_000, with_blocked;
        /// The largest number of segments of a user.
        pub segments: usize = 16, with_segments;
        /// The longest id, segment or event type, in bytes; ids may be as long as the longest one
        /// of the stage that serves.
        pub text: usize = 256, with_text;
        /// The largest number of items that may be [added](super::RecallEngine::add_items) to those
        /// that the stage had when it was loaded.
        pub added: usize = 100_000, with_added;
        /// How many of the latest events are replayed to the near-line channels of a newly loaded
        /// stage.
        pub replayed: usize = 10_000, with_replayed;
        /// How far ahead of this machine's clock an event may be.
        pub ahead: Duration = Duration::from_secs(86_400), with_ahead;
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

impl EngineConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    pub fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("threads", self.threads),
            ("max_k", self.max_k),
            ("history", self.history),
            ("users", self.users),
            ("text", self.text),
        ])?;
        const MOST_THREADS: usize = 4_096;
        if self.threads > MOST_THREADS {
            let reason = format!("must be at most {MOST_THREADS}");
            return Err(Error::invalid("threads", self.threads, reason));
        }
        Ok(())
    }

    pub(super) fn check_k(&self, k: usize) -> Result<()> {
        if (1..=self.max_k).contains(&k) {
            return Ok(());
        }
        let reason = format!("must be from 1 to {}", self.max_k);
        Err(Error::invalid("k", k, reason))
    }

    /// Checks an id, which must not be empty, and of which the longest that is known has `longest`
    /// bytes.
    pub(super) fn check_id(
        &self,
        field: &'static str,
        id: &ExternalId,
        longest: usize,
    ) -> Result<()> {
        id.check(field)?;
        match id {
            ExternalId::Integer(_) => Ok(()),
            ExternalId::Text(text) => check_length(field, text, self.text.max(longest)),
        }
    }

    pub(super) fn check_text(&self, field: &'static str, text: &str) -> Result<()> {
        check_length(field, text, self.text)
    }

    pub(super) fn check_segments(&self, segments: &[String]) -> Result<()> {
        check_count("segments", segments.len(), self.segments)?;
        let mut texts = segments.iter();
        texts.try_for_each(|segment| self.check_text("segments", segment))
    }
}

fn check_length(field: &'static str, text: &str, most: usize) -> Result<()> {
    if text.len() <= most {
        return Ok(());
    }
    let start: String = text.chars().take(20).collect();
    let reason = format!("may be {most} bytes long, and is {}", text.len());
    Err(Error::invalid(field, format!("{start}…"), reason))
}

/// Refuses more of something than there may be.
pub(super) fn check_count(field: &'static str, count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    let reason = format!("there may be {most} of them at most");
    Err(Error::invalid(field, count, reason))
}
