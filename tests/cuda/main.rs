//! The CUDA backend compared with the CPU, on the stand-in driver, which runs the same kernels without a GPU.
//!
//! Each case runs in its own process, since the stand-in's settings apply to a whole process. With `CHAINRULE_CUDA=driver` the
//! cases run on this machine's GPU instead.

mod captures;
mod clipping;
mod errors;
mod layouts;
mod memory;
#[path = "../../crates/autograd/tests/op_table/mirror.rs"]
mod mirror;
mod nets;
mod normalization;
mod products;
#[path = "../../crates/autograd/tests/op_table/reference.rs"]
mod reference;
#[path = "../../crates/autograd/tests/op_table/row.rs"]
mod row;
#[expect(unused_braces, reason = "rustfmt puts braces around the long closures of the rows")]
#[path = "../../crates/autograd/tests/op_table/rows/mod.rs"]
mod rows;
mod steps;
mod table;
mod tensors;

use std::process::{Command, ExitCode};

use chainrule::prelude::Device;
use libtest_mimic::{Arguments, Failed, Trial};

/// The GPU that cases run on.
const GPU: Device = Device::Cuda(0);

/// A case: its name, its function, and the stand-in settings with which it is run, each in its own process.
struct Case {
    name: &'static str,
    run: fn(),
    settings: &'static [&'static [(&'static str, &'static str)]],
}

/// Threads in ascending, descending and a random order.
const ORDERS: &[&[(&str, &str)]] = &[&[], &[("STANDIN_ORDER", "1")], &[("STANDIN_ORDER", "7")]];
/// Each buffer ends at a guard page, and none is reused.
const GUARDED: &[&[(&str, &str)]] = &[&[("STANDIN_GUARD", "1"), ("CHAINRULE_POOL", "exact")]];
const ONCE: &[&[(&str, &str)]] = &[&[]];

const SMALL: &[&[(&str, &str)]] = &[&[("STANDIN_MEMORY", "8388608")]];
/// The test asks the stand-in.
const STAND_IN: &[&[(&str, &str)]] = &[&[("STANDIN_ORDER", "0")]];
/// A kernel fails, and freeing memory asks the driver.
const FAULT: &[&[(&str, &str)]] = &[&[("STANDIN_FAULT", "unary_f32"), ("CHAINRULE_POOL", "exact")]];
/// All products that can have large tiles have them, with threads in ascending and descending order, and with guard pages.
const LARGE: &[&[(&str, &str)]] = &[
    &[("CHAINRULE_TILES", "large")],
    &[("CHAINRULE_TILES", "large"), ("STANDIN_ORDER", "1")],
    &[("CHAINRULE_TILES", "large"), ("STANDIN_GUARD", "1"), ("CHAINRULE_POOL", "exact")],
];
const NO_DEVICE: &[&[(&str, &str)]] = &[&[("STANDIN_NO_DEVICE", "1")]];

const CASES: &[Case] = &[
    Case { name: "table f32", run: table::single, settings: ORDERS },
    Case { name: "table f64", run: table::double, settings: ORDERS },
    Case { name: "table guarded", run: table::single, settings: GUARDED },
    Case { name: "table channels last", run: table::channels_last, settings: ONCE },
    Case { name: "table of large tensors", run: table::large, settings: ONCE },
    Case { name: "table of empty batches", run: table::empty, settings: ONCE },
    Case { name: "table second gradients", run: table::second_gradients, settings: ONCE },
    Case { name: "table tangents", run: table::tangents, settings: ONCE },
    Case { name: "table same bits", run: table::same_bits, settings: ONCE },
    Case { name: "products", run: products::full, settings: ORDERS },
    Case { name: "products guarded", run: products::full, settings: GUARDED },
    Case { name: "products with split-K", run: products::split_k, settings: ONCE },
    Case { name: "products tf32", run: products::tf32, settings: ORDERS },
    Case { name: "products bf16", run: products::bf16, settings: ORDERS },
    Case { name: "products tf32 in large tiles", run: products::tf32, settings: LARGE },
    Case { name: "products bf16 in large tiles", run: products::bf16, settings: LARGE },
    Case { name: "channel stats in large tiles", run: normalization::channel_stats, settings: LARGE },
    Case { name: "batch norms", run: normalization::formats, settings: ORDERS },
    Case { name: "batch norms guarded", run: normalization::formats, settings: GUARDED },
    Case { name: "batch norms of large numbers", run: normalization::large_nearly_equal, settings: ONCE },
    Case { name: "channel stats", run: normalization::channel_stats, settings: ORDERS },
    Case { name: "channel stats guarded", run: normalization::channel_stats, settings: GUARDED },
    Case { name: "channel stats with split-K", run: normalization::split_k, settings: ONCE },
    Case { name: "batch norms of unaligned bf16", run: normalization::unaligned_bf16, settings: GUARDED },
    Case { name: "batch norms of empty batches", run: normalization::empty_batch, settings: ONCE },
    Case { name: "stale channel stats", run: normalization::stale_channel_stats, settings: ONCE },
    Case { name: "weights are f32", run: products::weights_are_f32, settings: ONCE },
    Case { name: "results stored as bf16", run: products::results_stored_as_bf16, settings: ONCE },
    Case { name: "stored as bf16", run: products::stored_as_bf16, settings: GUARDED },
    Case { name: "products of infinities", run: products::infinities, settings: ONCE },
    Case { name: "transfers", run: tensors::transfers, settings: GUARDED },
    Case { name: "layouts", run: layouts::every_type, settings: ORDERS },
    Case { name: "layouts guarded", run: layouts::every_type, settings: GUARDED },
    Case { name: "layouts stored as bf16", run: layouts::stored_as_bf16, settings: GUARDED },
    Case { name: "mixed devices", run: tensors::mixed_devices, settings: ONCE },
    Case { name: "random numbers", run: tensors::random_numbers, settings: GUARDED },
    Case { name: "integers", run: tensors::integers, settings: ORDERS },
    Case { name: "image batches", run: tensors::image_batches, settings: GUARDED },
    Case { name: "index errors", run: tensors::index_errors, settings: ORDERS },
    Case { name: "synchronization", run: tensors::synchronization, settings: ONCE },
    Case { name: "clipping", run: clipping::as_on_the_cpu, settings: ORDERS },
    Case { name: "clipping guarded", run: clipping::as_on_the_cpu, settings: GUARDED },
    Case { name: "clipping in any layout", run: clipping::layouts, settings: GUARDED },
    Case { name: "clipping launches", run: clipping::launches, settings: ONCE },
    Case { name: "memory reuse", run: memory::reuse, settings: ONCE },
    Case { name: "memory exhaustion", run: memory::exhaustion, settings: SMALL },
    Case { name: "no device", run: memory::no_device, settings: NO_DEVICE },
    Case { name: "missing device", run: memory::missing_device, settings: ONCE },
    Case { name: "pageable memory", run: tensors::pageable_memory, settings: ONCE },
    Case { name: "many uploads", run: tensors::many_uploads, settings: ONCE },
    Case { name: "captures beside other threads", run: captures::other_threads, settings: ONCE },
    Case { name: "captures beside other threads guarded", run: captures::other_threads, settings: GUARDED },
    Case { name: "panics in captures keep copies", run: captures::panic_keeps_copies, settings: ONCE },
    Case {
        name: "panics in captures keep optimizer state",
        run: captures::panic_keeps_optimizer_state,
        settings: ONCE,
    },
    Case { name: "panics in captures free graphs", run: captures::panic_frees_graphs, settings: STAND_IN },
    Case { name: "drops after a failure", run: errors::drops_after_a_failure, settings: FAULT },
    Case { name: "drops after a failed replay", run: errors::drops_after_a_failed_replay, settings: FAULT },
    Case { name: "foreign contexts", run: errors::foreign_contexts, settings: ONCE },
    Case { name: "foreign contexts guarded", run: errors::foreign_contexts, settings: GUARDED },
    Case { name: "many groups", run: products::many_groups, settings: ONCE },
    Case { name: "steps as on the CPU", run: steps::as_on_the_cpu, settings: ORDERS },
    Case { name: "steps in bf16", run: steps::in_bf16, settings: ONCE },
    Case { name: "steps replayed", run: steps::replayed, settings: ORDERS },
    Case { name: "steps with averages", run: steps::averaged, settings: STAND_IN },
    Case { name: "steps with live aliases", run: steps::live_aliases, settings: ONCE },
    Case { name: "steps with freezing and evaluation", run: steps::freezing, settings: ONCE },
    Case { name: "steps with kept results", run: steps::kept_results, settings: ONCE },
    Case { name: "steps that are not finite", run: steps::not_finite, settings: ONCE },
    Case { name: "steps across devices", run: steps::across_devices, settings: ONCE },
    Case { name: "steps' filter formats", run: steps::filter_formats, settings: ONCE },
    Case { name: "steps' launches", run: steps::launches, settings: ONCE },
];

/// The variable that selects the case of a child process.
const CASE: &str = "CHAINRULE_CUDA_CASE";

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        let case = CASES.iter().find(|case| case.name == name).expect("the parent knows the cases");
        if !on_hardware() {
            chainrule_standin::install().expect("the parent has installed it");
        }
        (case.run)();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if !on_hardware()
        && let Err(why) = chainrule_standin::install()
    {
        println!("no stand-in for the CUDA driver, so its tests are skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let trials = CASES.iter().flat_map(|case| {
        let settings = if on_hardware() { &case.settings[..1] } else { case.settings };
        // A real GPU cannot have less memory or no device, and does not fail or count graphs on demand.
        let fits = !on_hardware() || ![SMALL, NO_DEVICE, FAULT, STAND_IN].contains(&case.settings);
        settings.iter().filter(move |_| fits).map(|settings| trial(case, settings))
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
