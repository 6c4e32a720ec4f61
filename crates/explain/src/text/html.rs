//! Documents as HTML.

use super::document::{Block, Document, Table, Tone};

const STYLE: &str = "
:root { color-scheme: light dark; --text: #1b1b1f; --faint: #66666e; --line: #d8d8de; --warn: #b3261e; --back: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6ea; --faint: #9a9aa4; --line: #3a3a42; --warn: #ff8a80; --back: #16161a; }
}
body { margin: 2rem auto; padding: 0 1rem; max-width: 52rem; color: var(--text); background: var(--back);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid var(--line); white-space: pre; }
th { color: var(--faint); font-weight: normal; }
.right { text-align: right; }
.strong { font-weight: 600; } .faint { color: var(--faint); } .warning { color: var(--warn); font-weight: 600; }
";

/// Text as HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Document {
    /// A page for the browser, without any other file.
    #[must_use]
    pub fn to_html(&self, title: &str) -> String {
        let blocks: String = self.blocks().iter().map(html).collect();
        let title = escaped(title);
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n{blocks}</html>\n"
        )
    }
}

fn html(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("<h2>{}</h2>\n", escaped(text)),
        Block::Paragraph(text) => format!("<p>{}</p>\n", escaped(text).replace('\n', "<br>")),
        Block::Table(table) => rows(table),
    }
}

fn rows(table: &Table) -> String {
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.enumerate().map(|(i, text)| {
            let class = if table.right.get(i) == Some(&true) { " class=\"right\"" } else { "" };
            ["<", tag, class, ">", &escaped(text), "</", tag, ">"].concat()
        });
        cells.collect::<String>()
    };
    let rows = table.rows.iter().map(|row| {
        let tone = match row.tone {
            Tone::Normal => "normal",
            Tone::Strong => "strong",
            Tone::Faint => "faint",
            Tone::Warning => "warning",
        };
        ["<tr class=\"", tone, "\">", &line("td", &mut row.cells.iter().map(String::as_str)), "</tr>\n"].concat()
    });
    let header = line("th", &mut table.header.iter().copied());
    ["<div class=\"table\"><table>\n<tr>", &header, "</tr>\n", &rows.collect::<String>(), "</table></div>\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_rows_have_their_tone() {
        let mut table = Table::new(&["name", "value"], &[1]);
        table.push(Tone::Warning, ["a<b".into(), "1".into()]);
        let mut document = Document::default();
        document.paragraph("x & y");
        document.table(table);
        let html = document.to_html("<Title>");
        assert!(html.contains("<h1>&lt;Title&gt;</h1>") && html.contains("<p>x &amp; y</p>"), "{html}");
        assert!(html.contains("<tr class=\"warning\"><td>a&lt;b</td><td class=\"right\">1</td></tr>"), "{html}");
    }
}
