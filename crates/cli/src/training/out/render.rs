//! Everything that is made from the records of a run.

use std::path::Path;

use super::files::{self, Records};
use super::page;
use crate::failure::Failure;

pub const REPORT: &str = "report.html";

/// Writes the report.
pub fn report(folder: &Path) -> Result<(), Failure> {
    write_report(folder, &Records::read(folder)?)
}

fn write_report(folder: &Path, records: &Records) -> Result<(), Failure> {
    files::write(&folder.join(REPORT), page::page(folder, records)?.as_bytes())
}

/// Writes the report and, in a build with plots, the plots, the sheets of pictures and the TensorBoard file; says what it has
/// written.
pub fn all(folder: &Path) -> Result<(), Failure> {
    let records = Records::read(folder)?;
    write_report(folder, &records)?;
    println!("report: {}", folder.join(REPORT).display());
    #[cfg(feature = "plots")]
    {
        super::plots::write(&folder.join("plots"), &records)?;
        super::sheets::write(&folder.join("sheets"), folder, &records)?;
        super::tensorboard::write(&folder.join("tensorboard"), &records)?;
        println!("plots/*.svg, sheets/*.png and tensorboard/ are beside it");
    }
    #[cfg(not(feature = "plots"))]
    println!(
        "a build with `--features plots` also writes plots/*.svg, sheets/*.png and tensorboard/ (`chainrule report {}`)",
        folder.display()
    );
    Ok(())
}
