//! Tests that run themselves in several processes: the test starts `mpirun` with its own program and its own name, and what
//! that starts runs the body.

use std::cell::RefCell;
use std::fmt::Display;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use chainrule_distributed::Communicator;
use chainrule_mpi::Mpi;

/// The time limit of operations.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Set in the processes that `mpirun` starts.
const VARIABLE: &str = "CHAINRULE_TEST_RANKS";

thread_local! {
    /// The lines that the processes of the last launch said.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn ranks_of_this_process() -> Option<usize> {
    std::env::var(VARIABLE).ok().map(|ranks| ranks.parse().expect("a number"))
}

/// Runs `body` in `ranks` processes, from the test of this name; in one of these processes, runs it if they are so many.
///
/// # Panics
/// If a process fails.
pub fn launch(test: &str, ranks: usize, body: impl FnOnce(Rc<Mpi>)) {
    if let Some((code, text)) = run(test, ranks, body) {
        assert_eq!(code, Some(0), "{text}");
    }
}

/// The exit code and the text of processes that fail. `None` in one of them.
pub fn launch_failing(test: &str, ranks: usize, body: impl FnOnce(Rc<Mpi>)) -> Option<(Option<i32>, String)> {
    run(test, ranks, body)
}

fn run(test: &str, ranks: usize, body: impl FnOnce(Rc<Mpi>)) -> Option<(Option<i32>, String)> {
    if let Some(own) = ranks_of_this_process() {
        if own == ranks {
            let mpi = Rc::new(Mpi::new(TIMEOUT).expect("mpirun started this process"));
            body(Rc::clone(&mpi));
            mpi.finish();
            // MPI cannot be initialized again for another number of processes.
            std::process::exit(0);
        }
        return None;
    }
    let program = std::env::current_exe().expect("the test program");
    let output = Command::new("mpirun")
        .args(["-n", &ranks.to_string()])
        .arg(program)
        .args([test, "--exact", "--nocapture", "--test-threads", "1"])
        .env(VARIABLE, ranks.to_string())
        .env("RAYON_NUM_THREADS", "1")
        // More processes than cores, also as root in a container.
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .output()
        .expect("mpirun: install an MPI library, such as Debian's openmpi-bin");
    let [said, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    SAID.set(said.lines().map(str::to_owned).collect());
    Some((output.status.code(), format!("{said}{errors}")))
}

/// Says something to the process that started this one.
pub fn say(what: &str, value: impl Display) {
    // A line of its own: libtest has begun one.
    println!("\nsaid {what}: {value}");
}

/// What all processes of the last launch said; `None` in one of them.
pub fn all_of(what: &str) -> Option<Vec<String>> {
    ranks_of_this_process().is_none().then(|| {
        let start = format!("said {what}: ");
        SAID.with_borrow(|said| said.iter().filter_map(|line| Some(line.strip_prefix(&start)?.to_owned())).collect())
    })
}
