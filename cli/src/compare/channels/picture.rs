//! How much the channels' lists overlap, as a picture in SVG.

use std::error::Error;

use plotters::prelude::*;

use super::measure::Measured;

const CELL: i32 = 56;
const LEFT: i32 = 120;
const TOP: i32 = 150;

/// Draws for every two channels which share of the first one's items the second one finds too, on
/// average over users.
pub fn draw(rows: &[Measured]) -> Result<String, Box<dyn Error>> {
    let count = rows.len() as i32;
    let size = (
        (LEFT + CELL * count + 24) as u32,
        (TOP + CELL * count + 24) as u32,
    );
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    area.fill(&WHITE)?;
    let font = |size: i32| ("sans-serif", size).into_font();
    area.draw(&Text::new(
        format!(
            "Share of a row's first {} items that the column's channel recalls too",
            rows.first().map_or(0, |row| row.cuts.largest())
        ),
        (16, 16),
        font(17),
    ))?;
    for (row, of) in rows.iter().enumerate() {
        let y = TOP + CELL * row as i32;
        area.draw(&Text::new(
            of.name.as_str(),
            (16, y + CELL / 2 - 8),
            font(15),
        ))?;
        let upright = font(15).transform(FontTransform::Rotate270);
        let x = LEFT + CELL * row as i32;
        area.draw(&Text::new(
            of.name.as_str(),
            (x + CELL / 2 - 8, TOP - 8),
            upright,
        ))?;
        for (column, with) in rows.iter().enumerate() {
            let share = overlap(of, with);
            let x = LEFT + CELL * column as i32;
            // From white to dark blue.
            let shade = |full: f64, none: f64| (none + (full - none) * share) as u8;
            let color = RGBColor(shade(8.0, 247.0), shade(69.0, 251.0), shade(148.0, 255.0));
            let cell = [(x, y), (x + CELL - 2, y + CELL - 2)];
            area.draw(&Rectangle::new(cell, color.filled()))?;
            let ink = if share > 0.5 { &WHITE } else { &BLACK };
            let label = font(14).color(ink);
            area.draw(&Text::new(
                format!("{share:.2}"),
                (x + 12, y + CELL / 2 - 8),
                label,
            ))?;
        }
    }
    area.present()?;
    drop(area);
    Ok(svg)
}

fn overlap(of: &Measured, with: &Measured) -> f64 {
    let shares = of
        .lists
        .iter()
        .zip(&with.lists)
        .filter(|(of, _)| !of.is_empty());
    let shares: Vec<f64> = shares
        .map(|(of, with)| {
            let with: std::collections::HashSet<_> = with.iter().collect();
            of.iter().filter(|item| with.contains(item)).count() as f64 / of.len() as f64
        })
        .collect();
    // No list at all overlaps with nothing.
    shares.iter().fold(0.0, |sum, share| sum + share) / shares.len().max(1) as f64
}
