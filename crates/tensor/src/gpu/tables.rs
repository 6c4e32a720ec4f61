//! Small tables that kernels read, such as the windows of a pooling: uploaded once and kept.

use super::context::Gpu;
use super::heap::{lock, with_heap};

impl Gpu {
    /// The address of a copy of these entries, whose type has no padding.
    pub(crate) fn table<E: Copy>(&'static self, entries: &[E]) -> u64 {
        // SAFETY: plain numbers without gaps, as promised; any bytes may be read as such.
        let bytes = unsafe { std::slice::from_raw_parts(entries.as_ptr().cast::<u8>(), size_of_val(entries)) };
        // The device's lock first: a thread that holds it may need the tables.
        let _lock = self.enter();
        let mut tables = lock(&self.tables);
        if let Some(&address) = tables.get(bytes) {
            return address;
        }
        // It outlives the step that first requests it.
        let address = with_heap(None, || self.allocate(bytes.len())).leak();
        self.upload(address, bytes);
        tables.insert(bytes.to_vec(), address);
        address
    }
}
