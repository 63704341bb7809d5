//! What is kept of each event beside its item.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use bytemuck::{Pod, Zeroable};

/// The type and the value of an event, in two bytes: which rule of the data's
/// [`Behaviors`](super::Behaviors) it falls under, and its value to a ninth.
///
/// Values are kept on a scale of eight steps for each doubling of `1 + value`, up to 60,000 either
/// way of 0: the ratings 0.5, 1, … 5 and 1, 2, … 10 differ, and a price is known to within 5 %.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Event {
    /// The rule's number from 1 on, or 0 where the type isn't known.
    behavior: u8,
    /// The step of the value, 128 at 0, or 0 where there is none.
    value: u8,
}

/// The step of the value 0.
const ORIGIN: f32 = 128.0;

/// How many steps there are on either side of it.
const MOST: f32 = 127.0;

/// How many steps there are while 1 + value doubles.
const STEPS: f32 = 8.0;

impl Event {
    /// How many numbers [`value_step`](Self::value_step) can be.
    pub(crate) const VALUE_STEPS: usize = 256;

    pub(super) fn new(behavior: u8, value: Option<f32>) -> Self {
        let step = |value: f32| {
            let steps = (STEPS * value.abs().ln_1p() / std::f32::consts::LN_2).round();
            (ORIGIN + steps.min(MOST).copysign(value)) as u8
        };
        let value = value.filter(|value| !value.is_nan()).map_or(0, step);
        Self { behavior, value }
    }

    /// The number of the rule that the event falls under, or `None` where its type isn't known.
    pub fn behavior(self) -> Option<usize> {
        usize::from(self.behavior).checked_sub(1)
    }

    /// About the value of the event, where it has one.
    pub fn value(self) -> Option<f32> {
        (self.value != 0).then(|| {
            let steps = f32::from(self.value) - ORIGIN;
            ((steps.abs() / STEPS).exp2() - 1.0).copysign(steps)
        })
    }

    /// The number of the rule from 1 on, 0 for none.
    pub(crate) fn type_number(self) -> i32 {
        self.behavior.into()
    }

    /// The step of the value, 0 for none.
    pub(crate) fn value_step(self) -> i32 {
        self.value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_to_a_ninth_and_ratings_differ() {
        for value in [0.0f32, 0.5, 1.0, 4.5, 5.0, 10.0, 99.9, 12_000.0, -2.0, -7.5] {
            let kept = Event::new(1, Some(value)).value().unwrap();
            assert!(
                (kept - value).abs() <= 0.05 * (1.0 + value.abs()),
                "{value}: {kept}"
            );
        }
        for ratings in [0.5, 1.0] {
            let steps = (0..=10).map(|rating| Event::new(1, Some(rating as f32 * ratings)));
            let mut steps: Vec<i32> = steps.map(Event::value_step).collect();
            steps.dedup();
            assert_eq!(steps.len(), 11, "{steps:?}");
        }
        assert_eq!(Event::new(3, None).value(), None);
        assert_eq!(Event::new(3, Some(f32::NAN)), Event::new(3, None));
        assert_eq!(
            (Event::new(3, None).behavior(), Event::default().behavior()),
            (Some(2), None)
        );
        for far in [f32::MAX, f32::INFINITY] {
            assert!(Event::new(1, Some(far)).value() > Some(55_000.0));
            assert!(Event::new(1, Some(-far)).value() < Some(-55_000.0));
        }
    }
}
