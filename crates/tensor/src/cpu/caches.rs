//! The sizes of the machine's caches, from which matrix products choose how they split their work, but never in which order they
//! add. Sizes that decide an order of sums, such as those in `conv`, must not come from here.

use std::sync::OnceLock;

/// Bytes of the data caches of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caches {
    pub(crate) l1: usize,
    pub(crate) l2: usize,
}

/// What processors with AVX2 have at least. It is assumed of others.
const LEAST: Caches = Caches { l1: 32 << 10, l2: 256 << 10 };

/// The caches of this machine, and what is assumed where the processor does not tell or tells less.
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
    struct Reset(Option<Caches>);
    impl Drop for Reset {
        fn drop(&mut self) {
            FAKED.set(self.0);
        }
    }
    let _reset = Reset(FAKED.replace(Some(caches)));
    body()
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_the_same() {
        for index in 0..8 {
            let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
            let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).ok();
            let (Some(level), Some(kind), Some(size)) = (read("level"), read("type"), read("size")) else { continue };
            let (level, size) = (level.trim().parse().unwrap(), size.trim().trim_end_matches('K').parse::<usize>());
            if kind.trim() != "Instruction" && (1..=2).contains(&level) {
                assert_eq!(data_cache(level), Some(size.unwrap() << 10), "level {level}");
            }
        }
        assert!(caches().l1 < caches().l2);
    }
}
