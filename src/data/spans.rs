//! Parts of users' sequences: what is learned from, and what is held out.

use std::ops::Range;
use std::sync::Arc;

use super::behaviors::Role;
use super::catalog::Catalog;
use super::fingerprint::Fingerprint;
use super::id::IdTable;
use super::sequences::Sequences;
use super::user::User;
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result};

/// Parts of users' sequences, as views into the sequences of a data set: what models learn from, or
/// the cases that they are evaluated on, which have labels.
#[derive(Debug, Clone)]
pub struct Spans {
    sequences: Arc<Sequences>,
    /// The ids of the items that the sequences hold by number.
    ids: Arc<IdTable>,
    places: Places,
    /// The cases without a history, which are not among `places`.
    newcomers: Arc<Vec<[u32; 3]>>,
    /// The labels of cases, where not all that comes after a history is one.
    labels: Option<Arc<CaseLabels>>,
    /// The role of the events that labels are of.
    role: Role,
}

/// Items of some cases, one case after another.
#[derive(Debug)]
struct CaseLabels {
    items: Vec<ItemIndex>,
    /// Where each case's items end.
    ends: Vec<usize>,
}

impl CaseLabels {
    /// The items of a role that come after the histories of some cases.
    fn new(sequences: &Sequences, cases: &[[u32; 3]], role: Role) -> Self {
        let (mut items, mut ends) = (Vec::new(), Vec::with_capacity(cases.len()));
        for &[user, cut, end] in cases {
            let start = sequences.range(user as usize).start;
            let places = start + cut as usize..start + end as usize;
            let labels = sequences.places_of(places, role);
            items.extend(labels.flat_map(|place| sequences.items_in(place..place + 1)));
            ends.push(items.len());
        }
        Self { items, ends }
    }

    fn of(&self, case: usize) -> &[ItemIndex] {
        let start = case.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start..self.ends[case]]
    }
}

/// Where each span lies. Small, since there may be three spans for each of millions of users whose
/// sequences are not in memory.
#[derive(Debug, Clone)]
enum Places {
    /// The whole of everyone's sequence.
    Whole,
    /// The beginnings of some users' sequences: each user, and the number of items.
    First(Arc<Vec<[u32; 2]>>),
    /// Cases: each user, the number of items of the history, and that with the labels after it.
    Cases(Arc<Vec<[u32; 3]>>),
}

/// A user that something is evaluated on: what they did, and what they did then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case<'a> {
    /// The user's number in the data set.
    pub number: usize,
    /// The user as a model sees them, at the time of what they did next, which is the first label
    /// unless events have a [meaning](super::Behaviors); without items only among
    /// [newcomers](Spans::newcomers).
    pub user: User<'a>,
    /// The items to be recalled, in time order: those of [targets](Role::Target) where events have
    /// a meaning. Empty where nothing is held out, or nothing of the [role](Spans::with_labels_of).
    pub labels: &'a [ItemIndex],
}

/// The number of a user, or of items in one user's sequence.
pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("fewer than 2^32 users, and items in each one's sequence")
}

impl Spans {
    fn new(
        sequences: &Arc<Sequences>,
        ids: &Arc<IdTable>,
        places: Places,
        newcomers: Arc<Vec<[u32; 3]>>,
    ) -> Self {
        let spans = Self {
            sequences: sequences.clone(),
            ids: ids.clone(),
            places,
            newcomers,
            labels: None,
            role: Role::Target,
        };
        match sequences.behaviors() {
            Some(_) => spans.with_labels_of(Role::Target),
            None => spans,
        }
    }

    /// These cases with other labels: the items that each user had events of a role with after
    /// their history, such as [negative](Role::Negative) ones, of which the fewer are recalled the
    /// better. Cases without any stay, and count for nothing. Where events have no
    /// [meaning](super::Behaviors), every item is a target.
    #[must_use]
    pub fn with_labels_of(&self, role: Role) -> Self {
        let labels = match &self.places {
            Places::Cases(cases) => Some(Arc::new(CaseLabels::new(&self.sequences, cases, role))),
            Places::Whole | Places::First(_) => None,
        };
        Self {
            labels,
            role,
            ..self.clone()
        }
    }

    /// These spans with labels of the role that others' are of.
    fn labeled_as(self, other: &Self) -> Self {
        match other.role == self.role {
            true => self,
            false => self.with_labels_of(other.role),
        }
    }

    /// The whole of everyone's sequence.
    pub(super) fn whole(sequences: &Arc<Sequences>, ids: &Arc<IdTable>) -> Self {
        Self::new(sequences, ids, Places::Whole, Arc::default())
    }

    /// The first items of some users' sequences: each user, and the number of items.
    pub(super) fn first(
        sequences: &Arc<Sequences>,
        ids: &Arc<IdTable>,
        users: Vec<[u32; 2]>,
    ) -> Self {
        Self::new(sequences, ids, Places::First(users.into()), Arc::default())
    }

    /// Cases, and those of users who have no history: each user, the number of items of the
    /// history, and that with the labels after it.
    pub(super) fn cases(
        sequences: &Arc<Sequences>,
        ids: &Arc<IdTable>,
        [cases, newcomers]: [Vec<[u32; 3]>; 2],
    ) -> Self {
        Self::new(
            sequences,
            ids,
            Places::Cases(cases.into()),
            newcomers.into(),
        )
    }

    /// A span's user, and where its history begins, its labels begin, and they end, in the flat
    /// array.
    fn bounds(&self, span: usize) -> (usize, [usize; 3]) {
        let [user, cut, end] = match &self.places {
            Places::Whole => {
                let Range { start, end } = self.sequences.range(span);
                return (span, [start, end, end]);
            }
            Places::First(users) => {
                let [user, length] = users[span];
                [user, length, length]
            }
            Places::Cases(cases) => cases[span],
        };
        let start = self.sequences.range(user as usize).start;
        let at = |items: u32| start + items as usize;
        (user as usize, [start, at(cut), at(end)])
    }

    /// These spans with only those items that are to be kept, without spans that have none left.
    pub(super) fn retain(&self, keep: impl Fn(ItemIndex) -> bool) -> Self {
        let part = |span| {
            let (user, [start, cut, _]) = self.bounds(span);
            (user, [start, cut, cut])
        };
        let parts = (0..self.len()).map(part);
        let keep = |item| keep(item).then_some(item);
        let kept = Arc::new(self.sequences.renumbered(parts, keep, Some));
        let lengths = (0..kept.len()).map(|user| [narrow(user), narrow(kept.range(user).len())]);
        Self::first(
            &kept,
            &self.ids,
            lengths.filter(|&[_, length]| length > 0).collect(),
        )
    }

    /// These cases with only those labels that are to be kept, without cases that have none left
    /// and without [newcomers](Self::newcomers). Histories stay as they are.
    pub(super) fn retain_labels(&self, keep: impl Fn(ItemIndex) -> bool) -> Self {
        let parts = || (0..self.len()).map(|span| self.bounds(span));
        let keep = |label| keep(label).then_some(label);
        let kept = Arc::new(self.sequences.renumbered(parts(), Some, keep));
        let cases = parts()
            .map(|(user, [start, cut, _])| [user, cut - start, kept.range(user).len()].map(narrow));
        let cases = cases
            .filter(|[_, history, length]| length > history)
            .collect();
        let kept = Self::cases(&kept, &self.ids, [cases, Vec::new()]).labeled_as(self);
        kept.filtered(|case| !case.labels.is_empty())
    }

    /// Refuses a catalog by which the items of these spans have other numbers, or none.
    pub(crate) fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        catalog.check_behaviors(self.sequences.behaviors().map(|behaviors| &**behaviors))?;
        if catalog.begins_with(&self.ids) {
            return Ok(());
        }
        let known = self.ids.len();
        let reason = "they must be of the data set that the catalog is of, by which their items are numbered; \
                      `Spans::for_catalog` gives cases of other data the catalog's numbers, by the items' ids";
        let found = format!(
            "of {known} items that are not the catalog's {}",
            catalog.len()
        );
        Err(Error::invalid("cases", found, reason))
    }

    /// These spans for a catalog of other data, such as that of a
    /// [model](crate::store::Recaller::catalog) which is to be evaluated on them: items get the
    /// numbers that their ids have there.
    ///
    /// Items that the catalog lacks are left out of histories, and users of whose history none is
    /// left are among the [newcomers](Self::newcomers). As labels they stay, as numbers beyond the
    /// catalog's, so that they count as not found.
    ///
    /// ```
    /// use seqrec::data::synthetic::Synthetic;
    /// use seqrec::prelude::*;
    ///
    /// let split_of = |seed| {
    ///     let log = Synthetic::new().with_users(80).with_items(60).with_seed(seed).generate()?;
    ///     Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)
    /// };
    /// let (of_model, later) = (split_of(1)?, split_of(2)?);
    /// let trained = SasRecConfig::new().with_dim(16).fit(&of_model)?;
    /// // The later data have the same items, but not in the same order.
    /// assert!(trained.evaluate(&later.test).is_err());
    /// println!("{}", trained.evaluate(&later.test.for_catalog(trained.catalog())?)?);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] when the catalog has none of the items of these data, and
    /// [`ErrorKind::InvalidValue`] when it names other
    /// [features of users](Catalog::user_features), or events [mean](Catalog::behaviors) something
    /// else to it.
    pub fn for_catalog(&self, catalog: &Catalog) -> Result<Self> {
        let (found, expected) = (self.sequences.feature_names(), catalog.user_features());
        if found == expected {
            catalog.check_user_scales(self.sequences.user_scales())?;
        }
        if found != expected && !expected.is_empty() {
            let reason = format!("the catalog names {expected:?}");
            return Err(Error::invalid(
                "user features",
                format!("{found:?}"),
                reason,
            ));
        }
        catalog.check_behaviors(self.sequences.behaviors().map(|behaviors| &**behaviors))?;
        if catalog.begins_with(&self.ids) {
            return Ok(self.clone());
        }
        let mut next = catalog.len();
        let numbers = self.ids.ids().iter().map(|id| match catalog.index_of(id) {
            Some(item) => item.get(),
            None => {
                next += 1;
                narrow(next)
            }
        });
        let numbers: Vec<ItemIndex> = (std::iter::once(0).chain(numbers))
            .map(ItemIndex::new)
            .collect();
        if next == catalog.len() + self.ids.len() {
            let reason = format!(
                "the catalog has none of the data's {} items: it is of a shop, or of ids, that are \
                 not the data's",
                self.ids.len()
            );
            return Err(ErrorKind::NothingLeft { reason }.into());
        }
        let number = |item: ItemIndex| numbers[item.to_usize()];
        let known = |item| Some(number(item)).filter(|item| item.to_usize() <= catalog.len());
        // No user has two spans, so that those with a history and those without are in one order.
        let (all, newcomers) = (0..self.len(), self.newcomers());
        let mut parts: Vec<_> = all.map(|span| self.bounds(span)).collect();
        parts.extend((0..newcomers.len()).map(|span| newcomers.bounds(span)));
        parts.sort_unstable_by_key(|&(user, _)| user);
        let sequences = self
            .sequences
            .renumbered(parts.iter().copied(), known, |item| Some(number(item)));
        let spans = parts.iter().map(|&(user, [_, cut, end])| {
            let length = sequences.range(user).len();
            [user, length - (end - cut), length].map(narrow)
        });
        let (cases, newcomers) = spans.partition(|&[_, history, _]| history > 0);
        let ids = catalog.table();
        let cases = Self::cases(&Arc::new(sequences), ids, [cases, newcomers]);
        Ok(cases.labeled_as(self))
    }

    /// The number of spans.
    pub fn len(&self) -> usize {
        match &self.places {
            Places::Whole => self.sequences.len(),
            Places::First(users) => users.len(),
            Places::Cases(cases) => cases.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in the data set of a span's user.
    ///
    /// # Panics
    /// When `span` is not below [`Spans::len`], as [`items`](Self::items),
    /// [`history`](Self::history) and [`get`](Self::get) do.
    pub fn user(&self, span: usize) -> usize {
        self.bounds(span).0
    }

    /// The number of users of the data set that these spans are of.
    pub(crate) fn data_users(&self) -> usize {
        self.sequences.len()
    }

    /// The place of the first span of a user, by their number in the data set: spans are in order
    /// of users.
    pub(crate) fn place_of_user(&self, number: usize) -> Option<usize> {
        let (mut from, mut to) = (0, self.len());
        while from < to {
            let middle = from.midpoint(to);
            if self.user(middle) < number {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        (from < self.len() && self.user(from) == number).then_some(from)
    }

    /// The items of a span, in time order, without labels.
    pub fn items(&self, span: usize) -> &[ItemIndex] {
        let (_, [start, cut, _]) = self.bounds(span);
        self.sequences.items_in(start..cut)
    }

    /// The items of each span, in order of users.
    pub fn item_lists(&self) -> impl ExactSizeIterator<Item = &[ItemIndex]> {
        (0..self.len()).map(|span| self.items(span))
    }

    /// The items of a span with all that is known of them and of their user, at the time of the
    /// first label where there are labels.
    pub fn history(&self, span: usize) -> User<'_> {
        let (user, [start, cut, end]) = self.bounds(span);
        self.sequences.history(user, start..end).first(cut - start)
    }

    /// A span with its labels.
    pub fn get(&self, span: usize) -> Case<'_> {
        let (number, [_, cut, end]) = self.bounds(span);
        Case {
            number,
            user: self.history(span),
            labels: match &self.labels {
                Some(labels) => labels.of(span),
                None => self.sequences.items_in(cut..end),
            },
        }
    }

    /// All spans with their labels, in order of users.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Case<'_>> {
        (0..self.len()).map(|span| self.get(span))
    }

    /// The users who begin after a [time cut](super::Protocol::TimeCut): they have labels and no
    /// history, so they are not among these cases but a group of their own. What recalls without a
    /// history is evaluated on them by
    /// an [`Evaluation`](crate::recall::Evaluation), which is a test of cold starts.
    ///
    /// ```
    /// use seqrec::channels::PopularityConfig;
    /// use seqrec::data::Interaction;
    /// use seqrec::data::synthetic::Synthetic;
    /// use seqrec::prelude::*;
    ///
    /// let mut log = Synthetic::new().with_users(80).with_items(60).generate()?;
    /// log.push(Interaction::new("new", 3, f64::from(i32::MAX)));
    /// let dataset = Dataset::new(log, Filters::default())?;
    /// let split = Split::new(&dataset, Protocol::time_cut_at_shares(&dataset, 0.8, 0.9)?)?;
    /// let newcomers = split.test.newcomers();
    /// assert!(newcomers.iter().all(|case| case.user.items().is_empty()));
    /// let popularity = PopularityConfig::new().fit(&split.train)?;
    /// let report = Evaluation::new(&[10], Seen::Exclude)
    ///     .run(&popularity, &newcomers, split.catalog())?;
    /// assert_eq!(report.users, newcomers.len());
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[must_use]
    pub fn newcomers(&self) -> Self {
        let places = Places::Cases(self.newcomers.clone());
        Self::new(&self.sequences, &self.ids, places, Arc::default()).labeled_as(self)
    }

    /// The spans for which `keep` says so. Newcomers are left out: filter
    /// [`newcomers`](Self::newcomers) itself.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(Case<'_>) -> bool) -> Self {
        let kept = (0..self.len()).filter(|&span| keep(self.get(span)));
        match &self.places {
            Places::Cases(cases) => {
                let cases = kept.map(|span| cases[span]).collect();
                Self::cases(&self.sequences, &self.ids, [cases, Vec::new()]).labeled_as(self)
            }
            Places::Whole | Places::First(_) => {
                let of = |span| [self.user(span), self.items(span).len()].map(narrow);
                Self::first(&self.sequences, &self.ids, kept.map(of).collect())
            }
        }
    }

    /// A hash of these spans: it depends on every item, time, event and feature of a user, on what
    /// events mean, on every label, and on their order.
    pub fn fingerprint(&self) -> u64 {
        let mut fingerprint = Fingerprint::default();
        if let Some(behaviors) = self.sequences.behaviors() {
            fingerprint.add(behaviors.to_string().as_bytes());
            fingerprint.add(&[self.role as u8]);
        }
        for span in 0..self.len() {
            let (user, [start, cut, end]) = self.bounds(span);
            fingerprint.add_history(self.sequences.history(user, start..cut));
            if matches!(self.places, Places::Cases(_)) {
                fingerprint.add_history(self.sequences.history(user, cut..end));
            }
        }
        fingerprint.finish()
    }
}
