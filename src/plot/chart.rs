//! Charts of lines, points and bars.

use super::failed;
use super::palette::COLORS;
use crate::Error;

/// A chart with one axis a side: lines over numbers, named points, or bars of groups.
///
/// ```
/// use seqrec::plot::Chart;
///
/// let losses = [(1.0, 8.2), (2.0, 7.1), (3.0, 6.6)];
/// let picture = Chart::new("Training", "epoch", "loss")
///     .line("gru4rec", losses, Some(3.0))
///     .mark(3.0, "best")
///     .draw()?;
/// assert!(picture.to_string().starts_with("<svg"));
///
/// // Of groups, how many cases each has decides how sure its mean is.
/// let groups = [("1-4".to_owned(), 0.31, 12), ("5-9".to_owned(), 0.22, 420)];
/// Chart::new("recall@10", "items of the history", "").bars("gru4rec", groups).draw()?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    pub(super) title: String,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) series: Vec<Series>,
    pub(super) marks: Vec<(f64, String)>,
    pub(super) from_zero: bool,
    pub(super) up_to_one: bool,
    /// The first color.
    pub(super) color: usize,
}

/// What is drawn in one color.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Points that are joined, and which of them is the best.
    Line(Vec<(f64, f64)>, Option<f64>),
    Points(Vec<(String, f64, f64)>),
    /// Of each group its name, a mean and of how many cases it is.
    Bars(Vec<(String, f64, usize)>),
}

impl Chart {
    /// An empty chart with a title and the names of its axes, which may be empty.
    pub fn new(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            x: x.into(),
            y: y.into(),
            series: Vec::new(),
            marks: Vec::new(),
            from_zero: false,
            up_to_one: false,
            color: 0,
        }
    }

    /// Adds points that are joined, with a ring around the one at `best`. Where a value is NaN or
    /// infinite, the line has a gap.
    #[must_use]
    pub fn line(
        self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = (f64, f64)>,
        best: Option<f64>,
    ) -> Self {
        self.with(name, Shape::Line(points.into_iter().collect(), best))
    }

    /// Adds points with names.
    #[must_use]
    pub fn points(
        self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = (String, f64, f64)>,
    ) -> Self {
        self.with(name, Shape::Points(points.into_iter().collect()))
    }

    /// Adds a bar a group: its name, the mean of a measure from 0 to 1, and of how many cases it
    /// is. A whisker shows where the mean may be, with 95 % confidence at least.
    ///
    /// Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927). His
    /// interval is for shares; means of other numbers from 0 to 1 vary less.
    #[must_use]
    pub fn bars(
        self,
        name: impl Into<String>,
        bars: impl IntoIterator<Item = (String, f64, usize)>,
    ) -> Self {
        self.with(name, Shape::Bars(bars.into_iter().collect()))
    }

    /// Adds an upright line with a word above it, such as where training stopped.
    #[must_use]
    pub fn mark(mut self, x: f64, label: impl Into<String>) -> Self {
        self.marks.push((x, label.into()));
        self
    }

    /// Lets both axes begin at 0.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    /// Lets the upright axis end at 1, as shares do.
    #[must_use]
    pub fn up_to_one(mut self) -> Self {
        self.up_to_one = true;
        self
    }

    /// Lets colors begin at another than the first.
    pub(super) fn colors_from(mut self, color: usize) -> Self {
        self.color = color;
        self
    }

    fn with(mut self, name: impl Into<String>, shape: Shape) -> Self {
        let name = name.into();
        self.series.push(Series { name, shape });
        self
    }

    /// The color of a series.
    pub(super) fn color(&self, series: usize) -> usize {
        (self.color + series) % COLORS
    }

    pub(super) fn failed(&self, reason: &str) -> Error {
        failed(&self.title, reason)
    }
}

/// Where the mean of so many numbers from 0 to 1 may be, with 95 % confidence at least.
pub(super) fn interval(mean: f64, cases: usize) -> (f64, f64) {
    const Z: f64 = 1.96;
    let (mean, cases) = (mean.clamp(0.0, 1.0), cases.max(1) as f64);
    let shrink = 1.0 + Z * Z / cases;
    let center = (mean + Z * Z / (2.0 * cases)) / shrink;
    let half = Z / shrink * (mean * (1.0 - mean) / cases + (Z / (2.0 * cases)).powi(2)).sqrt();
    ((center - half).max(0.0), (center + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn svg(chart: Chart) -> String {
        chart.draw().unwrap().to_string()
    }

    #[test]
    fn few_cases_look_like_few() {
        let (few, many) = (interval(0.1, 12), interval(0.1, 1200));
        // By the formula's author's own tables: 0.1 of 12 may be a third.
        assert!(
            (0.01..0.03).contains(&few.0) && (0.35..0.40).contains(&few.1),
            "{few:?}"
        );
        assert!(many.0 > 0.08 && many.1 < 0.12, "{many:?}");
        assert_eq!(interval(0.0, 5).0, 0.0);
        let bars = [
            ("rare".to_owned(), 0.1, 12),
            ("frequent".to_owned(), 0.1, 1200),
        ];
        let drawn = svg(Chart::new("recall", "taken", "").bars("model", bars));
        for expected in ["rare", "n 12", "n 1200", "class=\"whisker\""] {
            assert!(drawn.contains(expected), "{expected} in {drawn}");
        }
    }

    #[test]
    fn points_have_their_names_and_shares_end_at_one() {
        let points = [
            ("exact".to_owned(), 90.0, 1.0),
            ("graph, ef 50".to_owned(), 20.0, 0.93),
        ];
        let chart = Chart::new("Index", "microseconds", "recall").points("run", points);
        let drawn = svg(chart.from_zero().up_to_one());
        for expected in [
            ">exact</text>",
            ">graph, ef 50</text>",
            ">1.0</text>",
            ">0</text>",
        ] {
            assert!(drawn.contains(expected), "{expected} in {drawn}");
        }
        assert!(!drawn.contains(">1.2</text>"));
    }

    #[test]
    fn what_is_no_number_is_a_gap_and_nothing_is_an_error() {
        let line = |values: &[f64]| {
            let points = (1..).map(f64::from).zip(values.to_vec());
            Chart::new("Loss", "epoch", "").line("run", points, None)
        };
        let drawn = svg(line(&[3.0, f64::NAN, 2.0, 1.0]));
        assert!(!drawn.contains("NaN") && drawn.matches("<polyline").count() == 1);
        let mixed = line(&[1.0]).bars("groups", [("a".to_owned(), 0.5, 1)]);
        for wrong in [line(&[]), line(&[f64::NAN]), Chart::new("", "", ""), mixed] {
            assert!(matches!(
                wrong.draw().as_ref().map_err(Error::kind),
                Err(ErrorKind::Plot { .. })
            ));
        }
    }

    #[test]
    fn names_from_data_stay_text() {
        let chart = Chart::new("<script>", "a & b", "").line("<i>", [(0.0, 1.0)], None);
        let drawn = svg(chart.line("other", [(1.0, 1.0)], Some(1.0)));
        assert!(!drawn.contains("<script>") && !drawn.contains("<i>"));
        assert!(drawn.contains("&lt;script&gt;") && drawn.contains("a &amp; b"));
    }
}
