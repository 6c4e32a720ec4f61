//! Makes worksheets for a class.

mod files;
mod options;
mod sheet;

use chainrule_explain::checker::Worksheet;
use options::Arguments as Options;

use crate::failure::Failure;

pub use options::Arguments;

/// The seed of one student's numbers.
fn seed_of(seed: u64, student: usize) -> u64 {
    // An odd multiplier keeps the seeds of a class different; that of the first student is the seed itself.
    seed.wrapping_add((student as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let (problem, title) = options.problem()?;
    let students = options.students()?;
    let folder = files::Folder::new(&options.out, &students);
    if !options.force {
        folder.refuse_to_overwrite()?;
    }
    let sheets = (0..students.len()).map(|n| {
        Worksheet::draw(&title, &problem, seed_of(options.seed, n), options.digits)
            .map_err(|error| Failure::Input(error.to_string()))
    });
    let sheets = sheets.collect::<Result<Vec<_>, _>>()?;
    for (n, worksheet) in sheets.iter().enumerate() {
        folder.write(n, worksheet)?;
    }
    let out = options.out.display();
    let count = if students.len() == 1 { "1 worksheet".to_owned() } else { format!("{} worksheets", students.len()) };
    println!("{count} with {} answers each:", sheets.first().map_or(0, |sheet| sheet.questions().len()));
    println!("  {out}/sheets   to print or to read (HTML, Markdown)");
    println!("  {out}/answers  to fill in");
    println!("  {out}/keys     the right answers");
    let unclear = sheets.iter().filter(|sheet| !sheet.confusions().is_empty()).count();
    if unclear > 0 {
        let digits = options.digits;
        println!(
            "On {unclear} of them, {digits} digits cannot tell some mistakes apart: see the ends of {out}/keys/*.md."
        );
    }
    println!("When they are filled in: chainrule check {out}/answers");
    Ok(())
}
