//! The operations, and what happens if a process does not take part.

use std::time::{Duration, Instant};

use chainrule_distributed::{Bootstrap, Buffer, Communicator, DistributedError, Nccl, Place};
use chainrule_tensor::{Device, Tensor, Tensor64, TensorOf};

use crate::{Ended, connect, connected, gpu, limit, succeeded};

fn values(buffer: Result<Buffer, DistributedError>) -> Vec<f64> {
    match buffer.expect("all ranks take part") {
        Buffer::F32(x) => x.to_f64().to_vec(),
        Buffer::F64(x) => x.to_vec(),
    }
}

pub fn operations() {
    let nccl = connected();
    let (rank, size) = (nccl.rank(), nccl.size());
    assert_eq!(nccl.local(), (rank, size));
    assert!(nccl.engine().starts_with("NCCL 2."), "{}", nccl.engine());
    let gpu = gpu();
    // Small numbers, whose sums are exact in any order.
    let element = |rank: usize, i: usize| ((7 * rank + 3 * i) % 101) as f64;
    for (n, device) in [(1, gpu), (5, Device::Cpu), (1000, gpu), (100_003, gpu), (0, gpu)] {
        let [single, double] = [
            Buffer::F32(Tensor::from_fn(n, |i| element(rank, i) as f32).to(device)),
            Buffer::F64(Tensor64::from_fn(n, |i| element(rank, i)).to(device)),
        ];
        let sums: Vec<f64> = (0..n).map(|i| (0..size).map(|rank| element(rank, i)).sum()).collect();
        let all: Vec<f64> = (0..size).flat_map(|rank| (0..n).map(move |i| element(rank, i))).collect();
        // Several at a time, completed in another order.
        let sum = nccl.all_reduce(double.clone());
        let mut gathered = nccl.all_gather(single.clone());
        gathered.progress();
        let other_sum = nccl.all_reduce(single);
        let other_gathered = nccl.all_gather(double);
        let other_sum = other_sum.wait();
        assert_eq!(other_sum.as_ref().map(Buffer::device).ok(), Some(device), "where it came from");
        assert_eq!((values(other_sum), values(gathered.wait())), (sums.clone(), all.clone()), "{n} f32");
        assert_eq!((values(sum.wait()), values(other_gathered.wait())), (sums, all), "{n} f64");
    }
    let text = |rank: usize| "x".repeat(3 * rank).into_bytes();
    let bytes = nccl.all_gather_bytes(&text(rank)).expect("all ranks take part");
    assert_eq!(bytes, (0..size).map(text).collect::<Vec<_>>());
    assert_eq!(nccl.all_gather_bytes(&[]).expect("all ranks take part"), vec![Vec::<u8>::new(); size]);
    for root in [0, size - 1] {
        let said = nccl.broadcast(&[rank as u8, 9, 255], root).expect("all ranks take part");
        assert_eq!(said, [root as u8, 9, 255]);
        assert!(nccl.broadcast(&[], root).expect("all ranks take part").is_empty());
    }
    nccl.barrier().expect("all ranks take part");
    // The id of another communicator, carried by this one.
    let bootstrap = Bootstrap::over(&*nccl).expect("all ranks take part");
    assert_eq!(bootstrap.place(), Place { rank, size, local: (rank, size) });
    let device = bootstrap.device().expect("a GPU");
    let other = Nccl::new(device, &bootstrap, 10 * limit()).expect("all ranks come");
    assert_eq!(other.broadcast(&[rank as u8], 0).expect("all ranks take part"), [0]);
    other.finish();
    let error = other.barrier().expect_err("it is finished").to_string();
    assert!(error.contains("after the communicator was finished"), "{error}");
}

/// The memory of what is dropped is not reused while NCCL reads and writes it.
pub fn dropped() {
    let nccl = connected();
    let device = gpu();
    let n = 1 << 16;
    let one = |value: f32| TensorOf::<f32>::full_on(device, n, value);
    let sum = nccl.all_reduce(Buffer::F32(one(1.0)));
    drop(nccl.all_reduce(Buffer::F32(one(2.0))));
    drop(nccl.all_gather(Buffer::F32(one(3.0))));
    let fresh: Vec<TensorOf<f32>> = (0..8).map(|i| one(i as f32)).collect();
    assert!(values(sum.wait()).iter().all(|x| *x == nccl.size() as f64));
    nccl.barrier().expect("all ranks take part");
    for (i, x) in fresh.iter().enumerate() {
        assert!(x.to_vec().iter().all(|x| *x == i as f32), "{i}");
    }
}

/// The last rank takes part in the first operation, and in no other in time.
pub fn hang() {
    let nccl = connect(limit()).expect("all ranks come");
    nccl.barrier().expect("all ranks take part");
    if nccl.rank() == nccl.size() - 1 {
        std::thread::sleep(2 * limit());
    }
    let begun = Instant::now();
    let buffer = || Buffer::F32(Tensor::full_on(gpu(), 7, 1.0));
    let error = nccl.all_reduce(buffer()).wait().expect_err("the last rank does not come");
    println!("error after {:.0} s: {error}", begun.elapsed().as_secs_f64());
    let again = nccl.all_gather(buffer()).wait().expect_err("it has failed").to_string();
    assert_eq!(again, error.to_string(), "the first error stays");
    nccl.abort(9)
}

pub fn hang_is_reported(all: &[Ended]) {
    let (waiting, last) = all.split_at(all.len() - 1);
    for Ended { rank, code, text, after } in all {
        assert_eq!(*code, Some(9), "rank {rank} after {after:?}:\n{text}");
    }
    // Once it wakes, after two limits, the last rank finds that others have gone, or waits for its own limit.
    assert!(last[0].after < limit() * 4 + Duration::from_secs(20), "{:?}", last[0].after);
    for Ended { rank, text, after, .. } in waiting {
        assert!(*after < limit() * 3 + Duration::from_secs(20), "{after:?}");
        let operation = format!("rank {rank} of {}, operation 2, all-reduce of 7 f32: ", all.len());
        assert!(text.contains(&operation), "{text}");
    }
    // Who waits a little less ends first, and the others may notice that.
    let late = |ended: &Ended| ended.text.contains("not all processes have taken part within");
    assert!(waiting.iter().any(late), "{}", waiting[0].text);
}

/// The last rank ends after the first operation.
pub fn death() {
    let nccl = connect(limit()).expect("all ranks come");
    nccl.barrier().expect("all ranks take part");
    if nccl.rank() == nccl.size() - 1 {
        std::process::abort();
    }
    let error = nccl.barrier().expect_err("the last rank is gone");
    println!("error: {error}");
    // Dropping it does not wait for the others.
    drop(nccl);
    std::process::exit(7)
}

pub fn death_is_reported(all: &[Ended]) {
    for Ended { rank, code, text, after } in &all[..all.len() - 1] {
        assert_eq!(*code, Some(7), "rank {rank} after {after:?}:\n{text}");
        assert!(*after < limit() * 2 + Duration::from_secs(20), "{after:?}");
        assert!(text.contains("operation 2, all-gather of 1 u8: "), "{text}");
    }
}

pub fn absence() {
    let Err(error) = connect(limit()) else { panic!("a rank is missing") };
    println!("error: {error}");
    assert!(matches!(error, DistributedError::NoAnswer(_)), "{error:?}");
}

pub fn absence_is_reported(all: &[Ended]) {
    succeeded(all);
    let expected = format!("rank {} of {} did not come to rank 0 at 127.0.0.1:", all.len(), all.len() + 1);
    assert!(all[0].text.contains(&expected), "{}", all[0].text);
}

/// Without NCCL, also on a machine that has it.
pub fn no_library() {
    // SAFETY: no other thread reads or sets variables.
    unsafe { std::env::set_var("CHAINRULE_NCCL", "/nowhere/libnccl.so.2") };
    let Err(DistributedError::Unavailable(text)) = connect(limit()) else { panic!("there is no library") };
    assert!(text.starts_with("NCCL was not found: no /nowhere/libnccl.so.2"), "{text}");
    assert!(text.contains("rule: install NVIDIA's package libnccl2, or PyPI's nvidia-nccl-cu12"), "{text}");
}
