//! The columns of a table of users as their features.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use ndarray::Array2;

use super::Items;
use super::features::refused;
use crate::data::dataset::Dataset;
use crate::data::features::Features;
use crate::{Error, Result};

/// The most features that a user may have: each user's are kept in full.
const MOST: usize = 1_000;

impl Dataset {
    /// This data set with what a table says of its users, for models that look at features of
    /// users: of each column the labels of texts and tags, such as `country=is`, and numbers and
    /// dates, which are standardized over the data's users, missing ones being told apart. The
    /// table is read as one of [items](Items::read) is, by the column of the users' ids. Users that
    /// it lacks have no labels and no numbers.
    ///
    /// ```
    /// use seqrec::data::Items;
    /// use seqrec::prelude::*;
    ///
    /// let log: Interactions = [("anna", 1), ("bo", 2), ("cy", 1)]
    ///     .map(|(user, item)| Interaction::new(user, item, 0.0))
    ///     .into_iter()
    ///     .collect();
    /// // From a file: Items::read("users.csv", "user")?
    /// let users = Items::new(["anna", "bo"])?
    ///     .with_numbers("age", [Some(30.0), Some(50.0)])?
    ///     .with_texts("country", [Some("is"), Some("no")])?;
    /// let dataset = Dataset::new(log, Filters::default())?.with_users(&users, &["age", "country"])?;
    /// let names = dataset.catalog().user_features();
    /// assert_eq!(names, ["country=is", "country=no", "age", "age is missing"]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// A request gives the features of a user whom the data don't know by these names, numbers as
    /// they are in such a table: `with_features([("age", 33.0), ("country=is", 1.0)])`.
    ///
    /// # Errors
    /// As [`Items::kind`] for a column that the table lacks, and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for one that says nothing of the
    /// data's users, for more than 1,000 features, and for a table of other users.
    pub fn with_users(self, users: &Items, columns: &[&str]) -> Result<Self> {
        let ids = (0..self.users()).map(|user| self.user_id(user));
        let row_of = |id| users.row_of(id);
        let places: Vec<Option<usize>> = ids.map(|id| id.and_then(row_of)).collect();
        if places.iter().all(Option::is_none) {
            let some = |id: Option<String>| id.unwrap_or_default();
            let reason = format!(
                "none of the data's {} users is among them: the data have ids such as {}, and the table {}",
                places.len(),
                some(self.user_id(0).map(ToString::to_string)),
                some(users.ids().next().map(ToString::to_string)),
            );
            return Err(Error::invalid("users", &users.name, reason));
        }
        let (labels, numbers) = users.described(&places, "users of the data", columns)?;
        let mut names = labels.names().to_vec();
        names.extend(numbers.names());
        if names.len() > MOST {
            let reason = format!(
                "{} features are more than {MOST}: leave out the column with the most labels",
                names.len()
            );
            return Err(refused(&columns.join(","), &reason));
        }
        let known = labels.names().len();
        let mut values = Array2::zeros((places.len(), names.len()));
        // Row 0 of both is padding.
        for (row, mut values) in (1..).zip(values.rows_mut()) {
            for &label in labels.of(row) {
                if let Some(value) = values.get_mut(label as usize) {
                    *value = 1.0;
                }
            }
            let numbers = numbers.values().row(row);
            values.slice_mut(ndarray::s![known..]).assign(&numbers);
        }
        let features = Features::new(names, values)?;
        self.with_user_features(features.with_scales(numbers.scales().to_vec()))
    }
}
