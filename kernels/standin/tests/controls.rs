//! The stand-in finds what it is there to find: kernels that are wrong on purpose do not pass.

use std::ffi::{CString, c_void};
use std::process::{Command, Output};

use cudarc::driver::result;

/// Elements of the buffers; the input's are 0, 1, 2, ….
const N: usize = 64;
/// The variables that tell a process its kernel and the number of its threads.
const KERNEL: &str = "STANDIN_CONTROL";
const THREADS: &str = "STANDIN_CONTROL_THREADS";

/// Runs one block of a kernel on 64 elements in a process of its own: it prints the output, or fails.
fn run(kernel: &str, threads: u32, setting: (&str, &str)) -> Output {
    let mut process = Command::new(std::env::current_exe().expect("a test has a file"));
    process.args(["--exact", "child", "--ignored", "--nocapture"]);
    process.env(KERNEL, kernel).env(THREADS, threads.to_string()).env(setting.0, setting.1).output().expect("it runs")
}

#[test]
#[ignore = "the other tests run it"]
fn child() {
    let kernel = std::env::var(KERNEL).expect("the parent sets it");
    let threads = std::env::var(THREADS).expect("the parent sets it").parse().expect("a number");
    chainrule_standin::install().expect("the parent has seen it");
    let image = CString::new(format!(".version 8.2\n.entry {kernel}(")).expect("no zeros");
    let input: Vec<f32> = (0..N).map(|i| i as f32).collect();
    let mut output = vec![0f32; N];
    // SAFETY: handles are the stand-in's own, and both buffers have as many bytes as are copied.
    unsafe {
        result::init().expect("it starts");
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking).expect("a stream");
        let module = result::module::load_data(image.as_ptr().cast()).expect("a module");
        let function = result::module::get_function(module, CString::new(kernel).expect("no zeros")).expect("a kernel");
        let [mut y, mut x] = [(); 2].map(|()| result::malloc_sync(4 * N).expect("a buffer"));
        result::memcpy_htod_async(y, &output, stream).expect("a copy");
        result::memcpy_htod_async(x, &input, stream).expect("a copy");
        let mut arguments = [&raw mut y, &raw mut x].map(<*mut u64>::cast::<c_void>);
        result::launch_kernel(function, (1, 1, 1), (threads, 1, 1), 0, stream, &mut arguments).expect("a launch");
        result::memcpy_dtoh_async(&mut output, y, stream).expect("the kernel");
    }
    println!("output {output:?}");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The output of a kernel that ends without a complaint.
fn output_of(kernel: &str, threads: u32, setting: (&str, &str)) -> String {
    let output = run(kernel, threads, setting);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    text.lines().find(|line| line.starts_with("output")).expect("the output").to_owned()
}

/// The complaint about a kernel.
#[track_caller]
fn complaint(kernel: &str, threads: u32, setting: (&str, &str), part: &str) {
    let output = run(kernel, threads, setting);
    let text = text(&output);
    assert!(!output.status.success() && text.contains(part), "{kernel} should be called {part:?}:\n{text}");
}

const NOTHING: (&str, &str) = ("STANDIN_ORDER", "0");

#[test]
fn a_right_kernel_passes_in_every_order() {
    let outputs = ["0", "1", "7"].map(|order| output_of("faultless", 64, ("STANDIN_ORDER", order)));
    assert!(outputs[0].starts_with("output [63.0, 62.0") && outputs.iter().all(|output| *output == outputs[0]));
}

#[test]
fn a_missing_barrier_shows() {
    let right = output_of("faultless", 64, NOTHING);
    assert!(["0", "1", "7"].iter().any(|order| output_of("faulty_no_barrier", 64, ("STANDIN_ORDER", order)) != right));
}

#[test]
fn unwritten_shared_memory_is_nan() {
    assert!(output_of("faulty_unwritten", 32, NOTHING).starts_with("output [NaN, NaN"));
}

#[test]
fn an_access_beyond_a_buffer_faults() {
    complaint("faulty_overrun", 64, ("STANDIN_GUARD", "1"), "illegal access");
    complaint("faulty_overrun", 64, ("STANDIN_GUARD", "1"), "thread 63,0,0");
}

#[test]
fn a_barrier_that_only_some_reach_is_told() {
    complaint("faulty_divergent", 64, NOTHING, "is stuck: 32 threads at __syncthreads, 32 at a warp's operation");
}

#[test]
fn a_copy_used_too_early_is_nan_and_one_never_waited_for_is_told() {
    assert!(output_of("faulty_early", 16, NOTHING).starts_with("output [NaN, NaN"));
    complaint("faulty_no_wait", 16, NOTHING, "asynchronous copies that it never waited for");
}
