//! Which processes do not answer.

use std::time::{Duration, Instant};

use chainrule_distributed::{Communicator, DistributedError};
use mpi::ffi;
use mpi::traits::AsRaw;

use crate::Mpi;

/// The tag of the messages of a roll call: nothing else sends messages from process to process.
const TAG: i32 = 4711;
/// The time for answers to a roll call. Processes that wait for the same operation reach its time limit at about the same time.
const ANSWERS: Duration = Duration::from_secs(3);

/// The error of an operation that others do not take part in: those who wait tell each other, and who does not is named.
pub(crate) fn absent(mpi: &Mpi, operation: u64, waited: Duration) -> DistributedError {
    let (rank, ranks) = (mpi.rank(), mpi.size());
    for other in (0..ranks).filter(|&other| other != rank) {
        // SAFETY: the message has no content. It is never completed: the processes end.
        unsafe {
            let mut request = ffi::RSMPI_REQUEST_NULL;
            let datatype = ffi::RSMPI_UINT8_T;
            ffi::MPI_Isend(
                std::ptr::NonNull::<u8>::dangling().as_ptr().cast(),
                0,
                datatype,
                other as i32,
                TAG,
                mpi.world.as_raw(),
                &raw mut request,
            );
        }
    }
    let mut present = vec![false; ranks];
    present[rank] = true;
    let begun = Instant::now();
    while begun.elapsed() < ANSWERS && present.contains(&false) {
        for other in (0..ranks).filter(|&other| other != rank) {
            let mut flag = 0;
            // SAFETY: MPI is initialized.
            unsafe {
                ffi::MPI_Iprobe(other as i32, TAG, mpi.world.as_raw(), &raw mut flag, ffi::RSMPI_STATUS_IGNORE);
            }
            present[other] |= flag != 0;
        }
        std::thread::yield_now();
    }
    let silent: Vec<String> = (0..ranks).filter(|&other| !present[other]).map(|other| other.to_string()).collect();
    let seconds = waited.as_secs();
    DistributedError::NoAnswer(match &silent[..] {
        [] => format!(
            "rank {rank}: operation {operation} between the processes did not end within {seconds} s, though all of them wait for one; are they at different steps?"
        ),
        [one] => {
            format!("rank {one} has not answered for {seconds} s; rank {rank} waited for it in operation {operation}")
        }
        several => format!(
            "ranks {} have not answered for {seconds} s; rank {rank} waited for them in operation {operation}",
            several.join(", ")
        ),
    })
}
