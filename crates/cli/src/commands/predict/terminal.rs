//! Pictures in a terminal.

use std::io::{self, IsTerminal};

/// The most columns of a picture.
const COLUMNS: usize = 64;

/// Prints an image (C, H, W), C = 1 or 3, if the output is a terminal: two pixels above each other in each character, as the colors of an upper half
/// block and of its background.
pub fn show(pixels: &[u8], shape: [usize; 3]) {
    // https://no-color.org
    if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        print!("{}", half_blocks(pixels, shape));
    }
}

/// The pixels (C, H, W), C = 1 or 3, as text; of a wide image every n-th pixel.
fn half_blocks(pixels: &[u8], [channels, h, w]: [usize; 3]) -> String {
    let step = w.div_ceil(COLUMNS);
    let color = |i: usize, j: usize| {
        let [r, g, b] = [0, 1, 2].map(|channel| pixels[(channel % channels * h + i) * w + j]);
        format!("2;{r};{g};{b}")
    };
    let mut text = String::new();
    for i in (0..h).step_by(2 * step) {
        text.push_str("  ");
        for j in (0..w).step_by(step) {
            // The last row of an odd number has nothing below it.
            let below = if i + step < h { format!(";48;{}", color(i + step, j)) } else { String::new() };
            text.extend(["\x1b[38;", &color(i, j), &below, "m▀"]);
        }
        text.push_str("\x1b[0m\n");
    }
    text
}

/// A share from 0 to 1 as a bar of up to 30 characters, in eighths.
pub fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * 30.0 * 8.0).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + part
}
