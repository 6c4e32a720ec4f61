//! What training needs of the engine that connects the processes.

use crate::buffer::Buffer;
use crate::error::DistributedError;

type Result<T, E = DistributedError> = std::result::Result<T, E>;

/// The processes that train together, each of which has a rank from 0.
///
/// All processes call the same operations in the same order, with buffers of the same size and element type. An operation
/// fails if another process does not take part in it within the time limit that the communicator was made with.
pub trait Communicator {
    /// The engine and its version, such as `Open MPI 4.1.4`.
    fn engine(&self) -> String;

    /// The rank of this process.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// The rank of this process among those on the same machine, and their number.
    fn local(&self) -> (usize, usize);

    /// Starts the sum of the buffers (n) of all processes: (n), the same bits on each. The order of the additions is the
    /// engine's.
    fn all_reduce(&self, x: Buffer) -> Box<dyn Pending + '_>;

    /// Starts to gather the buffers (n) of all processes one after the other, by rank: (size · n).
    fn all_gather(&self, x: Buffer) -> Box<dyn Pending + '_>;

    /// The bytes of all processes one after the other, by rank. All give the same number of bytes, one at least.
    ///
    /// # Errors
    /// If another process does not take part in time, or the engine fails.
    fn gather_equal_bytes(&self, bytes: &[u8]) -> Result<Vec<u8>>;

    /// The bytes of all processes, by rank; their numbers may differ.
    ///
    /// # Errors
    /// As [`gather_equal_bytes`](Self::gather_equal_bytes).
    fn all_gather_bytes(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        const LENGTH: usize = size_of::<u64>();
        let lengths = self.gather_equal_bytes(&(bytes.len() as u64).to_le_bytes())?;
        let lengths: Vec<usize> = lengths
            .chunks(LENGTH)
            .map(|length| u64::from_le_bytes(length.try_into().expect("as many bytes as were sent")) as usize)
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        if longest == 0 {
            return Ok(vec![Vec::new(); lengths.len()]);
        }
        let mut padded = bytes.to_vec();
        padded.resize(longest, 0);
        let all = self.gather_equal_bytes(&padded)?;
        Ok(all.chunks(longest).zip(lengths).map(|(bytes, length)| bytes[..length].to_vec()).collect())
    }

    /// The bytes of rank `root`, on all processes. They are few, so they are gathered, and there is no operation for them.
    ///
    /// # Errors
    /// As [`gather_equal_bytes`](Self::gather_equal_bytes).
    fn broadcast(&self, bytes: &[u8], root: usize) -> Result<Vec<u8>> {
        let own = if self.rank() == root { bytes } else { &[] };
        Ok(self.all_gather_bytes(own)?.swap_remove(root))
    }

    /// Waits until all processes have come here.
    ///
    /// # Errors
    /// As [`gather_equal_bytes`](Self::gather_equal_bytes).
    fn barrier(&self) -> Result<()> {
        self.gather_equal_bytes(&[0]).map(drop)
    }

    /// Ends the use of the engine in good order, after the last operation: waits for the other processes to do the same.
    fn finish(&self);

    /// Ends all processes, this one with the exit code, also those that wait for an operation.
    fn abort(&self, code: i32) -> !;
}

/// An operation that has been started.
pub trait Pending {
    /// Lets the engine work on the operation. Engines without a thread of their own move data only when they are called.
    fn progress(&mut self);

    /// Waits for the result.
    ///
    /// # Errors
    /// If another process does not take part in time, or the engine fails.
    fn wait(self: Box<Self>) -> Result<Buffer>;
}
