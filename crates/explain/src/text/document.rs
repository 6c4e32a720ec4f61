//! Headings, paragraphs and aligned tables, as text for a terminal and as Markdown.

use anstyle::{AnsiColor, Style};

/// A text that can be printed plain, with colors, and as Markdown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document(Vec<Block>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Block {
    Heading(String),
    Paragraph(String),
    Table(Table),
}

/// A table. Columns are as wide as their widest cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub header: Vec<&'static str>,
    /// For each column whether it is aligned to the right, as numbers are.
    pub right: Vec<bool>,
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub cells: Vec<String>,
    pub tone: Tone,
}

/// The emphasis of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Normal,
    /// A result, such as a sum.
    Strong,
    /// What matters less, such as a rest.
    Faint,
    /// What deserves attention, such as a factor of 0.
    Warning,
}

impl Table {
    /// A table with a header; columns in `right` are aligned to the right.
    pub fn new(header: &[&'static str], right: &[usize]) -> Self {
        let right = (0..header.len()).map(|i| right.contains(&i)).collect();
        Self { header: header.to_vec(), right, rows: Vec::new() }
    }

    pub fn push(&mut self, tone: Tone, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row { cells: cells.into_iter().collect(), tone });
    }
}

/// The width of a text in a terminal: combining accents take no column.
fn width(text: &str) -> usize {
    text.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count()
}

impl Document {
    /// A document that starts with a paragraph.
    #[must_use]
    pub fn with_paragraph(text: impl Into<String>) -> Self {
        Self(vec![Block::Paragraph(text.into())])
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.0.push(Block::Heading(text.into()));
    }

    pub(crate) fn paragraph(&mut self, text: impl Into<String>) {
        self.0.push(Block::Paragraph(text.into()));
    }

    pub(crate) fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            self.0.push(Block::Table(table));
        }
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.0
    }

    /// Appends another document.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Aligned text.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.render(|_, text| text.to_owned())
    }

    /// Aligned text with ANSI colors. Print it through something that removes them where they are not wanted, such as the
    /// `anstream` crate.
    #[must_use]
    pub fn to_colored_text(&self) -> String {
        self.render(|tone, text| {
            let style = match tone {
                Tone::Normal => return text.to_owned(),
                Tone::Strong => Style::new().bold(),
                Tone::Faint => Style::new().dimmed(),
                Tone::Warning => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            };
            format!("{style}{text}{style:#}")
        })
    }

    fn render(&self, paint: impl Fn(Tone, &str) -> String) -> String {
        let mut text = String::new();
        for (i, block) in self.0.iter().enumerate() {
            match block {
                Block::Heading(heading) => {
                    text += if i > 0 { "\n" } else { "" };
                    text += &paint(Tone::Strong, heading);
                    text.push('\n');
                }
                Block::Paragraph(paragraph) => {
                    text += paragraph;
                    text.push('\n');
                }
                Block::Table(table) => {
                    for (tone, line) in table.lines() {
                        text = text + "  " + &paint(tone, line.trim_end()) + "\n";
                    }
                }
            }
        }
        text
    }

    /// Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let escaped =
            |text: &str| text.replace('\\', "\\\\").replace('|', "\\|").replace('*', "\\*").replace('_', "\\_");
        let mut blocks = Vec::new();
        for block in &self.0 {
            blocks.push(match block {
                Block::Heading(heading) => format!("## {}", escaped(heading)),
                Block::Paragraph(paragraph) => escaped(paragraph).replace('\n', "  \n"),
                Block::Table(table) => {
                    let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
                    let mut lines = vec![row(&table.header.iter().map(|cell| escaped(cell)).collect::<Vec<_>>())];
                    lines.push(row(&table
                        .right
                        .iter()
                        .map(|&right| if right { "---:" } else { "---" }.into())
                        .collect::<Vec<_>>()));
                    for line in &table.rows {
                        let cell = |text: &String| {
                            // Leading spaces, which indent a tree, would be dropped.
                            let indented = text.trim_start_matches(' ');
                            let text = "\u{a0}".repeat(text.len() - indented.len()) + &escaped(indented);
                            match line.tone {
                                Tone::Strong if !indented.is_empty() => format!("**{text}**"),
                                _ => text,
                            }
                        };
                        lines.push(row(&line.cells.iter().map(cell).collect::<Vec<_>>()));
                    }
                    lines.join("\n")
                }
            });
        }
        blocks.join("\n\n") + "\n"
    }
}

impl Table {
    fn lines(&self) -> Vec<(Tone, String)> {
        let header = Row { cells: self.header.iter().map(ToString::to_string).collect(), tone: Tone::Faint };
        let rows: Vec<&Row> = std::iter::once(&header).chain(&self.rows).collect();
        let widths: Vec<usize> = (0..self.header.len())
            .map(|i| rows.iter().filter_map(|row| row.cells.get(i)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        let line = |row: &&Row| {
            let cells = row.cells.iter().enumerate().map(|(i, cell)| {
                let space = " ".repeat(widths[i] - width(cell));
                if self.right[i] { space + cell } else { format!("{cell}{space}") }
            });
            (row.tone, cells.collect::<Vec<_>>().join("  "))
        };
        rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_escaped() {
        let mut table = Table::new(&["name", "value"], &[1]);
        table.push(Tone::Normal, ["x̂".into(), "1.5".into()]);
        table.push(Tone::Strong, ["  |a|".into(), "-20".into()]);
        let mut document = Document::default();
        document.heading("Title");
        document.table(table);
        assert_eq!(document.to_text(), "Title\n  name   value\n  x̂        1.5\n    |a|    -20\n");
        assert!(document.to_colored_text().starts_with("\u{1b}[1mTitle\u{1b}[0m"));
        let markdown = document.to_markdown();
        assert!(markdown.starts_with("## Title\n\n| name | value |\n| --- | ---: |\n| x̂ | 1.5 |\n"), "{markdown}");
        assert!(markdown.contains("| **\u{a0}\u{a0}\\|a\\|** | **-20** |"), "{markdown}");
    }
}
