//! Axes with round numbers.

/// The range of an axis, and the distance of its ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

/// The range that values span, where there are any.
pub(super) fn range_of(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

impl Axis {
    /// An axis from one round number to another, with about so many ticks, that holds a range.
    pub(super) fn round((low, high): (f64, f64), ticks: f64) -> Self {
        let step = step((low, high), ticks);
        Self {
            low: (low / step + 1e-9).floor() * step,
            high: ((high / step - 1e-9).ceil() * step)
                .max((low / step + 1e-9).floor() * step + step),
            step,
        }
    }

    /// An axis that ends where the range does, its ticks at round whole numbers.
    pub(super) fn whole((low, high): (f64, f64), ticks: f64) -> Self {
        let high = high.max(low + 1.0);
        let step = step((low, high), ticks).max(1.0);
        Self { low, high, step }
    }

    /// The same axis with another end.
    pub(super) fn up_to(self, high: f64) -> Self {
        Self { high, ..self }
    }

    /// Where a value is, from 0 to 1.
    pub(super) fn place(self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// The ticks with the numbers at them.
    pub(super) fn ticks(self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-9).ceil();
        let count = ((self.high / self.step + 1e-9).floor() - first).max(0.0) as usize;
        (0..=count)
            .map(|number| {
                let value = (first + number as f64) * self.step;
                (value, number_of(value, self.step))
            })
            .collect()
    }
}

/// A 1, 2 or 5 with zeros that divides a range into about so many parts.
fn step((low, high): (f64, f64), parts: f64) -> f64 {
    let span = high - low;
    // One value alone, or as good as that: a range around it that its digits can tell.
    let span = span.max(1e-6 * low.abs().max(high.abs())).max(1e-9);
    let rough = span / parts;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    let times = steps
        .into_iter()
        .find(|times| times * power >= rough * 0.999);
    times.unwrap_or(10.0) * power
}

/// A number with as many digits as tell it from the next tick.
fn number_of(value: f64, step: f64) -> String {
    let digits = (-(step.log10() + 1e-9).floor()).clamp(0.0, 12.0) as usize;
    let text = format!("{value:.digits$}");
    match text
        .trim_start_matches('-')
        .chars()
        .all(|digit| digit == '0' || digit == '.')
    {
        true => "0".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_range() {
        assert_eq!(
            labels(Axis::round((0.0, 0.187), 5.0)),
            ["0", "0.05", "0.10", "0.15", "0.20"]
        );
        assert_eq!(
            labels(Axis::round((5.9, 8.2), 5.0)),
            ["5.5", "6.0", "6.5", "7.0", "7.5", "8.0", "8.5"]
        );
        assert_eq!(
            labels(Axis::round((0.0, 1.0), 5.0)),
            ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(Axis::whole((0.0, 64.0), 6.0)),
            ["0", "20", "40", "60"]
        );
        assert_eq!(labels(Axis::whole((0.0, 1.0), 6.0)), ["0", "1"]);
        for (low, high) in [
            (3.0, 3.0),
            (-1e9, -1e9),
            (0.0, 1e-30),
            (1e15, 1e15 + 2.0),
            (-2.0, 7e5),
        ] {
            let axis = Axis::round((low, high), 5.0);
            for value in [low, high] {
                assert!(
                    (-1e-6..=1.0 + 1e-6).contains(&axis.place(value)),
                    "{axis:?} {value}"
                );
            }
            assert!((2..=13).contains(&axis.ticks().len()), "{axis:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_in_no_range() {
        assert_eq!(
            range_of([f64::NAN, 2.0, f64::INFINITY, 1.0]),
            Some((1.0, 2.0))
        );
        assert_eq!(range_of([f64::NAN]), None);
    }
}
