//! Small tables that kernels read, such as the windows of a pooling: sent to the device once and kept.

use std::collections::HashMap;
use std::sync::Mutex;

use super::gpu::{Gpu, lock};
use super::memory::{Block, with_heap};

/// Tables by their bytes.
#[derive(Default)]
pub(super) struct Tables(Mutex<HashMap<Vec<u8>, Block>>);

impl Gpu {
    /// Where a copy of these entries lies, which are numbers without gaps between them.
    pub(super) fn table<E: Copy>(&'static self, entries: &[E]) -> u64 {
        // SAFETY: plain numbers without gaps, as promised; any bytes may be read as such.
        let bytes = unsafe { std::slice::from_raw_parts(entries.as_ptr().cast::<u8>(), size_of_val(entries)) };
        // The turn first: whoever has it may want the tables.
        let _turn = self.enter();
        let mut tables = lock(&self.tables.0);
        if let Some(block) = tables.get(bytes) {
            return block.address();
        }
        // It outlives the step that asks for it first.
        let block = with_heap(None, || self.allocate(bytes.len()));
        let address = block.address();
        self.upload(address, bytes);
        tables.insert(bytes.to_vec(), block);
        address
    }
}
