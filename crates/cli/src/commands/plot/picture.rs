//! Figures of panels with curves, and their files.

use std::path::Path;

use kuva::backend::png::PngBackend;
use kuva::backend::svg::SvgBackend;
use kuva::plot::{LegendPosition, LinePlot, ScatterPlot};
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use crate::failure::Failure;

/// Colors that remain distinct for color-blind readers (Okabe, Ito: "Color universal design", 2008).
pub const BLUE: &str = "#0072b2";
pub const ORANGE: &str = "#d55e00";
pub const GREEN: &str = "#009e73";
pub const PURPLE: &str = "#cc79a7";
pub const GRAY: &str = "#999999";

/// A curve with its entry in the legend.
pub fn curve(points: Vec<(f64, f64)>, color: &str, legend: &str) -> Plot {
    Plot::Line(LinePlot::new().with_data(points).with_color(color).with_stroke_width(2.0).with_legend(legend))
}

/// Separate points, drawn over curves.
pub fn dots(points: Vec<(f64, f64)>, color: &str, size: f64) -> ScatterPlot {
    ScatterPlot::new().with_data(points).with_color(color).with_size(size)
}

/// Title, axes and legend of one panel.
pub fn layout(plots: &[Plot], title: &str, [x, y]: [&str; 2], legend: LegendPosition) -> Layout {
    let layout = Layout::auto_from_plots(plots);
    // The width is measured for text of size 12.
    let legend_width = layout.legend_width * 13.0 / 12.0;
    layout
        .with_legend_width(legend_width)
        .with_title(title)
        .with_x_label(x)
        .with_y_label(y)
        .with_legend_position(legend)
        .with_title_size(18)
        .with_label_size(15)
        .with_tick_size(13)
        .with_body_size(13)
}

/// A grid of panels, filled row by row.
pub fn grid(panels: Vec<(Vec<Plot>, Layout)>, columns: usize, [width, height]: [f64; 2]) -> Figure {
    let rows = panels.len().div_ceil(columns);
    let (plots, layouts) = panels.into_iter().unzip();
    Figure::new(rows, columns).with_plots(plots).with_layouts(layouts).with_cell_size(width, height)
}

/// Writes a figure as an SVG file.
pub fn save_svg(figure: Figure, path: &Path) -> Result<(), Failure> {
    let svg = SvgBackend::default().render_scene(&figure.render());
    std::fs::write(path, svg).map_err(|why| Failure::Run(format!("cannot write {}: {why}", path.display())))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Writes `name.svg` and `name.png` into a folder.
pub fn save(figure: Figure, folder: &Path, name: &str) -> Result<(), Failure> {
    let failed = |path: &Path, why: String| Failure::Run(format!("cannot write {}: {why}", path.display()));
    std::fs::create_dir_all(folder).map_err(|why| failed(folder, why.to_string()))?;
    let scene = figure.render();
    let svg = SvgBackend::default().render_scene(&scene).into_bytes();
    let png = PngBackend::new().with_scale(2.0).render_scene(&scene).map_err(|why| failed(folder, why))?;
    for (extension, bytes) in [("svg", svg), ("png", png)] {
        let path = folder.join(name).with_extension(extension);
        std::fs::write(&path, bytes).map_err(|why| failed(&path, why.to_string()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
