//! The strokes of a drawing: connected areas of ink, without specks and what comes in from the edge of the picture.

use std::ops::Range;

use super::paper::{Page, quantile};

/// The least difference between ink and paper, of 255.
const LEAST_CONTRAST: f64 = 24.0;

/// The strokes that were found.
pub(super) struct Strokes {
    /// 0 where there is no stroke, up to 255 for ink, row-major.
    pub ink: Vec<u8>,
    /// The rows and columns of the smallest box around them.
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    /// What was left out: whether areas at the edge of the picture, and the number of specks.
    pub edge: bool,
    pub specks: usize,
    /// The number of drawings beside each other, with a column without large strokes between them.
    pub drawings: usize,
}

/// Finds the strokes of a page. Ink is what exceeds Otsu's threshold, and all that is connected with it and exceeds the noise.
///
/// # Errors
/// The difference between the darkest part and the paper, if that is no ink.
pub(super) fn find(page: &Page, [h, w]: [usize; 2]) -> Result<Strokes, f64> {
    let threshold = otsu(&page.strength).max(4.0 * page.noise);
    let surely = page.strength.iter().map(|&s| f64::from(s)).filter(|&s| s > threshold);
    if surely.clone().next().is_none() {
        return Err(f64::from(page.strength.iter().copied().max().unwrap_or(0)));
    }
    // Strokes are darkest in the middle; a quarter of the ink is at least as dark as this.
    let full = quantile(surely, 0.75);
    // Of noise alone, a large page has pixels beyond 4 standard deviations, but hardly any beyond 5.
    if full < LEAST_CONTRAST.max(5.0 * page.noise) {
        return Err(full);
    }
    // A blurred edge is as wide again as its stroke; its outer part would make the box too large.
    let low = (0.2 * full).max(4.0 * page.noise).min(threshold);
    let mut areas: Vec<Area> =
        areas(&page.strength, [h, w], low).into_iter().filter(|a| a.strongest > threshold).collect();

    let at_edge =
        |area: &Area| area.rows.start == 0 || area.columns.start == 0 || area.rows.end == h || area.columns.end == w;
    let is_drawing = |area: &Area| area.rows.len().max(area.columns.len()) * 10 >= h.max(w);
    let edge = areas.iter().any(at_edge) && areas.iter().any(|area| !at_edge(area) && is_drawing(area));
    if edge {
        areas.retain(|area| !at_edge(area));
    }
    let largest = areas.iter().map(|area| area.pixels.len()).max().unwrap_or(0);
    let before = areas.len();
    areas.retain(|area| area.pixels.len() * 50 >= largest);

    let mut ink = vec![0; h * w];
    for &at in areas.iter().flat_map(|area| &area.pixels) {
        ink[at] = (f64::from(page.strength[at]) / full * 255.0).round() as u8;
    }
    let span = |range: fn(&Area) -> &Range<usize>| {
        let (starts, ends) = (areas.iter().map(|area| range(area).start), areas.iter().map(|area| range(area).end));
        starts.min().unwrap_or(0)..ends.max().unwrap_or(0)
    };
    let (rows, columns) = (span(|area| &area.rows), span(|area| &area.columns));
    Ok(Strokes { ink, rows, columns, edge, specks: before - areas.len(), drawings: drawings(&areas) })
}

/// How many groups of large areas there are, with a column between them that has none. The strokes of one digit are rarely
/// separated this way.
fn drawings(areas: &[Area]) -> usize {
    let largest = areas.iter().map(|area| area.pixels.len()).max().unwrap_or(0);
    let large = areas.iter().filter(|area| area.pixels.len() * 10 >= largest);
    let mut spans: Vec<&Range<usize>> = large.map(|area| &area.columns).collect();
    spans.sort_by_key(|span| span.start);
    let (mut drawings, mut end) = (0, 0);
    for span in spans {
        drawings += usize::from(drawings == 0 || span.start > end);
        end = end.max(span.end);
    }
    drawings
}

/// The threshold that separates two groups of values best: the largest variance between their means (N. Otsu, 1979). Values above
/// it are the upper group.
fn otsu(values: &[u8]) -> f64 {
    let mut histogram = [0_u64; 256];
    for &value in values {
        histogram[usize::from(value)] += 1;
    }
    let moments = |range: &[u64], start: usize| {
        let count: u64 = range.iter().sum();
        let sum: u64 = range.iter().enumerate().map(|(value, &n)| (start + value) as u64 * n).sum();
        (count as f64, sum as f64)
    };
    let separation = |threshold: usize| {
        let (low, high) = histogram.split_at(threshold + 1);
        let ((n, sum), (m, upper)) = (moments(low, 0), moments(high, threshold + 1));
        if n == 0.0 || m == 0.0 { 0.0 } else { n * m * (sum / n - upper / m).powi(2) }
    };
    // The first of equals, so that the threshold is the largest value of the lower group.
    let best = (0..255).rev().max_by(|&a, &b| separation(a).total_cmp(&separation(b)));
    best.unwrap_or(0) as f64
}

/// A connected area.
struct Area {
    pixels: Vec<usize>,
    rows: Range<usize>,
    columns: Range<usize>,
    strongest: f64,
}

/// The areas of pixels above `low` that touch each other at a side or a corner.
fn areas(strength: &[u8], [h, w]: [usize; 2], low: f64) -> Vec<Area> {
    let mut open: Vec<bool> = strength.iter().map(|&s| f64::from(s) > low).collect();
    let mut areas = Vec::new();
    for first in 0..h * w {
        if !std::mem::take(&mut open[first]) {
            continue;
        }
        let (i, j) = (first / w, first % w);
        let mut area = Area { pixels: vec![first], rows: i..i + 1, columns: j..j + 1, strongest: 0.0 };
        let mut next = 0;
        while let Some(&at) = area.pixels.get(next) {
            next += 1;
            let (i, j) = (at / w, at % w);
            area.rows = area.rows.start.min(i)..area.rows.end.max(i + 1);
            area.columns = area.columns.start.min(j)..area.columns.end.max(j + 1);
            area.strongest = area.strongest.max(f64::from(strength[at]));
            for i in i.saturating_sub(1)..(i + 2).min(h) {
                for j in j.saturating_sub(1)..(j + 2).min(w) {
                    if std::mem::take(&mut open[i * w + j]) {
                        area.pixels.push(i * w + j);
                    }
                }
            }
        }
        areas.push(area);
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otsu_separates_two_groups() {
        // Values 10, 11 and 100 ×3: any threshold from 11 to 99 separates them; the first counts.
        assert_eq!(otsu(&[10, 11, 100, 100, 100]), 11.0);
        // All equal: nothing is above it.
        assert_eq!(otsu(&[7; 4]), 0.0);
    }
}
