//! The CUDA backend beside the processor, on the stand-in driver, which runs the very kernels without a GPU.
//!
//! Each case is a process of its own: the stand-in's settings hold for a whole process. With `CHAINRULE_CUDA=driver` the
//! cases run on this machine's GPU instead.

mod table;
#[path = "../../crates/autograd/tests/op_table/reference.rs"]
mod reference;
#[path = "../../crates/autograd/tests/op_table/row.rs"]
mod row;
#[expect(unused_braces, reason = "rustfmt puts braces around the long closures of the rows")]
#[path = "../../crates/autograd/tests/op_table/rows.rs"]
mod rows;

use std::process::{Command, ExitCode};

use chainrule::prelude::Device;
use libtest_mimic::{Arguments, Failed, Trial};

/// The GPU that cases run on.
const GPU: Device = Device::Cuda(0);

/// A case: its name, what it does, and the stand-in's settings that it is run with, each in a process of its own.
struct Case {
    name: &'static str,
    run: fn(),
    settings: &'static [&'static [(&'static str, &'static str)]],
}

/// Threads in ascending, descending and a random order.
const ORDERS: &[&[(&str, &str)]] = &[&[], &[("STANDIN_ORDER", "1")], &[("STANDIN_ORDER", "7")]];
/// Each buffer ends at a page that faults, and none is used twice.
const GUARDED: &[&[(&str, &str)]] = &[&[("STANDIN_GUARD", "1"), ("CHAINRULE_POOL", "exact")]];
const ONCE: &[&[(&str, &str)]] = &[&[]];

const CASES: &[Case] = &[
    Case { name: "table f32", run: table::single, settings: ORDERS },
    Case { name: "table f64", run: table::double, settings: ORDERS },
    Case { name: "table guarded", run: table::single, settings: GUARDED },
];

/// The variable that tells a process which case it is.
const CASE: &str = "CHAINRULE_CUDA_CASE";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        let case = CASES.iter().find(|case| case.name == name).expect("the parent knows the cases");
        if !on_hardware() {
            chainrule_standin::install().expect("the parent has installed it");
        }
        GPU.ready().unwrap_or_else(|error| panic!("{error}"));
        (case.run)();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if !on_hardware()
        && let Err(why) = chainrule_standin::install()
    {
        println!("no stand-in for the CUDA driver, so its tests are left out: {why}");
        return ExitCode::SUCCESS;
    }
    let trials = CASES.iter().flat_map(|case| {
        let settings = if on_hardware() { &case.settings[..1] } else { case.settings };
        settings.iter().map(|settings| trial(case, settings))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn on_hardware() -> bool {
    std::env::var_os("CHAINRULE_CUDA").is_some_and(|which| which == "driver")
}

fn trial(case: &'static Case, settings: &'static [(&'static str, &'static str)]) -> Trial {
    let with: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let name = format!("{}{}{}", case.name, if with.is_empty() { "" } else { ", " }, with.join(" "));
    Trial::test(name, move || {
        let mut process = Command::new(std::env::current_exe()?);
        let output = process.env(CASE, case.name).envs(settings.iter().copied()).output()?;
        if output.status.success() {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Err(Failed::from(format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))))
    })
}
