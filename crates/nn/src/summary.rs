//! The summary table of a module.

use std::collections::HashSet;

use chainrule_tensor::Float;

use crate::module::{Item, Visitor};

/// One line per visited parameter and buffer, then the totals; a shared parameter is counted once.
pub(crate) fn table<T: Float>(visit: impl FnOnce(&mut Visitor<'_, T>)) -> String {
    let mut rows = vec![["path".to_owned(), "shape".to_owned(), "count".to_owned(), String::new()]];
    let (mut seen, mut total, mut frozen, mut buffers) = (HashSet::new(), 0, 0, 0);
    visit(&mut Visitor::new(&mut |path, item| {
        let (shape, note) = match item {
            Item::Parameter(var) if !seen.insert(var.id()) => (var.shape(), "shared"),
            Item::Parameter(var) => {
                let count = var.shape().numel();
                total += count;
                if var.requires_grad() {
                    (var.shape(), "")
                } else {
                    frozen += count;
                    (var.shape(), "frozen")
                }
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
    let mut lines: Vec<String> = rows
        .iter()
        .map(|[path, shape, count, note]| {
            let line = format!("{path:path_width$}  {shape:shape_width$}  {count:>count_width$}  {note}");
            line.trim_end().into()
        })
        .collect();
    let frozen = if frozen > 0 { format!(", {frozen} of them frozen") } else { String::new() };
    let buffers = if buffers > 0 { format!("; {buffers} numbers in buffers") } else { String::new() };
    lines.push(format!("{total} parameters{frozen}{buffers}"));
    lines.join("\n")
}
