//! Who has the terminal: the program gives it back also when it ends at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};

/// Whether a dashboard has the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Switches to the other screen of the terminal.
pub fn take() -> io::Result<()> {
    execute!(io::stdout(), EnterAlternateScreen, Hide)?;
    TAKEN.store(true, Ordering::Relaxed);
    Ok(())
}

/// Gives the terminal back, if it was taken. Whether it was.
pub fn restore() -> bool {
    let taken = TAKEN.swap(false, Ordering::Relaxed);
    if taken {
        // The terminal may be gone.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    }
    taken
}
