//! Processes that NCCL connects, on the stand-in driver and the stand-in of NCCL, which need no GPU.
//!
//! With `CHAINRULE_CUDA=driver` the cases run on this machine's GPUs, each by as many processes as there are GPUs, down to a
//! power of two. Two processes share a single GPU, as if they were on two machines: NCCL allows that. `CHAINRULE_NCCL_RANKS`
//! sets another number of processes.

mod cases;
#[path = "../net/mod.rs"]
mod net;
mod speed;
mod training;

use std::net::TcpListener;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use chainrule_distributed::{Bootstrap, DistributedError, Nccl};
use chainrule_tensor::Device;
use libtest_mimic::{Arguments, Failed, Trial};

/// A case: what each process does, and what must be true of them all when they have ended.
struct Case {
    name: &'static str,
    /// The number of processes less this are started.
    missing: usize,
    /// How many times they are started, one after the other.
    runs: usize,
    rank: fn(),
    check: fn(&[Ended]),
}

/// A process that has ended.
struct Ended {
    rank: usize,
    code: Option<i32>,
    text: String,
    after: Duration,
}

const CASES: &[Case] = &[
    Case { name: "operations", missing: 0, runs: 1, rank: cases::operations, check: succeeded },
    Case { name: "operations that are dropped", missing: 0, runs: 1, rank: cases::dropped, check: succeeded },
    Case { name: "sums in order", missing: 0, runs: 2, rank: training::in_order, check: training::same_weights },
    Case { name: "sums of the engine", missing: 0, runs: 2, rank: training::fast, check: training::same_weights },
    Case { name: "a rank that hangs", missing: 0, runs: 1, rank: cases::hang, check: cases::hang_is_reported },
    Case { name: "a rank that ends", missing: 0, runs: 1, rank: cases::death, check: cases::death_is_reported },
    Case {
        name: "a rank that does not come",
        missing: 1,
        runs: 1,
        rank: cases::absence,
        check: cases::absence_is_reported,
    },
    Case { name: "no library", missing: 0, runs: 1, rank: cases::no_library, check: succeeded },
    Case { name: "speed", missing: 0, runs: 1, rank: speed::measure, check: speed::print },
];

/// The variable that selects the case of a child process.
const CASE: &str = "CHAINRULE_NCCL_CASE";
/// The longest that a case takes.
const CASE_LIMIT: Duration = Duration::from_secs(150);

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        let case = CASES.iter().find(|case| case.name == name).expect("the parent knows the cases");
        thread::spawn(|| {
            thread::sleep(CASE_LIMIT);
            eprintln!("not done after {CASE_LIMIT:?}");
            std::process::abort()
        });
        (case.rank)();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if !on_hardware() && chainrule_standin::directory().is_none() {
        println!("no stand-in for the CUDA driver, so its tests are skipped");
        return ExitCode::SUCCESS;
    }
    let (ranks, gpus) = ranks();
    let trials = CASES.iter().filter(|case| {
        // One process waits for nobody; speed is that of hardware.
        (ranks > 1 || !["hang", "ends", "come"].iter().any(|word| case.name.contains(word)))
            && (on_hardware() || case.name != "speed")
    });
    let trials = trials.map(|case| Trial::test(case.name, move || run(case, ranks, gpus))).collect();
    let ended = libtest_mimic::run(&Arguments { test_threads: Some(1), ..arguments }, trials);
    println!("{ranks} processes, {gpus} GPUs");
    ended.exit_code()
}

fn on_hardware() -> bool {
    std::env::var_os("CHAINRULE_CUDA").is_some_and(|which| which == "driver")
}

/// The number of processes, and of GPUs.
fn ranks() -> (usize, usize) {
    let gpus = if on_hardware() { chainrule_tensor::cuda::report().expect("a GPU").devices.len() } else { 1 };
    let wanted = std::env::var("CHAINRULE_NCCL_RANKS").map(|ranks| ranks.parse().expect("a number of processes"));
    (wanted.unwrap_or(if gpus == 1 { 2 } else { 1 << gpus.ilog2() }), gpus)
}

/// The time limit of operations where a process does not take part.
fn limit() -> Duration {
    Duration::from_secs(if on_hardware() { 12 } else { 10 })
}

/// Starts the processes of a case and checks how they have ended.
fn run(case: &'static Case, ranks: usize, gpus: usize) -> Result<(), Failed> {
    let mut ended = Vec::new();
    for _ in 0..case.runs {
        // Rank 0 listens at the port after this one.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port() - 1;
        let start = |rank: usize| {
            let mut process = Command::new(std::env::current_exe()?);
            process.env(CASE, case.name).env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
            let numbers = [("RANK", rank), ("WORLD_SIZE", ranks), ("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", ranks)];
            process.envs(numbers.map(|(name, number)| (name, number.to_string())));
            process.env_remove("NCCL_COMM_ID").env("RAYON_NUM_THREADS", "1");
            if !on_hardware() {
                process.env("LD_LIBRARY_PATH", chainrule_standin::directory().expect("it was built"));
                process.env_remove("CHAINRULE_NCCL");
            } else if gpus < ranks {
                process.env("NCCL_HOSTID", format!("rank{rank}")).env("NCCL_SOCKET_IFNAME", "lo");
            }
            process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        };
        let begun = Instant::now();
        let processes = (0..ranks - case.missing).map(start).collect::<Result<Vec<_>, _>>()?;
        let waiting: Vec<_> = processes
            .into_iter()
            .map(|process| thread::spawn(move || (process.wait_with_output(), begun.elapsed())))
            .collect();
        for (rank, waiting) in waiting.into_iter().enumerate() {
            let (output, after) = waiting.join().expect("it does not panic");
            let output = output?;
            let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            ended.push(Ended { rank, code: output.status.code(), text, after });
        }
    }
    (case.check)(&ended);
    Ok(())
}

fn succeeded(all: &[Ended]) {
    let texts: Vec<String> = all.iter().map(|ended| format!("rank {}: {}", ended.rank, ended.text)).collect();
    for Ended { rank, code, .. } in all {
        assert_eq!(*code, Some(0), "rank {rank}\n{}", texts.join("\n"));
    }
}

/// The communicator of this process, where all take part: on a busy machine that can take long.
fn connected() -> Rc<Nccl> {
    connect(CASE_LIMIT / 2).map(Rc::new).expect("all ranks come")
}

fn connect(timeout: Duration) -> Result<Nccl, DistributedError> {
    let bootstrap = Bootstrap::from_environment()?;
    Nccl::new(bootstrap.device()?, &bootstrap, timeout)
}

/// The GPU of this process.
fn gpu() -> Device {
    Device::Cuda(Bootstrap::from_environment().and_then(|bootstrap| bootstrap.device()).expect("a GPU"))
}
