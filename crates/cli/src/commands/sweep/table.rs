//! The table of a sweep: mean and standard deviation over the seeds.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::grid::{Grid, Setting};
use super::run::Record;
use crate::failure::Failure;

/// A setting with its complete runs, by seed.
pub struct Row {
    pub setting: Setting,
    pub runs: Vec<(u64, Record)>,
}

/// The mean of some numbers, and their sample standard deviation if there are several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub mean: f64,
    pub deviation: Option<f64>,
}

impl Spread {
    /// `None` for no numbers.
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let n = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
        let deviation = (numbers.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!numbers.is_empty()).then_some(Self { mean, deviation })
    }
}

impl Spread {
    /// The standard deviation; 0 of a single number.
    #[cfg(feature = "plots")]
    pub fn width(self) -> f64 {
        self.deviation.unwrap_or(0.0)
    }
}

/// A column of the table.
struct Column {
    heading: &'static str,
    /// The key in files.
    key: &'static str,
    value: fn(&Record) -> Option<f64>,
    /// What the printed numbers are multiplied by, their decimals, and their unit.
    printed: (f64, usize, &'static str),
}

const COLUMNS: [Column; 4] = [
    Column {
        heading: "train loss",
        key: "train_loss",
        value: |record| record.last("train_loss"),
        printed: (1.0, 4, ""),
    },
    Column {
        heading: "validation accuracy",
        key: "validation_accuracy",
        value: |record| record.last("validation_accuracy"),
        printed: (100.0, 2, " %"),
    },
    Column {
        heading: "test accuracy",
        key: "test_accuracy",
        value: |record| record.last("test_accuracy"),
        printed: (100.0, 2, " %"),
    },
    Column { heading: "seconds", key: "seconds", value: |record| Some(record.seconds()), printed: (1.0, 1, "") },
];

impl Row {
    /// The spread of a number over the seeds.
    pub fn spread(&self, value: impl Fn(&Record) -> Option<f64>) -> Option<Spread> {
        Spread::of(&self.runs.iter().filter_map(|(_, record)| value(record)).collect::<Vec<f64>>())
    }
}

/// The columns that some run has a number for.
fn columns(rows: &[Row]) -> impl Iterator<Item = &'static Column> + '_ {
    COLUMNS.iter().filter(|column| rows.iter().any(|row| row.spread(column.value).is_some()))
}

/// The table as text.
pub fn text(grid: &Grid, rows: &[Row]) -> String {
    let cell = |row: &Row, column: &Column| {
        let (factor, decimals, unit) = column.printed;
        let number = |x: f64| format!("{:.decimals$}", factor * x);
        match row.spread(column.value) {
            None => "-".to_owned(),
            Some(Spread { mean, deviation: None }) => format!("{}{unit}", number(mean)),
            Some(Spread { mean, deviation: Some(deviation) }) => {
                format!("{} ± {}{unit}", number(mean), number(deviation))
            }
        }
    };
    let flags = grid.lists.iter().map(|flag| flag.name.clone());
    let headings = flags.chain(["runs".to_owned()]).chain(columns(rows).map(|column| column.heading.to_owned()));
    let mut lines = vec![headings.collect::<Vec<String>>()];
    lines.extend(rows.iter().map(|row| {
        let cells = columns(rows).map(|column| cell(row, column));
        row.setting.iter().cloned().chain([row.runs.len().to_string()]).chain(cells).collect()
    }));
    let width = |i: usize| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        padded.collect::<Vec<String>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

/// Writes `table.csv` and `table.jsonl` into a folder: the same table, and in the second one also the numbers of each run.
pub fn save(grid: &Grid, rows: &[Row], folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, why: String| Failure::Run(format!("cannot write {}: {why}", path.display()));
    let path = folder.join("table.csv");
    csv(grid, rows, &path).map_err(|why| failed(&path, why.to_string()))?;
    let lines: String = rows.iter().map(|row| object(grid, row).to_string() + "\n").collect();
    let path = folder.join("table.jsonl");
    std::fs::write(&path, lines).map_err(|why| failed(&path, why.to_string()))
}

fn csv(grid: &Grid, rows: &[Row], path: &Path) -> csv::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    let flags = grid.lists.iter().map(|flag| flag.name.clone());
    let of_columns = columns(rows).flat_map(|column| [column.key.to_owned(), format!("{}_deviation", column.key)]);
    writer.write_record(flags.chain(["runs".to_owned()]).chain(of_columns))?;
    for row in rows {
        let numbers = columns(rows).flat_map(|column| {
            let spread = row.spread(column.value);
            [spread.map(|spread| spread.mean), spread.and_then(|spread| spread.deviation)]
                .map(|number| number.map_or_else(String::new, |number| number.to_string()))
        });
        writer.write_record(row.setting.iter().cloned().chain([row.runs.len().to_string()]).chain(numbers))?;
    }
    Ok(writer.flush()?)
}

fn object(grid: &Grid, row: &Row) -> Value {
    let setting = grid.lists.iter().zip(&row.setting).map(|(flag, value)| (flag.name.clone(), json!(value)));
    let setting: Map<String, Value> = setting.collect();
    let runs = row.runs.iter().map(|(seed, record)| {
        let mut run = Map::from_iter([("seed".to_owned(), json!(seed))]);
        run.extend(COLUMNS.iter().filter_map(|column| Some((column.key.to_owned(), json!((column.value)(record)?)))));
        Value::Object(run)
    });
    let mut object = json!({ "setting": setting, "runs": runs.collect::<Vec<Value>>() });
    for column in &COLUMNS {
        if let Some(Spread { mean, deviation }) = row.spread(column.value) {
            object[column.key] = json!({ "mean": mean, "deviation": deviation });
        }
    }
    object
}
