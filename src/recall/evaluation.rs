//! Judging channels.

use crate::Result;
use crate::data::{Catalog, Spans};
use crate::eval::Report;
use crate::retrieve::Evaluation;

use super::channel::{RecallChannel, UserContext};

impl Evaluation {
    /// The metrics of any channel on `cases`.
    ///
    /// # Errors
    /// As [`run`](Evaluation::run), and what the channel gives.
    pub fn run_channel(
        &self,
        channel: &dyn RecallChannel,
        cases: &Spans,
        catalog: &Catalog,
    ) -> Result<Report> {
        self.judge(cases, catalog, |histories, k, filter| {
            let users: Vec<UserContext<'_>> = histories.iter().map(|&of| of.into()).collect();
            Ok(channel.recall(&users, k, filter)?.into_hits())
        })
    }
}
