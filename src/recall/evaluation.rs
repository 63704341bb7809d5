//! Judging channels.

use crate::Result;
use crate::data::{Cases, Catalog, User};
use crate::eval::Report;
use crate::retrieve::Evaluation;

use super::channel::RecallChannel;

impl Evaluation {
    /// The metrics of any channel on `cases`.
    ///
    /// # Errors
    /// As [`run`](Evaluation::run), and what the channel gives.
    pub fn run_channel(
        &self,
        channel: &dyn RecallChannel,
        cases: &Cases,
        catalog: &Catalog,
    ) -> Result<Report> {
        self.judge(cases, catalog, |histories, k, filter| {
            let users: Vec<User<'_>> = histories.iter().map(|&of| of.into()).collect();
            Ok(channel.recall(&users, k, filter)?.into_hits())
        })
    }
}
