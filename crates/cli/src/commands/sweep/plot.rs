//! The plot of a sweep: accuracy by setting, and curves by epoch, with the spread over the seeds.

use std::collections::BTreeMap;
use std::path::Path;

use kuva::plot::{LegendPosition, LinePlot};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use super::flags::Flag;
use super::grid::{Grid, Setting};
use super::run::Record;
use super::table::{Row, Spread};
use crate::commands::plot::picture::{self, BLUE, GRAY, GREEN, ORANGE, PURPLE, dots, grid as panels, layout};
use crate::failure::Failure;

/// Colors of the settings, of the palette of `picture`; they repeat.
const COLORS: [&str; 8] = [BLUE, ORANGE, GREEN, PURPLE, "#e69f00", "#56b4e9", "#222222", GRAY];

/// Values of which the largest is this many times the smallest are drawn on a logarithmic axis.
const LOGARITHMIC: f64 = 30.0;

type Panel = (Vec<Plot>, Layout);

/// Draws the complete runs into an SVG file, if there are any.
pub fn save(grid: &Grid, rows: &[Row], path: &Path) -> Result<(), Failure> {
    let rows: Vec<&Row> = rows.iter().filter(|row| !row.runs.is_empty()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let has = |key: &str| rows.iter().any(|row| row.runs.iter().any(|(_, record)| record.last(key).is_some()));
    let tested = if has("validation_loss") { "validation" } else { "test" };
    let [accuracy, loss] = ["accuracy", "loss"].map(|what| format!("{tested}_{what}"));
    let all = vec![
        by_setting(grid, &rows),
        by_epoch(grid, &rows, &format!("{tested} accuracy, %"), &accuracy, 100.0),
        by_epoch(grid, &rows, "training loss", "train_loss", 1.0),
        by_epoch(grid, &rows, &format!("{tested} loss"), &loss, 1.0),
    ];
    picture::save_svg(panels(all, 2, [640.0, 420.0]), path)
}

/// The final test accuracy over the values of the first flag that has numbers, else by setting.
fn by_setting(grid: &Grid, rows: &[&Row]) -> Panel {
    let found = grid.lists.iter().enumerate().find_map(|(i, flag)| Some((i, flag, numbers(&flag.values)?)));
    let Some((i, flag, (prefix, values))) = found else { return by_name(grid, rows) };
    // A line for each combination of the other flags.
    let others = |row: &Row| {
        let of_others = grid.lists.iter().zip(&row.setting).enumerate().filter(|(list, _)| *list != i);
        of_others.map(|(_, (flag, value))| format!("{} {value}", flag.name)).collect::<Vec<String>>().join(", ")
    };
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().map(|row| others(row)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let number = |value: &String| Some(values[flag.values.iter().position(|known| known == value)?]);
    let line = |(name, color): (&String, &&str)| {
        let of_line = rows.iter().filter(|row| others(row) == *name);
        let points = of_line.filter_map(|row| Some((number(&row.setting[i])?, percent(row)?)));
        let mut points: Vec<(f64, Spread)> = points.collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let line = LinePlot::new()
            .with_data(points.iter().map(|(x, spread)| (*x, spread.mean)))
            .with_y_err(points.iter().map(|(_, spread)| spread.width()))
            .with_color(*color);
        Plot::Line(if name.is_empty() { line } else { line.with_legend(name) })
    };
    let plots: Vec<Plot> = names.iter().zip(COLORS.iter().cycle()).map(line).collect();
    let x = if prefix.is_empty() { flag.name.clone() } else { format!("{} {prefix}", flag.name) };
    let layout = accuracies(&plots, &x, rows);
    let (least, most) = extent(values.into_iter());
    (plots, if least > 0.0 && most / least >= LOGARITHMIC { layout.with_log_x() } else { layout })
}

/// The final test accuracy by setting.
fn by_name(grid: &Grid, rows: &[&Row]) -> Panel {
    let points = rows.iter().enumerate().filter_map(|(i, row)| Some((i as f64 + 1.0, percent(row)?)));
    let points: Vec<(f64, Spread)> = points.collect();
    let plot = dots(points.iter().map(|(x, spread)| (*x, spread.mean)).collect(), BLUE, 5.0)
        .with_y_err(points.iter().map(|(_, spread)| spread.width()))
        .with_colors(COLORS.iter().cycle().take(points.len()).copied());
    let plots = vec![Plot::Scatter(plot)];
    let layout = accuracies(&plots, "", rows)
        .with_x_categories(rows.iter().map(|row| label(grid, &row.setting)).collect())
        .with_x_axis_min(0.5)
        .with_x_axis_max(rows.len() as f64 + 0.5);
    (plots, layout)
}

/// The layout of final accuracies, with room for the bars of their spread.
fn accuracies(plots: &[Plot], x: &str, rows: &[&Row]) -> Layout {
    let edges = |spread: Spread| [spread.mean - spread.width(), spread.mean + spread.width()];
    let (least, most) = extent(rows.iter().filter_map(|row| percent(row)).flat_map(edges));
    let room = 0.05 * (most - least).max(0.1);
    layout(plots, "after the last epoch", [x, "test accuracy, %"], LegendPosition::OutsideRightTop)
        .with_y_axis_min(least - room)
        .with_y_axis_max(most + room)
}

/// A name of a setting: the values, each with its flag if there are several.
fn label(grid: &Grid, setting: &Setting) -> String {
    let named = |(flag, value): (&Flag, &String)| format!("{} {value}", flag.name);
    match setting.as_slice() {
        [value] => value.clone(),
        values => grid.lists.iter().zip(values).map(named).collect::<Vec<String>>().join(", "),
    }
}

/// The final test accuracy, in percent.
fn percent(row: &Row) -> Option<Spread> {
    row.spread(|record: &Record| Some(100.0 * record.last("test_accuracy")?))
}

fn extent(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), x| (least.min(x), most.max(x)))
}

/// A number of each epoch, one line for each setting; the band is the standard deviation over the seeds.
fn by_epoch(grid: &Grid, rows: &[&Row], title: &str, key: &str, factor: f64) -> Panel {
    let curves: Vec<Vec<(u64, Spread)>> = rows.iter().map(|row| curve(row, key, factor)).collect();
    let line = |(i, points): (usize, &Vec<(u64, Spread)>)| {
        let edge = |sign: f64| points.iter().map(move |(_, spread)| spread.mean + sign * spread.width());
        let line = LinePlot::new()
            .with_data(points.iter().map(|(epoch, spread)| (*epoch as f64, spread.mean)))
            .with_color(COLORS[i % COLORS.len()])
            .with_band(edge(-1.0), edge(1.0));
        let name = label(grid, &rows[i].setting);
        Plot::Line(if name.is_empty() { line } else { line.with_legend(name) })
    };
    let plots: Vec<Plot> = curves.iter().enumerate().map(line).collect();
    let epochs = curves.iter().map(Vec::len).max().unwrap_or(0);
    let layout = layout(&plots, title, ["epoch", ""], LegendPosition::OutsideRightTop);
    // Else the axis of a few epochs has halves.
    (plots, if epochs <= 10 { layout.with_x_tick_step(1.0) } else { layout })
}

/// A number of each epoch over the seeds.
fn curve(row: &Row, key: &str, factor: f64) -> Vec<(u64, Spread)> {
    let mut by_epoch: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (epoch, number) in row.runs.iter().flat_map(|(_, record)| record.by_epoch(key)) {
        by_epoch.entry(epoch).or_default().push(factor * number);
    }
    by_epoch.into_iter().filter_map(|(epoch, numbers)| Some((epoch, Spread::of(&numbers)?))).collect()
}

/// The numbers of a flag's values and what stands before each, such as `leaky:`; `None` if not all are numbers.
fn numbers(values: &[String]) -> Option<(&str, Vec<f64>)> {
    let prefix = values[0].rfind(':').map_or("", |colon| &values[0][..=colon]);
    let number = |value: &String| value.strip_prefix(prefix)?.parse::<f64>().ok().filter(|x| x.is_finite());
    Some((prefix.trim_end_matches(':'), values.iter().map(number).collect::<Option<_>>()?))
}
