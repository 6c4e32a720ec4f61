//! Trains with every combination of some flags' values, and compares the runs.

mod flags;
mod grid;
#[cfg(feature = "plots")]
mod plot;
mod presets;
mod run;
mod table;

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches};

use self::flags::Flag;
use self::grid::Grid;
use self::presets::Preset;
use self::run::{End, Run};
use self::table::Row;
use crate::failure::Failure;
use crate::training::interrupt;
use crate::training::program::Program;

/// Trains with every combination of the values of some flags, and compares the runs in a table and a plot
///
/// Every flag of the training programs may have a list of values, separated by commas:
///
///   chainrule sweep mnist --activation leaky:-1,leaky:-0.5,relu,leaky:0.5,leaky:1 --seeds 3
///
/// Values with commas of their own (--channels, --widths, --classes) are separated by semicolons, as in
/// --channels '8,16;16,32'; a list of paths as well. A flag without a value is on, and --negatives=off,on is a list.
///
/// Each run is a process of its own with a folder in --out: its JSON lines, its checkpoint, its output. A run that fails
/// does not end the others. A sweep that is started again in the same folder skips the runs that are complete there and
/// resumes one that was interrupted. The table is also written as table.csv and table.jsonl and, in a build with
/// `--features plots`, the curves as sweep.svg.
#[derive(Args, Clone, Debug, Default)]
#[command(verbatim_doc_comment)]
struct Own {
    /// The program: mnist, fashion-mnist, cifar10, cifar100, colorize, pretrain or transfer
    #[arg(value_parser = program)]
    program: Option<Program>,
    /// A sweep of the reports; flags that are given beside it replace its own
    #[arg(long, value_enum, value_name = "NAME")]
    preset: Option<Preset>,
    /// Seeds for each setting [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: Option<u32>,
    /// The first seed [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    /// The folder of the runs, the table and the plot [default: named after the program and the preset, such as sweep-mnist-leaky]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn program(name: &str) -> Result<Program, String> {
    let names = Program::ALL.map(Program::name).join(", ");
    Program::named(name).ok_or_else(|| format!("expected one of {names}"))
}

/// The arguments: those of a sweep, and the flags of the training programs with lists of values.
pub struct Arguments {
    own: Own,
    flags: Vec<Flag>,
}

impl FromArgMatches for Arguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let flags = flags::given(matches).map_err(|failure| {
            let Failure::Usage(text) = failure else { unreachable!("lists are only parsed") };
            clap::Error::raw(
                clap::error::ErrorKind::ValueValidation,
                text + "\n\nFor more information, try '--help'.\n",
            )
        })?;
        Ok(Self { own: Own::from_arg_matches(matches)?, flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Arguments {
    fn augment_args(command: Command) -> Command {
        Own::augment_args(command).args(flags::arguments())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl Arguments {
    /// The arguments with those of the preset where the user gave none.
    fn with_preset(mut self) -> Self {
        let Some(preset) = self.own.preset else { return self };
        let parser = Self::augment_args(Command::new("preset").no_binary_name(true));
        let matches = parser.get_matches_from(preset.arguments());
        let of_preset = Self::from_arg_matches(&matches).expect("a preset is a valid command line");
        let (own, given) = (&mut self.own, std::mem::take(&mut self.flags));
        own.program = own.program.or(of_preset.own.program);
        own.seeds = own.seeds.or(of_preset.own.seeds);
        self.flags = of_preset.flags.into_iter().filter(|flag| given.iter().all(|own| own.name != flag.name)).collect();
        self.flags.extend(given);
        self
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { own, flags } = arguments.with_preset();
    let program = own.program.ok_or_else(|| {
        let names = Program::ALL.map(Program::name).join(", ");
        Failure::Usage(format!("name a program ({names}) or a --preset"))
    })?;
    let count = own.seeds.unwrap_or(1);
    let first = own.seed.unwrap_or(0);
    let about: Vec<String> = flags.iter().map(Flag::text).collect();
    let grid = Grid::new(program, flags, (0..u64::from(count)).map(|i| first.wrapping_add(i)).collect());
    grid.check()?;
    let out = own.out.unwrap_or_else(|| {
        let preset = own.preset.and_then(|preset| clap::ValueEnum::to_possible_value(&preset));
        let preset = preset.map(|preset| format!("-{}", preset.get_name()));
        format!("sweep-{}{}", program.name(), preset.unwrap_or_default()).into()
    });
    println!("sweep {} {} --seeds={count}", program.name(), about.join(" "));
    let settings = grid.settings();
    let n = settings.len();
    println!("{} runs in {}: settings × seeds = {n} × {count}\n", n * grid.seeds.len(), out.display());

    interrupt::watch()?;
    let _lock = run::lock(&out)?;
    let mut rows: Vec<Row> = settings.into_iter().map(|setting| Row { setting, runs: Vec::new() }).collect();
    let failed = all(&grid, &mut rows, &out)?;
    println!("\n{}", table::text(&grid, &rows));
    table::save(&grid, &rows, &out)?;
    println!("wrote {} and {}", out.join("table.csv").display(), out.join("table.jsonl").display());
    #[cfg(feature = "plots")]
    plot::save(&grid, &rows, &out.join("sweep.svg"))?;
    #[cfg(not(feature = "plots"))]
    println!("no plot: this program was built without; one with `--features plots` draws it from the complete runs");
    if failed.is_empty() {
        return Ok(());
    }
    let (n, texts) = (failed.len(), failed.join("\n  "));
    Err(Failure::Run(format!("{n} of the runs failed; started again, the sweep tries only these\n  {texts}")))
}

/// Runs what is not complete, one seed of all settings after the other. The texts of the runs that failed.
fn all(grid: &Grid, rows: &mut [Row], out: &std::path::Path) -> Result<Vec<String>, Failure> {
    let mut failed = Vec::new();
    let (count, mut at) = (rows.len() * grid.seeds.len(), 0);
    let width = count.to_string().len();
    for &seed in &grid.seeds {
        for row in &mut *rows {
            at += 1;
            let name = grid.name(&row.setting, seed);
            let run = Run::new(grid.command(&row.setting, seed), out.join("runs").join(&name))?;
            let (end, before) = match run.complete() {
                Some(record) => (End::Complete(record), ", complete before"),
                None => (run.execute()?, ""),
            };
            match end {
                End::Complete(record) => {
                    let accuracy = 100.0 * record.last("test_accuracy").unwrap_or(f64::NAN);
                    let (loss, seconds) = (record.last("train_loss").unwrap_or(f64::NAN), record.seconds());
                    println!(
                        "{at:>width$}/{count} {name}: train loss {loss:.4}, test accuracy {accuracy:.2} %, {seconds:.1} s{before}"
                    );
                    row.runs.push((seed, record));
                }
                End::Failed(text) => {
                    println!("{at:>width$}/{count} {name}: failed");
                    failed.push(format!("{name}: {text}"));
                }
                End::Interrupted => {
                    return Err(Failure::Interrupted(format!(
                        "interrupted in run {at} of {count}, {name}; to go on:\n  {}",
                        interrupt::command_line()
                    )));
                }
            }
        }
    }
    Ok(failed)
}
