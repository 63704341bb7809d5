//! Maps of items in two dimensions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::axis::range_of;
use super::failed;
use super::palette::COLORS;
use super::picture::Picture;
use super::svg::{At, Escaped, Frame, Svg, cut, width_of};
use super::tsne::tsne;
use crate::Result;
use crate::checks::same_length;
use crate::data::{Catalog, Items};

/// A point of a map.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// Its place, from left to right.
    pub x: f32,
    /// Its place, from below upward.
    pub y: f32,
    /// The group that it is colored by, such as a genre.
    pub group: Option<String>,
    /// The title that is shown to whoever points at it.
    pub title: Option<String>,
}

/// The items that a map shows at most: the most popular ones.
const MOST_ITEMS: usize = 3_000;

impl MapPoint {
    /// Points for the most popular items of a catalog, 3,000 at most, of their vectors `[items + 1,
    /// dim]`, row 0 being padding, placed by [`tsne`](super::tsne). Titles are those of a table of
    /// items, and groups the first labels of one of its columns; ids and no groups where there is
    /// none.
    ///
    /// ```
    /// use seqrec::data::synthetic::Synthetic;
    /// use seqrec::plot::MapPoint;
    /// use seqrec::prelude::*;
    ///
    /// let shop = Synthetic::new().with_users(80).with_items(60);
    /// let data = Dataset::new(shop.generate()?, Filters::default())?;
    /// let (config, items) = (Gru4RecConfig::new().with_dim(8), data.catalog().len());
    /// let vectors = item_vectors(&config.init::<Flex>(items, 1, &Default::default())?);
    /// let movies = shop.movies()?;
    /// let points = MapPoint::of_items(data.catalog(), vectors.view(), Some(&movies), "genres", 1)?;
    /// assert_eq!(points.len(), items);
    /// assert!(points[0].title.is_some() && points[0].group.is_some());
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) when the vectors are not of the catalog, and
    /// those of [`tsne`](super::tsne).
    pub fn of_items(
        catalog: &Catalog,
        vectors: ArrayView2<'_, f32>,
        table: Option<&Items>,
        groups: &str,
        seed: u64,
    ) -> Result<Vec<Self>> {
        same_length("item vectors", catalog.len() + 1, vectors.nrows())?;
        let mut items = catalog.by_popularity();
        items.truncate(MOST_ITEMS);
        let rows: Vec<usize> = items.iter().map(|item| item.to_usize()).collect();
        let places = tsne(vectors.select(Axis(0), &rows).view(), seed)?;
        let points = items.iter().zip(places).filter_map(|(&item, (x, y))| {
            let id = catalog.id_of(item)?;
            let labels = table.and_then(|table| table.labels(id, groups).ok());
            let group = labels.and_then(|labels| labels.first().map(|&label| label.to_owned()));
            let title = Some(table.map_or_else(|| id.to_string(), |table| table.title(id)));
            Some(Self { x, y, group, title })
        });
        Ok(points.collect())
    }
}

const WIDTH: f64 = 760.0;
const SIZE: f64 = 17.0;
/// The height of the part with the points.
const HEIGHT: f64 = 640.0;
/// The map as so many cells a side, in which groups are counted.
const CELLS: usize = 24;
/// By how many standard deviations a group must be above its usual number to be named in a cell:
/// more than chance would give any of the cells.
const SURPLUS: f64 = 4.0;

/// Draws a map of points, such as of items whose vectors [`tsne`](super::tsne) has placed. The
/// largest groups have colors, and names where many of them are together; all others are gray.
///
/// ```
/// use seqrec::plot::{MapPoint, draw_map};
///
/// let point = |x: f32, group: &str| MapPoint {
///     x,
///     group: Some(group.to_owned()),
///     title: Some(format!("item {x}")),
///     ..MapPoint::default()
/// };
/// let picture = draw_map("Two items", &[point(0.0, "Drama"), point(1.0, "Comedy")])?;
/// assert!(picture.to_string().contains("<title>item 1 (Comedy)</title>"));
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Plot`](crate::ErrorKind::Plot) when there is no point, or one has no finite place.
pub fn draw_map(title: &str, points: &[MapPoint]) -> Result<Picture> {
    let (Some(across), Some(upward)) = (
        range_of(points.iter().map(|point| f64::from(point.x))),
        range_of(points.iter().map(|point| f64::from(point.y))),
    ) else {
        return Err(failed(title, "there is no point"));
    };
    if let Some(lost) = points
        .iter()
        .position(|point| !point.x.is_finite() || !point.y.is_finite())
    {
        return Err(failed(title, &format!("point {lost} has no finite place")));
    }
    let groups = Groups::of(points);
    let mut svg = Svg::new();
    let (left, width) = (16.0, WIDTH - 32.0);
    let heading = 1.25 * SIZE;
    svg.text(
        At::Start(left, 32.0),
        ("b", heading),
        &cut(title, width, heading),
    );
    let legend = svg.legend((left, 44.0), (width, SIZE), &groups.legend());
    let frame = Frame {
        left: left + 8.0,
        top: 44.0 + legend + 16.0,
        width: width - 16.0,
        height: HEIGHT,
    };
    let share = |value: f32, (low, high): (f64, f64)| {
        (f64::from(value) - low) / (high - low).max(f64::MIN_POSITIVE)
    };
    let places: Vec<(f64, f64)> = (points.iter())
        .map(|point| (share(point.x, across), 1.0 - share(point.y, upward)))
        .collect();
    draw_points(&mut svg, frame, &groups, points, &places);
    draw_names(&mut svg, frame, &groups, &places);
    Ok(svg.finish(title, (WIDTH, frame.bottom() + 24.0)))
}

/// The groups of points, the largest first.
struct Groups {
    largest: Vec<(String, usize)>,
    /// Of each point its place among the largest.
    of_points: Vec<Option<usize>>,
    /// How many groups are smaller, of how many points, and how many points have no group.
    smaller: (usize, usize),
    none: usize,
}

impl Groups {
    fn of(points: &[MapPoint]) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for group in points.iter().filter_map(|point| point.group.as_deref()) {
            *counts.entry(group).or_default() += 1;
        }
        let mut all: Vec<(&str, usize)> = counts.into_iter().collect();
        all.sort_by_key(|&(_, count)| Reverse(count));
        let smaller = all.split_off(all.len().min(COLORS));
        let group = |point: &MapPoint| {
            let group = point.group.as_deref()?;
            all.iter().position(|(name, _)| *name == group)
        };
        Self {
            of_points: points.iter().map(group).collect(),
            smaller: (smaller.len(), smaller.iter().map(|(_, count)| count).sum()),
            none: points.iter().filter(|point| point.group.is_none()).count(),
            largest: (all.iter())
                .map(|&(name, count)| (name.to_owned(), count))
                .collect(),
        }
    }

    /// Classes and names, the gray ones last.
    fn legend(&self) -> Vec<(String, String)> {
        let largest = self.largest.iter().enumerate();
        let mut legend: Vec<(String, String)> = largest
            .map(|(place, (name, count))| (format!("c{place}"), format!("{name} {count}")))
            .collect();
        let gray = match (self.smaller, self.none) {
            ((0, _), 0) => return legend,
            ((0, _), none) => format!("no group {none}"),
            ((groups, points), 0) => format!("{groups} others {points}"),
            ((groups, points), none) => format!("{groups} others {points}, no group {none}"),
        };
        legend.push(("other".to_owned(), gray));
        legend
    }
}

/// The points with their titles, the gray ones below.
fn draw_points(
    svg: &mut Svg,
    frame: Frame,
    groups: &Groups,
    points: &[MapPoint],
    places: &[(f64, f64)],
) {
    for colored in [false, true] {
        let all = points.iter().zip(places).zip(&groups.of_points);
        for ((point, (x, y)), group) in all.filter(|(_, group)| group.is_some() == colored) {
            let (class, radius) = match group {
                Some(group) => (format!("c{group}"), 3.4),
                None => ("other".to_owned(), 2.4),
            };
            let title = match (&point.title, &point.group) {
                (Some(title), Some(group)) => format!("{title} ({group})"),
                (Some(text), None) | (None, Some(text)) => text.clone(),
                (None, None) => String::new(),
            };
            svg.add(format_args!(
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill-opacity=\".8\"><title>{}</title></circle>",
                frame.left + x * frame.width,
                frame.top + y * frame.height,
                Escaped(&title),
            ));
        }
    }
}

/// A place for the name of a group: how good it is, and its cell.
type Spot = (f64, usize, (usize, usize));

/// Names of groups where they are more than elsewhere, as far as they do not meet.
fn draw_names(svg: &mut Svg, frame: Frame, groups: &Groups, places: &[(f64, f64)]) {
    let mut spots = spots(groups, places);
    spots.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut taken, mut named) = (Vec::<Frame>::new(), BTreeSet::new());
    for (_, group, (column, row)) in spots {
        let Some((name, _)) = groups
            .largest
            .get(group)
            .filter(|_| !named.contains(&group))
        else {
            continue;
        };
        let width = width_of(name, SIZE);
        let at = |cell: usize, start: f64, length: f64| {
            start + (cell as f64 + 0.5) / CELLS as f64 * length
        };
        let middle = at(column, frame.left, frame.width);
        let middle = middle.clamp(frame.left + width / 2.0, frame.right() - width / 2.0);
        let middle_row = at(row, frame.top, frame.height);
        let room = Frame {
            left: middle - width / 2.0,
            top: middle_row - 0.7 * SIZE,
            width,
            height: 1.4 * SIZE,
        };
        if taken.iter().any(|other| other.meets(room)) {
            continue;
        }
        let at = At::Middle(middle, middle_row + 0.36 * SIZE);
        svg.text(at, (&format!("b halo c{group}"), SIZE), name);
        taken.push(room);
        named.insert(group);
    }
}

/// The cells in which a group is more frequent than in the whole map. Each counts with the cells
/// around it.
fn spots(groups: &Groups, places: &[(f64, f64)]) -> Vec<Spot> {
    let kinds = groups.largest.len();
    let cell = |share: f64| ((share * CELLS as f64) as usize).min(CELLS - 1);
    // Of each cell the points of each group, and all points.
    let mut counts = vec![vec![0usize; kinds + 1]; CELLS * CELLS];
    for ((x, y), group) in places.iter().zip(&groups.of_points) {
        for column in cell(*x).saturating_sub(1)..=(cell(*x) + 1).min(CELLS - 1) {
            for row in cell(*y).saturating_sub(1)..=(cell(*y) + 1).min(CELLS - 1) {
                let of_cell = &mut counts[row * CELLS + column];
                of_cell[kinds] += 1;
                if let Some(group) = group {
                    of_cell[*group] += 1;
                }
            }
        }
    }
    let mut spots = Vec::new();
    for (place, counts) in counts.iter().enumerate() {
        for (group, (_, all)) in groups.largest.iter().enumerate() {
            let expected = counts[kinds] as f64 * *all as f64 / places.len() as f64;
            let surplus =
                (counts[group] as f64 - expected) / expected.sqrt().max(f64::MIN_POSITIVE);
            if surplus >= SURPLUS {
                spots.push((surplus, group, (place % CELLS, place / CELLS)));
            }
        }
    }
    spots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    fn point(x: f32, y: f32, group: Option<&str>) -> MapPoint {
        MapPoint {
            x,
            y,
            group: group.map(str::to_owned),
            title: Some(format!("<at {x}>")),
        }
    }

    #[test]
    fn each_group_is_named_or_one_of_the_others() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let sized = names.iter().enumerate().flat_map(|(place, name)| {
            (0..20 - place).map(move |at| point(place as f32, at as f32, Some(*name)))
        });
        let mut points: Vec<MapPoint> = sized.collect();
        points.push(point(3.0, 3.0, None));
        let drawn = draw_map("Items", &points).unwrap().to_string();
        for expected in [
            ">a 20<",
            ">h 13<",
            ">2 others 23, no group 1<",
            "&lt;at 3&gt; (d)",
        ] {
            assert!(drawn.contains(expected), "{expected}");
        }
        assert!(!drawn.contains(">i 12<") && !drawn.contains("<at"));
    }

    #[test]
    fn a_group_is_named_where_it_is_and_high_is_up() {
        let cluster = |x: f32, y: f32, group| {
            (0..90).map(move |at| point(x + 0.01 * at as f32, y, Some(group)))
        };
        let points: Vec<MapPoint> = cluster(0.0, 0.0, "low")
            .chain(cluster(10.0, 10.0, "high"))
            .collect();
        let drawn = draw_map("Items", &points).unwrap().to_string();
        let height = |name: &str| -> f64 {
            let end = drawn
                .find(&format!("font-size=\"{SIZE}\">{name}<"))
                .unwrap();
            let start = drawn[..end].rfind("y=\"").unwrap() + 3;
            drawn[start..].split('"').next().unwrap().parse().unwrap()
        };
        assert!(height("high") + 300.0 < height("low"));
    }

    #[test]
    fn no_point_and_no_place_are_errors() {
        let lost = [point(0.0, 0.0, None), point(f32::NAN, 0.0, None)];
        for points in [&[][..], &lost[..]] {
            assert!(matches!(
                draw_map("Items", points).as_ref().map_err(Error::kind),
                Err(ErrorKind::Plot { .. })
            ));
        }
    }
}
