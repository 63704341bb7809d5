//! A chart in its frame.

use super::area::Area;
use super::axis::{Axis, range_of};
use super::chart::{Chart, Series, Shape, interval};
use super::picture::Picture;
use super::shapes::{draw_bars, draw_line, draw_points};
use super::svg::{At, Frame, Svg, cut, width_of};
use crate::Result;

impl Chart {
    /// Draws the chart.
    ///
    /// # Errors
    /// [`ErrorKind::Plot`](crate::ErrorKind::Plot) when there is nothing to draw, or when groups
    /// are mixed with numbers.
    pub fn draw(&self) -> Result<Picture> {
        const SIZE: (f64, f64) = (480.0, 330.0);
        let mut svg = Svg::new();
        let frame = Frame {
            left: 8.0,
            top: 6.0,
            width: SIZE.0 - 16.0,
            height: SIZE.1 - 12.0,
        };
        panel(&mut svg, self, frame, 13.0)?;
        Ok(svg.finish(&self.title, SIZE))
    }
}

/// Draws a chart into a frame, in texts of a size.
pub(super) fn panel(svg: &mut Svg, chart: &Chart, frame: Frame, size: f64) -> Result<()> {
    let groups = groups(chart)?;
    let (x, y) = axes(chart, groups.len())?;
    let top = heading(svg, chart, frame, size) + marks_height(chart, size) + 1.1 * size;
    let numbers = y.ticks().into_iter();
    let widest = numbers.map(|(_, text)| width_of(&text, size));
    let left = frame.left + widest.fold(0.0, f64::max) + 0.8 * size;
    let below = 1.7 * size
        + if chart.x.is_empty() { 0.0 } else { 1.4 * size }
        + if groups.is_empty() { 0.0 } else { 1.3 * size };
    let area = Area {
        frame: Frame {
            left,
            top,
            width: frame.right() - 0.8 * size - left,
            height: (frame.bottom() - below - top).max(size),
        },
        x,
        y,
        size,
    };
    draw_axes(svg, chart, &area, frame.bottom());
    draw_groups(svg, chart, &area, &groups);
    draw_marks(svg, chart, &area);
    for (place, series) in chart.series.iter().enumerate() {
        let color = chart.color(place);
        match &series.shape {
            Shape::Line(points, best) => draw_line(svg, &area, color, &series.name, points, *best),
            Shape::Points(_) => {}
            Shape::Bars(bars) => draw_bars(svg, chart, &area, (place, &groups), bars),
        }
    }
    draw_points(svg, chart, &area);
    Ok(())
}

/// Draws what stands above a chart: its title, the names of its series, and that of the upright
/// axis. Gives where that ends.
fn heading(svg: &mut Svg, chart: &Chart, frame: Frame, size: f64) -> f64 {
    let mut top = frame.top;
    let title = cut(&chart.title, frame.width, 1.15 * size);
    if !title.is_empty() {
        top += 1.3 * size;
        svg.text(At::Start(frame.left, top), ("b", 1.15 * size), &title);
        top += 0.5 * size;
    }
    if chart.series.len() > 1 {
        let name = |(place, series): (usize, &Series)| {
            (format!("c{}", chart.color(place)), series.name.clone())
        };
        let names: Vec<_> = chart.series.iter().enumerate().map(name).collect();
        top += svg.legend((frame.left, top), (frame.width, size), &names);
    }
    if !chart.y.is_empty() {
        top += 1.2 * size;
        svg.text(At::Start(frame.left, top), ("soft", size), &chart.y);
        top += 0.3 * size;
    }
    top
}

/// The names of all groups, in the order that they come in; none of a chart of numbers.
fn groups(chart: &Chart) -> Result<Vec<String>> {
    let mut groups: Vec<String> = Vec::new();
    let mut numbers = false;
    for series in &chart.series {
        match &series.shape {
            Shape::Bars(bars) => {
                for (name, ..) in bars {
                    if !groups.contains(name) {
                        groups.push(name.clone());
                    }
                }
            }
            Shape::Line(..) | Shape::Points(_) => numbers = true,
        }
    }
    if numbers && !groups.is_empty() {
        return Err(chart.failed("bars of groups and numbers have no axis in common"));
    }
    Ok(groups)
}

/// The axes that hold all values.
fn axes(chart: &Chart, groups: usize) -> Result<(Axis, Axis)> {
    let (mut xs, mut ys, mut lines) = (Vec::new(), Vec::new(), false);
    for series in &chart.series {
        match &series.shape {
            Shape::Line(points, _) => {
                lines = true;
                let finite = points
                    .iter()
                    .filter(|(x, y)| x.is_finite() && y.is_finite());
                for (x, y) in finite {
                    xs.push(*x);
                    ys.push(*y);
                }
            }
            Shape::Points(points) => {
                for (_, x, y) in points {
                    xs.push(*x);
                    ys.push(*y);
                }
            }
            Shape::Bars(bars) => {
                for (_, mean, cases) in bars.iter().filter(|(_, mean, _)| mean.is_finite()) {
                    ys.extend([0.0, interval(*mean, *cases).1, *mean]);
                }
            }
        }
    }
    let nothing = || chart.failed("there is nothing to draw");
    let (mut low, mut high) = range_of(ys).ok_or_else(nothing)?;
    if chart.from_zero {
        (low, high) = (low.min(0.0), high.max(0.0));
    }
    let mut y = Axis::round((low, high), 5.0);
    if chart.up_to_one && high <= 1.0 {
        y = Axis::round((low.min(0.8), 1.0), 5.0).up_to(1.0);
    }
    if groups > 0 {
        return Ok((Axis::whole((0.0, groups as f64), 1.0), y));
    }
    let (mut left, right) = range_of(xs).ok_or_else(nothing)?;
    if chart.from_zero || lines {
        left = left.min(0.0);
    }
    let x = match lines {
        true => Axis::whole((left, right), 7.0),
        false => Axis::round((left, right), 5.0),
    };
    Ok((x, y))
}

fn draw_axes(svg: &mut Svg, chart: &Chart, area: &Area, bottom: f64) {
    let (frame, size) = (area.frame, area.size);
    for (value, text) in area.y.ticks() {
        let (_, y) = area.at(0.0, value);
        svg.line("grid", (frame.left, y), (frame.right(), y));
        let at = At::End(frame.left - 0.5 * size, y + 0.36 * size);
        svg.text(at, ("soft", size), &text);
    }
    let foot = frame.bottom();
    svg.line("axis", (frame.left, foot), (frame.right(), foot));
    let grouped = matches!(
        chart.series.first().map(|series| &series.shape),
        Some(Shape::Bars(_))
    );
    if !grouped {
        for (value, text) in area.x.ticks() {
            let (x, _) = area.at(value, 0.0);
            svg.line("axis", (x, foot), (x, foot + 0.3 * size));
            svg.text(At::Middle(x, foot + 1.4 * size), ("soft", size), &text);
        }
    }
    if !chart.x.is_empty() {
        let at = At::Middle(frame.left + frame.width / 2.0, bottom - 0.3 * size);
        svg.text(at, ("soft", size), &chart.x);
    }
}

/// Names of groups below their bars, with the number of cases of the first series that has any.
fn draw_groups(svg: &mut Svg, chart: &Chart, area: &Area, groups: &[String]) {
    let (foot, size) = (area.frame.bottom(), area.size);
    let room = area.frame.width / groups.len().max(1) as f64;
    for (place, group) in groups.iter().enumerate() {
        let (x, _) = area.at(place as f64 + 0.5, 0.0);
        let name = cut(group, room, size);
        svg.text(At::Middle(x, foot + 1.3 * size), ("", size), &name);
        let mut counts: Vec<usize> = Vec::new();
        for series in &chart.series {
            let Shape::Bars(bars) = &series.shape else {
                continue;
            };
            let of_group = bars.iter().filter(|(name, ..)| name == group);
            counts.extend(of_group.map(|(_, _, cases)| *cases));
        }
        counts.dedup();
        let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
        let count = cut(&format!("n {}", counts.join(" / ")), room, size);
        svg.text(
            At::Middle(x, foot + 2.5 * size),
            ("soft", 0.9 * size),
            &count,
        );
    }
}

/// In which row each of the words above the marks stands, where those of one row do not meet.
fn mark_rows(chart: &Chart, area: &Area) -> Vec<(f64, f64, usize)> {
    let mut ends: Vec<f64> = Vec::new();
    let mut marks: Vec<&(f64, String)> = chart.marks.iter().collect();
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut rows = Vec::new();
    for (value, label) in marks {
        let (x, _) = area.at(*value, 0.0);
        let width = width_of(label, area.size);
        let middle = x.min(area.frame.right() - width / 2.0);
        let middle = middle.max(area.frame.left + width / 2.0);
        let start = middle - width / 2.0;
        let row = ends.iter().position(|end| *end < start);
        let row = row.unwrap_or(ends.len());
        if row == ends.len() {
            ends.push(0.0);
        }
        if let Some(end) = ends.get_mut(row) {
            *end = start + width + area.size;
        }
        rows.push((x, middle, row));
    }
    rows
}

/// Room for two rows of words, since where they stand is not known yet.
fn marks_height(chart: &Chart, size: f64) -> f64 {
    1.3 * size * chart.marks.len().min(2) as f64
}

fn draw_marks(svg: &mut Svg, chart: &Chart, area: &Area) {
    let mut marks: Vec<&(f64, String)> = chart.marks.iter().collect();
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    for ((x, middle, row), (_, label)) in mark_rows(chart, area).into_iter().zip(marks) {
        let top = area.frame.top - (0.4 + 1.3 * row as f64) * area.size;
        svg.line("mark", (x, top), (x, area.frame.bottom()));
        svg.text(
            At::Middle(middle, top - 0.2 * area.size),
            ("", area.size),
            label,
        );
    }
}
