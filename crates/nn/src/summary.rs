//! The table of what a module owns.

use std::collections::HashSet;

use chainrule_tensor::Float;

use crate::module::{Item, Visitor};

/// A line for each parameter and buffer that `visit` shows, and the totals; a shared parameter counts once.
pub(crate) fn table<T: Float>(visit: impl FnOnce(&mut Visitor<'_, T>)) -> String {
    let mut rows = vec![["path".to_owned(), "shape".to_owned(), "count".to_owned(), String::new()]];
    let (mut seen, mut learned, mut frozen, mut buffers) = (HashSet::new(), 0, 0, 0);
    visit(&mut Visitor::new(&mut |path, item| {
        let (shape, note) = match item {
            Item::Parameter(var) if !seen.insert(var.id()) => (var.shape(), "shared"),
            Item::Parameter(var) => {
                let (total, note) = if var.requires_grad() { (&mut learned, "") } else { (&mut frozen, "frozen") };
                *total += var.shape().numel();
                (var.shape(), note)
            }
            Item::Buffer(buffer) => {
                let shape = buffer.get().shape();
                buffers += shape.numel();
                (shape, "buffer")
            }
            Item::Counter(_) | Item::Mode(_) => return,
        };
        rows.push([path.to_owned(), shape.to_string(), shape.numel().to_string(), note.to_owned()]);
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (path_width, shape_width, count_width) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [path, shape, count, note] in &rows {
        let line = format!("{path:path_width$}  {shape:shape_width$}  {count:>count_width$}  {note}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!("{} parameters", learned + frozen));
    if frozen > 0 {
        text.push_str(&format!(", {frozen} of them frozen"));
    }
    if buffers > 0 {
        text.push_str(&format!("; {buffers} numbers in buffers"));
    }
    text
}
