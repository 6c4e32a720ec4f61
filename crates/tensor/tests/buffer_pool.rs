//! The buffer pool's statistics. They are global to the process, so this is a separate test program with a single test.

use chainrule_tensor::{Tensor, buffer_pool};

#[test]
fn buffers_are_reused_counted_and_released() {
    const BYTES: usize = 4 << 20;
    let start = buffer_pool::stats();
    let first = Tensor::full(BYTES / 4, 7.0);
    let taken = buffer_pool::stats();
    assert_eq!(taken.in_use - start.in_use, BYTES, "each power of two is a size class");
    assert_eq!((taken.allocated - start.allocated, taken.reused - start.reused), (1, 0));

    let view = first.reshape([BYTES / 8, 2]).transpose(0, 1);
    assert_eq!(buffer_pool::stats(), taken, "a view allocates nothing");
    drop(first);
    assert_eq!(buffer_pool::stats(), taken, "the view shares the buffer");
    drop(view);
    let freed = buffer_pool::stats();
    assert_eq!((freed.in_use, freed.held - taken.held), (start.in_use, BYTES));

    let smaller = Tensor::zeros([3, BYTES / 16]);
    assert_eq!(
        buffer_pool::stats().allocated,
        freed.allocated + 1,
        "three quarters of a power of two are another size class"
    );
    drop(smaller);
    let third = Tensor::zeros(BYTES / 4 - 100);
    assert!(third.as_slice().is_some_and(|x| x.iter().all(|&v| v == 0.0)), "a reused buffer is overwritten");
    assert_eq!(buffer_pool::stats().reused, freed.reused + 1);
    assert_eq!(buffer_pool::stats().peak_in_use, taken.peak_in_use);
    drop(third);

    buffer_pool::trim();
    let trimmed = buffer_pool::stats();
    assert_eq!((trimmed.held, trimmed.peak_in_use), (0, trimmed.in_use));
}
