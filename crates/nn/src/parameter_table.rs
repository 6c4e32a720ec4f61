//! The table of parameters and buffers of a module.

use chainrule_tensor::Shape;

/// A parameter or buffer.
pub(crate) struct Row {
    pub(crate) path: String,
    pub(crate) shape: Shape,
    pub(crate) note: Note,
}

/// What is said about a row.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Note {
    /// A parameter like most.
    None,
    Frozen,
    /// A parameter that is in the table already.
    Shared,
    Buffer,
}

impl Note {
    fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Frozen => "frozen",
            Self::Shared => "shared",
            Self::Buffer => "buffer",
        }
    }
}

/// One line per row, then the totals; a shared parameter is counted once.
pub(crate) fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| [row.path.clone(), row.shape.to_string(), row.shape.numel().to_string()];
    let head = ["path".to_owned(), "shape".to_owned(), "count".to_owned()];
    let table: Vec<([String; 3], Note)> =
        std::iter::once((head, Note::None)).chain(rows.iter().map(|row| (cells(row), row.note))).collect();
    let width = |column: usize| table.iter().map(|(cells, _)| cells[column].chars().count()).max().unwrap_or(0);
    let (path_width, shape_width, count_width) = (width(0), width(1), width(2));
    let mut lines: Vec<String> = table
        .iter()
        .map(|([path, shape, count], note)| {
            let note = note.text();
            let line = format!("{path:path_width$}  {shape:shape_width$}  {count:>count_width$}  {note}");
            line.trim_end().into()
        })
        .collect();
    let total = |note| rows.iter().filter(|row| row.note == note).map(|row| row.shape.numel()).sum::<usize>();
    let (frozen, buffers) = (total(Note::Frozen), total(Note::Buffer));
    let parameters = total(Note::None) + frozen;
    let frozen = if frozen > 0 { format!(", {frozen} of them frozen") } else { String::new() };
    let buffers = if buffers > 0 { format!("; {buffers} numbers in buffers") } else { String::new() };
    lines.push(format!("{parameters} parameters{frozen}{buffers}"));
    lines.join("\n")
}
