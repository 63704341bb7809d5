//! Whom to recall for, many at a time.

use std::fmt;

use crate::data::{
    Catalog, Dataset, ExternalId, Features, ItemIndex, SequenceStore, Spans, TrainingData,
};
use crate::{Error, Result};

use super::asked::KnownUser;

/// The users of [`Retriever::recall_all`](super::Retriever::recall_all): those of a data set, of a
/// store or of training data, some of them, held-out cases, or any iterator of histories.
///
/// Items are known by their ids, so the data may be newer or older than the retriever's, and number
/// their items in another order. Items that are not in the retriever's catalog are skipped and
/// counted.
///
/// ```
/// use seqrec::channels::PopularityConfig;
/// use seqrec::data::Interaction;
/// use seqrec::prelude::*;
/// use seqrec::recall::Users;
///
/// let log = |rows: &[(&str, &str)]| -> Interactions {
///     (rows.iter()).map(|&(user, item)| Interaction::new(user, item, 0.0)).collect()
/// };
/// let monday = Dataset::new(log(&[("ann", "pen"), ("bob", "desk")]), Filters::default())?;
/// let popular = PopularityConfig::new().fit(&monday.training_data())?;
/// let retriever = Retriever::new(popular, monday.catalog().clone())?;
///
/// // Desks were first on Tuesday, and have another number there.
/// let tuesday = Dataset::new(log(&[("cyd", "desk"), ("cyd", "lamp")]), Filters::default())?;
/// let request = RecallRequest::for_everyone(1);
/// for recalled in retriever.recall_all(&tuesday, &request)? {
///     let (user, recalled) = recalled?;
///     assert_eq!((user, recalled.items[0].id.clone()), ("cyd".into(), "pen".into()));
///     assert_eq!((recalled.known, recalled.unknown), (1, 1));
/// }
/// let some = Users::histories([("dan", vec!["pen"]), ("eve", vec![])]);
/// assert_eq!(retriever.recall_all(some, &request)?.count(), 2);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct Users<'a> {
    source: Source<'a>,
    /// The number of users that were taken so far.
    next: usize,
}

enum Source<'a> {
    /// Everyone who has a sequence.
    Everyone(TrainingData),
    /// Users with the places of their sequences, where they have one.
    Some(TrainingData, Vec<(ExternalId, Option<usize>)>),
    Cases(TrainingData, Spans),
    Histories(Box<dyn Iterator<Item = (ExternalId, Vec<ExternalId>)> + Send + 'a>),
}

/// A user who is to be recalled for.
pub(super) struct Person {
    pub(super) id: ExternalId,
    pub(super) user: KnownUser,
    /// Their held-out items, in the retriever's numbers.
    pub(super) labels: Vec<ItemIndex>,
}

/// The numbers that items of some data have in a catalog.
pub(super) struct Renumbering(Option<Vec<Option<ItemIndex>>>);

impl Renumbering {
    fn of(&self, item: ItemIndex) -> Option<ItemIndex> {
        match &self.0 {
            None => Some(item),
            Some(numbers) => numbers.get(item.to_usize()).copied().flatten(),
        }
    }
}

impl<'a> Users<'a> {
    /// Some users of a data set, in this order. One who is not in the data has no history.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for users who are chosen
    /// already, or came with histories of their own, and for an empty id.
    pub fn some<T: Into<ExternalId>>(
        data: impl Into<Users<'static>>,
        ids: impl IntoIterator<Item = T>,
    ) -> Result<Self> {
        let Source::Everyone(data) = data.into().source else {
            let reason = "are chosen of a data set, a store or training data";
            return Err(Error::invalid("users", "of another source", reason));
        };
        let ids = ids.into_iter().map(Into::into);
        let found = ids.map(|id: ExternalId| {
            id.check("user")?;
            let place = data.place_of(&id);
            Ok((id, place))
        });
        let found = found.collect::<Result<_>>()?;
        Ok(Self::new(Source::Some(data, found)))
    }

    /// The users of held-out cases, with what was held out of them: `data` are the training data of
    /// the split that the cases are of.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for cases of another data set.
    pub fn cases(data: &TrainingData, cases: &Spans) -> Result<Self> {
        cases.check_catalog(data.catalog())?;
        let (found, expected) = (cases.data_users(), data.sequences().data_users());
        if found != expected {
            let found = format!("of {found} users");
            let reason = format!(
                "the training data are of {expected}, by whom cases are numbered; take those of the \
                 same split"
            );
            return Err(Error::invalid("cases", found, reason));
        }
        Ok(Self::new(Source::Cases(data.clone(), cases.clone())))
    }

    /// Users with what they did, in time order. Models that look at times need a data set.
    pub fn histories<U: Into<ExternalId>, T: Into<ExternalId>, H: IntoIterator<Item = T>>(
        histories: impl IntoIterator<Item = (U, H), IntoIter: Send + 'a>,
    ) -> Self {
        let histories = histories.into_iter().map(|(user, history)| {
            let history = history.into_iter().map(Into::into).collect();
            (user.into(), history)
        });
        Self::new(Source::Histories(Box::new(histories)))
    }

    fn new(source: Source<'a>) -> Self {
        Self { source, next: 0 }
    }

    /// The data that the users are of, unless they came with histories of their own.
    pub(super) fn data(&self) -> Option<&TrainingData> {
        match &self.source {
            Source::Everyone(data) | Source::Some(data, _) | Source::Cases(data, _) => Some(data),
            Source::Histories(_) => None,
        }
    }

    /// Whether something is held out of the users.
    pub(super) fn have_labels(&self) -> bool {
        matches!(self.source, Source::Cases(..))
    }

    /// Whether all users' ids are known to be integers.
    pub(super) fn are_integers(&self) -> bool {
        let is_integer = |id: &ExternalId| matches!(id, ExternalId::Integer(_));
        let asked = match &self.source {
            Source::Some(_, users) => users.iter().all(|(id, _)| is_integer(id)),
            _ => true,
        };
        asked && self.data().is_some_and(TrainingData::has_integer_users)
    }

    /// The numbers that the data's items have in a catalog.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the users have other
    /// features than the catalog names, or events of another meaning.
    pub(super) fn numbers(&self, catalog: &Catalog) -> Result<Renumbering> {
        let Some(data) = self.data() else {
            return Ok(Renumbering(None));
        };
        let (found, expected) = (data.catalog().user_features(), catalog.user_features());
        if found != expected && !found.is_empty() && !expected.is_empty() {
            let reason = format!("the retriever's catalog names {expected:?}");
            return Err(Error::invalid(
                "user features",
                format!("{found:?}"),
                reason,
            ));
        }
        catalog.check_user_scales(data.catalog().user_scales())?;
        catalog.check_behaviors(data.catalog().behaviors())?;
        if catalog.continues(data.catalog()) {
            return Ok(Renumbering(None));
        }
        let numbers = data.catalog().ids().map(|id| catalog.index_of(id));
        Ok(Renumbering(Some(
            std::iter::once(None).chain(numbers).collect(),
        )))
    }

    /// The next users, `count` at most, in the numbers of a catalog; none at the end.
    pub(super) fn next_batch(
        &mut self,
        count: usize,
        catalog: &Catalog,
        numbers: &Renumbering,
    ) -> Result<Vec<Person>> {
        let first = self.next;
        let range = |len: usize| first..len.min(first + count);
        let batch: Vec<Person> = match &mut self.source {
            Source::Everyone(data) => range(data.sequences().len())
                .map(|place| of_data(data, data.user_id(place).clone(), Some(place), numbers))
                .collect(),
            Source::Some(data, users) => (users.iter().skip(first).take(count))
                .map(|(id, place)| of_data(data, id.clone(), *place, numbers))
                .collect(),
            Source::Cases(data, cases) => range(cases.len())
                .map(|case| of_case(data, cases, case, numbers))
                .collect::<Result<_>>()?,
            Source::Histories(histories) => (histories.by_ref().take(count))
                .map(|(id, history)| Person {
                    id,
                    user: KnownUser::from_history(catalog, &history, &[], &[]),
                    labels: Vec::new(),
                })
                .collect(),
        };
        self.next += batch.len();
        Ok(batch)
    }
}

/// A user of data, by the place of their sequence.
fn of_data(
    data: &TrainingData,
    id: ExternalId,
    place: Option<usize>,
    numbers: &Renumbering,
) -> Person {
    let user = place.map(|place| {
        let history = data.sequences().history(place);
        let renumber = |item| numbers.of(item);
        KnownUser::renumbered(history.in_segments(data.segments(place)), renumber)
    });
    Person {
        id,
        user: user.unwrap_or_default(),
        labels: Vec::new(),
    }
}

fn of_case(
    data: &TrainingData,
    cases: &Spans,
    place: usize,
    numbers: &Renumbering,
) -> Result<Person> {
    let case = cases.get(place);
    let id = data.id_of_user(case.number).ok_or_else(|| {
        let reason = "is a user whom the training data don't know; take those of the same split";
        Error::invalid("case", case.number, reason)
    })?;
    let segments = data.place_of_user(case.number);
    let segments = segments.map_or(&[][..], |place| data.segments(place));
    Ok(Person {
        id: id.clone(),
        user: KnownUser::renumbered(case.user.in_segments(segments), |item| numbers.of(item)),
        labels: (case.labels.iter())
            .map(|&item| numbers.of(item).unwrap_or(ItemIndex::PADDING))
            .collect(),
    })
}

/// The values of items' tags, for the items of a catalog.
pub(super) struct ItemTags {
    tags: Features,
    /// The row of each item of the catalog, by its place.
    rows: Vec<Option<usize>>,
}

impl ItemTags {
    /// The tags of the users' data, where it has any.
    pub(super) fn of(users: &Users<'_>, catalog: &Catalog) -> Option<Self> {
        let data = users.data()?;
        let tags = data.tags().ok()?.clone();
        let row = |id| data.catalog().index_of(id).map(ItemIndex::to_usize);
        let rows = catalog.ids().map(row).collect();
        Some(Self { tags, rows })
    }

    pub(super) fn names(&self) -> &[String] {
        self.tags.names()
    }

    /// An item's value of a tag.
    pub(super) fn get(&self, item: ItemIndex, tag: usize) -> Option<f32> {
        let row = *self.rows.get(item.to_usize().checked_sub(1)?)?;
        self.tags.values().get((row?, tag)).copied()
    }
}

impl From<TrainingData> for Users<'_> {
    fn from(data: TrainingData) -> Self {
        Self::new(Source::Everyone(data))
    }
}

impl From<&TrainingData> for Users<'_> {
    fn from(data: &TrainingData) -> Self {
        data.clone().into()
    }
}

impl From<&Dataset> for Users<'_> {
    fn from(dataset: &Dataset) -> Self {
        dataset.training_data().into()
    }
}

impl From<&SequenceStore> for Users<'_> {
    fn from(store: &SequenceStore) -> Self {
        store.dataset().into()
    }
}

impl fmt::Debug for Users<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
