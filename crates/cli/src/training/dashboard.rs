//! A dashboard in the terminal: curves, progress, the last results.
//!
//! The terminal is not switched to raw mode, so Ctrl-C stays a signal and the run ends as without a dashboard.

use std::io::{self, Stdout};

use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Direction, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, LegendPosition, Paragraph};

use super::display::{Display, EpochProgress};
use super::epoch_result::{EpochResult, Score};
use crate::terminal;

/// The dashboard.
pub struct Dashboard {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    view: View,
}

/// What the dashboard shows.
#[derive(Default)]
struct View {
    lines: Vec<String>,
    progress: Option<EpochProgress>,
    /// (epochs since the start, mean loss since the last point).
    losses: Vec<(f64, f64)>,
    /// The steps and the sum of the losses at the last point of the current epoch.
    at_point: (u64, f64),
    results: Vec<EpochResult>,
}

impl Dashboard {
    /// Takes the terminal.
    pub fn open() -> io::Result<Self> {
        terminal::take()?;
        let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        terminal.clear()?;
        Ok(Self { terminal, view: View::default() })
    }

    fn draw(&mut self) {
        // A terminal that cannot be drawn on must not end a run.
        let _ = self.terminal.draw(|frame| self.view.draw(frame));
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.close();
    }
}

impl Display for Dashboard {
    fn line(&mut self, text: &str) {
        self.view.lines.push(text.to_owned());
        self.draw();
    }

    fn step(&mut self, progress: &EpochProgress) {
        self.view.add(progress);
        self.draw();
    }

    fn epoch(&mut self, result: &EpochResult) {
        self.view.results.push(*result);
        self.line(&result.line());
    }

    /// Prints what was shown in lines.
    fn close(&mut self) {
        if terminal::restore() {
            for line in &self.view.lines {
                println!("{line}");
            }
        }
    }
}

impl View {
    /// Adds a point to the curve of the loss: the mean of the steps since the last one.
    fn add(&mut self, progress: &EpochProgress) {
        let (done, sum) = (progress.done, progress.loss * progress.done as f64);
        let (before, sum_before) = if done > self.at_point.0 { self.at_point } else { (progress.first, 0.0) };
        // Of a resumed epoch, only the mean over all of its steps is known.
        if done > before && before > 0 || done > 0 && progress.first == 0 {
            let epochs = f64::from(progress.epoch - 1) + done as f64 / progress.steps as f64;
            self.losses.push((epochs, (sum - sum_before) / (done - before) as f64));
        }
        self.at_point = (done, sum);
        self.progress = Some(*progress);
    }

    fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let wide = area.width >= 90;
        let charts = if wide || area.height < 24 { Constraint::Min(8) } else { Constraint::Min(16) };
        let rows = [Constraint::Length(1), charts, Constraint::Length(1), Constraint::Length(8)];
        let [head, charts, gauge, log] = Layout::vertical(rows).areas(area);
        frame.render_widget(Paragraph::new(self.lines.first().map_or("", String::as_str)), head);
        let direction = if wide { Direction::Horizontal } else { Direction::Vertical };
        let halves = [Constraint::Percentage(50); 2];
        let [left, right] = Layout::new(direction, halves).areas(charts);
        self.draw_losses(frame, left);
        self.draw_accuracies(frame, right);
        if let Some(progress) = &self.progress {
            let EpochProgress { epoch, epochs, steps, done, loss, .. } = *progress;
            let label = format!(
                "epoch {epoch}/{epochs}  step {done}/{steps}  loss {loss:.4}  {:.0} images/s  {:.0} s left",
                progress.rate(),
                progress.seconds_left()
            );
            let style = Style::default().fg(Color::Blue);
            frame.render_widget(
                Gauge::default().ratio(done as f64 / steps as f64).label(label).gauge_style(style),
                gauge,
            );
        }
        let count = usize::from(log.height.saturating_sub(3));
        let head = format!(
            "{:>5}  {:<18}{}{:<18}",
            "epoch",
            "training",
            self.validation_column(|| "validation".into()),
            "test"
        );
        let last = self.results.iter().skip(self.results.len().saturating_sub(count)).map(|result| self.row(result));
        let lines: Vec<Line<'_>> = std::iter::once(head).chain(last).map(Line::from).collect();
        let block = Block::bordered().title(" loss and accuracy; Ctrl-C ends the run in good order ");
        frame.render_widget(Paragraph::new(lines).block(block), log);
    }

    /// A line of the table of results.
    fn row(&self, result: &EpochResult) -> String {
        let cell = |score: Score| format!("{:.4}  {:>6.2} %  ", score.loss, 100.0 * score.accuracy);
        let validation = self.validation_column(|| result.validation.map(cell).unwrap_or_default());
        format!("{:>5}  {}{validation}{}{:>7.1} s", result.epoch, cell(result.train), cell(result.test), result.seconds)
    }

    /// A cell of the column of validation results, if there are any.
    fn validation_column(&self, cell: impl Fn() -> String) -> String {
        if self.results.iter().any(|result| result.validation.is_some()) {
            format!("{:<18}", cell())
        } else {
            String::new()
        }
    }

    fn draw_losses(&self, frame: &mut Frame<'_>, area: Rect) {
        let of = |score: fn(&EpochResult) -> Option<f64>| -> Vec<(f64, f64)> {
            self.results.iter().filter_map(|result| Some((result.epoch as f64, score(result)?))).collect()
        };
        let (test, validation) = (of(|result| Some(result.test.loss)), of(|result| Some(result.validation?.loss)));
        let curves = [
            ("training", Color::Blue, &self.losses, Marker::Braille),
            ("validation", Color::Yellow, &validation, Marker::Dot),
            ("test", Color::Red, &test, Marker::Dot),
        ];
        draw(frame, area, " loss by epoch ", &curves, LegendPosition::TopRight, |y| format!("{y:.3}"));
    }

    fn draw_accuracies(&self, frame: &mut Frame<'_>, area: Rect) {
        let of = |score: fn(&EpochResult) -> Option<f64>| -> Vec<(f64, f64)> {
            self.results.iter().filter_map(|result| Some((result.epoch as f64, 100.0 * score(result)?))).collect()
        };
        let train = of(|result| Some(result.train.accuracy));
        let validation = of(|result| Some(result.validation?.accuracy));
        let test = of(|result| Some(result.test.accuracy));
        let curves = [
            ("training", Color::Blue, &train, Marker::Braille),
            ("validation", Color::Yellow, &validation, Marker::Braille),
            ("test", Color::Red, &test, Marker::Braille),
        ];
        draw(frame, area, " accuracy by epoch, % ", &curves, LegendPosition::BottomRight, |y| format!("{y:.1}"));
    }
}

/// A curve: name, color, points, marker.
type Curve<'a> = (&'a str, Color, &'a Vec<(f64, f64)>, Marker);

/// Draws those curves that have points; their values are not negative.
fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    curves: &[Curve<'_>],
    legend: LegendPosition,
    label: impl Fn(f64) -> String,
) {
    let points = curves.iter().flat_map(|curve| curve.2).filter(|(_, y)| y.is_finite());
    let (mut low, mut high, mut end) = (f64::INFINITY, f64::NEG_INFINITY, 1.0_f64);
    for &(x, y) in points {
        (low, high, end) = (low.min(y), high.max(y), end.max(x));
    }
    let block = Block::bordered().title(title.to_owned());
    if low > high {
        frame.render_widget(Paragraph::new("nothing yet").block(block), area);
        return;
    }
    // A single value has no range.
    let room = ((high - low) * 0.05).max(high.abs() * 1e-3).max(1e-6);
    let (low, high) = ((low - room).max(0.0), high + room);
    let (x_labels, y_labels) =
        ([0.0, end / 2.0, end].map(|x| format!("{x:.1}")), [low, f64::midpoint(low, high), high].map(label));
    let chart = Chart::new(curves.iter().filter_map(line).collect())
        .block(block)
        .x_axis(Axis::default().bounds([0.0, end]).labels(x_labels))
        .y_axis(Axis::default().bounds([low, high]).labels(y_labels))
        .legend_position(Some(legend));
    frame.render_widget(chart, area);
}

/// A curve as a widget, if it has points.
fn line<'a>(&(name, color, points, marker): &Curve<'a>) -> Option<Dataset<'a>> {
    let line = Dataset::default().name(name).marker(marker).style(Style::default().fg(color));
    (!points.is_empty()).then(|| line.graph_type(GraphType::Line).data(points))
}
