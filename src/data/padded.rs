//! Histories side by side, padded to one length.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use super::event::Event;
use super::user::User;
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result, checks};

/// Histories of unequal length, padded at the end, on the host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PaddedSequences {
    /// Row-major `[batch, len]`, where `len` is the longest of them.
    pub(super) items: Vec<i32>,
    /// Each item's time in the same places; 0 where it is not known.
    times: Vec<f64>,
    /// The time of what comes after each item, in the same places.
    pub(super) next_times: Vec<f64>,
    /// Each item's event in the same places; none at all where no history has any.
    events: Vec<Event>,
    /// Each user's features, one after another.
    features: Vec<f32>,
    pub(super) lengths: Vec<usize>,
    pub(super) len: usize,
}

impl PaddedSequences {
    /// Keeps the last `max_len` items of each history and pads to the longest that is left.
    fn new<'a, H: Into<User<'a>>>(
        histories: impl IntoIterator<Item = H>,
        max_len: usize,
    ) -> Result<Self> {
        checks::at_least_one(&[("max_len", max_len)])?;
        let kept: Vec<User<'a>> = (histories.into_iter())
            .map(|history| history.into().last(max_len))
            .collect();
        if kept.is_empty() {
            return Err(Error::invalid(
                "histories",
                "empty",
                "a batch needs at least one",
            ));
        }
        for (row, history) in kept.iter().map(|history| history.items()).enumerate() {
            if history.is_empty() || history.contains(&ItemIndex::PADDING) {
                return Err(Error::invalid(
                    "histories",
                    format!("{history:?} in row {row}"),
                    "a history needs at least one item, and none may be padding (0)",
                ));
            }
        }
        let longest = kept.iter().map(|history| history.items().len()).max();
        check_positions("histories", kept.len(), longest.unwrap_or(0))?;
        let expected = kept[0].features().len();
        match kept
            .iter()
            .find(|history| history.features().len() != expected)
        {
            Some(other) => Err(ErrorKind::Shape {
                what: "features of the users of a batch",
                expected,
                found: other.features().len(),
            }
            .into()),
            None => Ok(Self::from_checked(&kept)),
        }
    }

    /// Of histories that were [checked](Self::new).
    pub(super) fn from_checked(histories: &[User<'_>]) -> Self {
        let lengths: Vec<usize> = (histories.iter())
            .map(|history| history.items().len())
            .collect();
        let len = lengths.iter().copied().max().unwrap_or(0);
        let mut items = vec![ItemIndex::PADDING.get() as i32; histories.len() * len];
        let mut times = vec![0.0; items.len()];
        let mut next_times = vec![0.0; items.len()];
        let known = histories.iter().any(|history| !history.events().is_empty());
        let mut events = vec![Event::default(); if known { items.len() } else { 0 }];
        for (row, history) in events.chunks_exact_mut(len.max(1)).zip(histories) {
            row[..history.events().len()].copy_from_slice(history.events());
        }
        let rows = items.chunks_exact_mut(len).zip(times.chunks_exact_mut(len));
        let rows = rows.zip(next_times.chunks_exact_mut(len));
        for (((items, times), next_times), history) in rows.zip(histories) {
            for (place, &item) in items.iter_mut().zip(history.items()) {
                *place = item.get() as i32;
            }
            times[..history.times().len()].copy_from_slice(history.times());
            if let (Some(later), Some(now)) = (history.times().get(1..), history.now()) {
                next_times[..later.len()].copy_from_slice(later);
                next_times[later.len()] = now;
            }
        }
        let features = histories
            .iter()
            .flat_map(|history| history.features().iter().copied());
        Self {
            items,
            times,
            next_times,
            events,
            features: features.collect(),
            lengths,
            len,
        }
    }

    /// The histories as a tensor on a device.
    pub(super) fn into_tensors<B: Backend>(self, device: &B::Device) -> SequenceBatch<B> {
        let batch = self.lengths.len();
        let shape = [batch, self.len];
        let columns = self.features.len() / batch;
        let features = TensorData::new(self.features, [batch, columns]);
        let numbers = |number: fn(Event) -> i32| {
            (!self.events.is_empty()).then(|| {
                let numbers: Vec<i32> = self.events.iter().copied().map(number).collect();
                Tensor::from_data(TensorData::new(numbers, shape), device)
            })
        };
        SequenceBatch {
            event_types: numbers(Event::type_number),
            event_values: numbers(Event::value_step),
            features: (columns > 0).then(|| Tensor::from_data(features, device)),
            items: Tensor::from_data(TensorData::new(self.items, shape), device),
            times: self.times,
            next_times: self.next_times,
            lengths: self.lengths,
        }
    }
}

/// Refuses batches whose positions are not numbers of a device, which has 32 bits for them.
pub(super) fn check_positions(field: &'static str, rows: usize, len: usize) -> Result<()> {
    let positions = rows.saturating_mul(len);
    if positions < i32::MAX as usize {
        return Ok(());
    }
    let reason =
        format!("rows of {len} items have {positions} positions, and 2^31 - 2 are possible");
    Err(Error::invalid(field, rows, reason))
}

/// Histories of a batch on a device.
#[derive(Debug, Clone)]
pub struct SequenceBatch<B: Backend> {
    /// Item indices `[batch, len]`, padded with 0 at the end of each row.
    pub items: Tensor<B, 2, Int>,
    /// When each item was taken, `[batch * len]`, in the unit of the source; 0 at padding and where
    /// it is not known. On the host, in double precision, since seconds since 1970 need it.
    pub times: Vec<f64>,
    /// When what comes after each item was taken, `[batch * len]`: the item after it, and after the
    /// last one what is [asked for](User::at). Of a target, this is the time at which it is to be
    /// predicted.
    pub next_times: Vec<f64>,
    /// The type of each item's event, `[batch, len]`: the number of its rule among the data's
    /// [`Behaviors`](super::Behaviors) from 1 on, and 0 at padding and where it is not known.
    pub event_types: Option<Tensor<B, 2, Int>>,
    /// The value of each item's event in 255 steps, `[batch, len]`; 0 where it has none.
    pub event_values: Option<Tensor<B, 2, Int>>,
    /// The users' features, `[batch, features]`.
    pub features: Option<Tensor<B, 2>>,
    /// How many items of each row are real, `1..=len`.
    pub lengths: Vec<usize>,
}

impl<B: Backend> SequenceBatch<B> {
    /// The last `max_len` items of each history, padded at the end to the longest that is left.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when there is no history, one is empty or holds padding, or
    /// `max_len` is 0; [`ErrorKind::Shape`] when some have features and others don't.
    pub fn new<'a, H: Into<User<'a>>>(
        histories: impl IntoIterator<Item = H>,
        max_len: usize,
        device: &B::Device,
    ) -> Result<Self> {
        Ok(PaddedSequences::new(histories, max_len)?.into_tensors(device))
    }

    /// Checks the users' features for a model that takes `expected` of them.
    ///
    /// # Errors
    /// [`ErrorKind::FeaturesMissing`] when there are none, and [`ErrorKind::Shape`] when there are
    /// more or fewer; a model that takes none passes over any.
    pub fn check_features(&self, expected: usize) -> Result<()> {
        match self.features.as_ref().map(|features| features.dims()[1]) {
            None if expected > 0 => Err(ErrorKind::FeaturesMissing { row: 0, expected }.into()),
            Some(found) if expected > 0 && found != expected => Err(ErrorKind::Shape {
                what: "features of a user",
                expected,
                found,
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Where each row's last real item lies in the flattened batch, `[batch]`.
    pub fn last_positions(&self) -> Tensor<B, 1, Int> {
        let [batch, len] = self.items.dims();
        let last: Vec<i32> = (self.lengths.iter().enumerate())
            .map(|(row, length)| (row * len + length - 1) as i32)
            .collect();
        Tensor::from_data(TensorData::new(last, [batch]), &self.items.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ItemIndex;

    #[test]
    fn histories_that_cannot_be_padded_are_errors() {
        for histories in [vec![], vec![&[][..]], vec![&[1, 0][..]]] {
            let histories = histories.into_iter().map(ItemIndex::from_slice);
            assert!(PaddedSequences::new(histories, 3).is_err());
        }
        // More positions than a device has numbers for, though the histories share their memory.
        let long = vec![ItemIndex::new(1); 1 << 16];
        let many = std::iter::repeat_n(&long[..], 1 << 15);
        assert!(matches!(
            PaddedSequences::new(many, usize::MAX)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::InvalidValue {
                field: "histories",
                ..
            })
        ));
    }
}
