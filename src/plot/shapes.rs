//! Lines, points and bars in the area of a chart.

use super::area::Area;
use super::chart::{Chart, Shape, interval};
use super::svg::{At, Escaped, Frame, Svg, width_of};

/// Lines with more points than this have none drawn but the best.
const DOTS: usize = 30;

/// A line with its dots, and a ring around the best.
pub(super) fn draw_line(
    svg: &mut Svg,
    area: &Area,
    color: usize,
    name: &str,
    points: &[(f64, f64)],
    best: Option<f64>,
) {
    let parts = points.split(|(x, y)| !x.is_finite() || !y.is_finite());
    for part in parts.filter(|part| !part.is_empty()) {
        if part.len() > 1 {
            svg.add(format_args!("<polyline class=\"l{color}\" points=\""));
            for (x, y) in part {
                let (x, y) = area.at(*x, *y);
                svg.add(format_args!("{x:.1},{y:.1} "));
            }
            svg.add(format_args!("\"/>"));
        }
        for (x, y) in part {
            let is_best = best == Some(*x);
            if !is_best && part.len() > 1 && points.len() > DOTS {
                continue;
            }
            let (class, radius) = if is_best {
                (format!("ring l{color}\" stroke-width=\"3"), 5.5)
            } else {
                (format!("c{color}"), 3.0)
            };
            let at = area.at(*x, *y);
            svg.add(format_args!(
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"><title>{} at {x}: {y:.4}</title></circle>",
                at.0, at.1, Escaped(name)
            ));
        }
    }
}

/// The points of all series with their names beside them, as near as there is room, and joined to
/// them where that is not at once beside.
pub(super) fn draw_points(svg: &mut Svg, chart: &Chart, area: &Area) {
    let mut places: Vec<(usize, &str, (f64, f64))> = Vec::new();
    for (series, of) in chart.series.iter().enumerate() {
        if let Shape::Points(points) = &of.shape {
            let finite = points
                .iter()
                .filter(|(_, x, y)| x.is_finite() && y.is_finite());
            places.extend(finite.map(|(name, x, y)| {
                let color = chart.color(series);
                (color, name.as_str(), area.at(*x, *y))
            }));
        }
    }
    let mut taken: Vec<Frame> = (places.iter())
        .map(|(.., (x, y))| Frame {
            left: x - 6.0,
            top: y - 6.0,
            width: 12.0,
            height: 12.0,
        })
        .collect();
    for &(_, name, (x, y)) in &places {
        if let Some(free) = room_beside((x, y), name, area, &taken) {
            let edge = if free.left > x {
                free.left
            } else {
                free.right()
            };
            let middle = free.top + free.height / 2.0;
            if (middle - y).abs() > area.size {
                svg.line("lead", (x, y), (edge, middle));
            }
            let at = At::Start(free.left, free.top + 0.95 * area.size);
            svg.text(at, ("halo", area.size), name);
            taken.push(free);
        }
    }
    for (color, name, (x, y)) in places {
        svg.add(format_args!(
            "<circle class=\"c{color}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{}</title></circle>",
            Escaped(name)
        ));
    }
}

/// The nearest free place for the name of a point.
fn room_beside((x, y): (f64, f64), name: &str, area: &Area, taken: &[Frame]) -> Option<Frame> {
    let (size, width) = (area.size, width_of(name, area.size));
    let rows = (0..8).flat_map(|row| [f64::from(row), -f64::from(row)]);
    let all = rows.flat_map(|row| {
        [x + 9.0, x - 9.0 - width].map(|left| Frame {
            left,
            top: y - 0.6 * size + 1.15 * size * row,
            width,
            height: 1.1 * size,
        })
    });
    let within = |frame: &Frame| {
        frame.left >= area.frame.left
            && frame.right() <= area.frame.right() + size
            && frame.top >= area.frame.top - size
            && frame.bottom() <= area.frame.bottom()
    };
    all.filter(within)
        .find(|frame| !taken.iter().any(|other| other.meets(*frame)))
}

/// Bars of one series, with their whiskers.
pub(super) fn draw_bars(
    svg: &mut Svg,
    chart: &Chart,
    area: &Area,
    (series, groups): (usize, &[String]),
    bars: &[(String, f64, usize)],
) {
    let color = chart.color(series);
    let room = area.frame.width / groups.len().max(1) as f64;
    let width = 0.7 * room / chart.series.len() as f64;
    for (name, mean, cases) in bars.iter().filter(|(_, mean, _)| mean.is_finite()) {
        let Some(group) = groups.iter().position(|group| group == name) else {
            continue;
        };
        let left = area.frame.left + (group as f64 + 0.15) * room + series as f64 * width;
        let (_, top) = area.at(0.0, *mean);
        svg.add(format_args!(
            "<rect class=\"c{color}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{}, {}: {mean:.4}, {cases} cases</title></rect>",
            left + 0.05 * width,
            0.9 * width,
            (area.frame.bottom() - top).max(0.0),
            Escaped(&chart.series[series].name),
            Escaped(name),
        ));
        let (low, high) = interval(*mean, *cases);
        let middle = left + width / 2.0;
        let (low, high) = (area.at(0.0, low).1, area.at(0.0, high).1);
        // On a light line of its own, without which it would be lost on a dark bar.
        for class in ["under", "whisker"] {
            svg.line(class, (middle, low), (middle, high));
            for end in [low, high] {
                svg.line(class, (middle - 4.0, end), (middle + 4.0, end));
            }
        }
    }
}
