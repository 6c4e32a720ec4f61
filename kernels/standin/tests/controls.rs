//! Negative controls: the stand-in detects intentionally faulty kernels.

use std::ffi::{CString, c_void};
use std::process::{Command, Output};

use cudarc::driver::result;

/// The length of the buffers; the input is 0, 1, 2, ….
const N: usize = 64;
/// The variables that pass the kernel and its number of threads to the child process.
const KERNEL: &str = "STANDIN_CONTROL";
const THREADS: &str = "STANDIN_CONTROL_THREADS";

/// Runs one block of a kernel on 64 elements in a child process, which prints the output or fails.
fn run(kernel: &str, threads: u32, setting: (&str, &str)) -> Output {
    let mut process = Command::new(std::env::current_exe().expect("a test has a file"));
    process.args(["--exact", "child", "--ignored", "--nocapture"]);
    process.env(KERNEL, kernel).env(THREADS, threads.to_string()).env(setting.0, setting.1).output().expect("it runs")
}

#[test]
#[ignore = "run by the other tests as a child process"]
fn child() {
    let kernel = std::env::var(KERNEL).expect("the parent sets it");
    let threads = std::env::var(THREADS).expect("the parent sets it").parse().expect("a number");
    chainrule_standin::install().expect("the stand-in was built");
    let image = CString::new(format!(".version 8.2\n.entry {kernel}(")).expect("no zeros");
    let input: Vec<f32> = (0..N).map(|i| i as f32).collect();
    let mut output = vec![0f32; N];
    // SAFETY: the handles come from the stand-in, and both buffers are as long as the copies.
    unsafe {
        result::init().expect("it starts");
        let context = result::primary_ctx::retain(result::device::get(0).expect("a device")).expect("a context");
        result::ctx::set_current(context).expect("a context");
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).expect("a stream");
        let module = result::module::load_data(image.as_ptr().cast()).expect("a module");
        let function = result::module::get_function(module, CString::new(kernel).expect("no zeros")).expect("a kernel");
        let [mut y, mut x] = [(); 2].map(|()| result::malloc_sync(4 * N).expect("a buffer"));
        result::memcpy_htod_async(y, &output, stream).expect("a copy");
        result::memcpy_htod_async(x, &input, stream).expect("a copy");
        let mut arguments = [&raw mut y, &raw mut x].map(<*mut u64>::cast::<c_void>);
        result::launch_kernel(function, (1, 1, 1), (threads, 1, 1), 0, stream, &mut arguments).expect("a launch");
        result::memcpy_dtoh_async(&mut output, y, stream).expect("a copy");
        result::stream::synchronize(stream).expect("the kernel");
    }
    println!("output {output:?}");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The output of a kernel that runs without an error.
fn output_of(kernel: &str, threads: u32, setting: (&str, &str)) -> String {
    let output = run(kernel, threads, setting);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    text.lines().find(|line| line.starts_with("output")).expect("the output").to_owned()
}

/// Checks that a kernel fails with a message that contains `part`.
#[track_caller]
fn assert_fails(kernel: &str, threads: u32, setting: (&str, &str), part: &str) {
    let output = run(kernel, threads, setting);
    let text = text(&output);
    assert!(!output.status.success() && text.contains(part), "{kernel} should fail with {part:?}:\n{text}");
}

const DEFAULT: (&str, &str) = ("STANDIN_ORDER", "0");

#[test]
fn a_correct_kernel_passes_in_every_order() {
    let outputs = ["0", "1", "7"].map(|order| output_of("faultless", 64, ("STANDIN_ORDER", order)));
    assert!(outputs[0].starts_with("output [63.0, 62.0") && outputs.iter().all(|output| *output == outputs[0]));
}

#[test]
fn a_missing_barrier_is_detected() {
    let right = output_of("faultless", 64, DEFAULT);
    assert!(["0", "1", "7"].iter().any(|order| output_of("faulty_no_barrier", 64, ("STANDIN_ORDER", order)) != right));
}

#[test]
fn uninitialized_shared_memory_is_nan() {
    assert!(output_of("faulty_uninitialized", 32, DEFAULT).starts_with("output [NaN, NaN"));
}

#[test]
fn an_out_of_bounds_access_faults() {
    assert_fails("faulty_overrun", 64, ("STANDIN_GUARD", "1"), "illegal access");
    assert_fails("faulty_overrun", 64, ("STANDIN_GUARD", "1"), "thread 63,0,0");
}

#[test]
fn an_access_beyond_dynamic_shared_memory_faults() {
    // With guards the stand-in reports where a fault was.
    assert_fails("faulty_dynamic", 32, ("STANDIN_GUARD", "1"), "illegal access");
}

#[test]
fn a_divergent_barrier_is_detected() {
    assert_fails(
        "faulty_divergent",
        64,
        DEFAULT,
        "deadlock in block 0,0,0: 32 threads at __syncthreads, 32 at a warp operation",
    );
}

#[test]
fn an_early_read_of_a_copy_is_nan_and_a_missing_wait_is_detected() {
    assert!(output_of("faulty_early", 16, DEFAULT).starts_with("output [NaN, NaN"));
    assert_fails("faulty_no_wait", 16, DEFAULT, "pending asynchronous copies");
}
