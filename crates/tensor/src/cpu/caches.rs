//! The sizes of the machine's caches, from which kernels choose how they split their work, but never in which order they add.

use std::sync::OnceLock;

/// Bytes of the data caches of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caches {
    pub(crate) l1: usize,
    pub(crate) l2: usize,
}

/// What a processor has at least since about 2010.
const LEAST: Caches = Caches { l1: 32 << 10, l2: 256 << 10 };

/// The caches of this machine, or of a small one where the processor does not tell.
pub(crate) fn caches() -> Caches {
    #[cfg(test)]
    if let Some(caches) = FAKED.get() {
        return caches;
    }
    static CACHES: OnceLock<Caches> = OnceLock::new();
    *CACHES.get_or_init(|| {
        let [l1, l2] = [1, 2].map(data_cache);
        Caches { l1: l1.unwrap_or(LEAST.l1).max(LEAST.l1), l2: l2.unwrap_or(LEAST.l2).max(LEAST.l2) }
    })
}

/// The bytes of the data cache at a level, by the instruction CPUID: leaf 4, on AMD's processors leaf 8000001Dh, describe one cache in
/// each subleaf (Intel: "Software developer's manual", volume 2; AMD: "Architecture programmer's manual", volume 3).
#[cfg(target_arch = "x86_64")]
fn data_cache(level: u32) -> Option<usize> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let amd = __cpuid(0x8000_0000).eax >= 0x8000_001d && __cpuid(0x8000_0001).ecx & 1 << 22 != 0;
    let leaf = if amd { 0x8000_001d } else { 4 };
    if !amd && __cpuid(0).eax < leaf {
        return None;
    }
    (0..16).map(|index| __cpuid_count(leaf, index)).take_while(|cache| cache.eax & 31 != 0).find_map(|cache| {
        let holds_data = cache.eax & 31 != 2;
        let field = |from: u32, bits: u32| (cache.ebx >> from & ((1 << bits) - 1)) as usize + 1;
        let bytes = field(0, 12) * field(12, 10) * field(22, 10) * (cache.ecx as usize + 1);
        (holds_data && cache.eax >> 5 & 7 == level).then_some(bytes)
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn data_cache(_: u32) -> Option<usize> {
    None
}

#[cfg(test)]
thread_local! {
    /// The caches that a test pretends to have on this thread.
    static FAKED: std::cell::Cell<Option<Caches>> = const { std::cell::Cell::new(None) };
}

/// Runs `body` as if the machine had these caches.
#[cfg(test)]
pub(crate) fn with_caches<Y>(caches: Caches, body: impl FnOnce() -> Y) -> Y {
    let before = FAKED.replace(Some(caches));
    let y = body();
    FAKED.set(before);
    y
}
