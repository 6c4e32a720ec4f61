//! How well a net classifies a set of images, or their pixels.

use chainrule::data::Loader;
use chainrule::prelude::*;
use chainrule_distributed::{Communicator, DistributedError};

use super::objective::Objective;
use super::out::Answers;
use super::program::Labeled;
use super::report::Confusion;
use super::views::TestViews;

/// The result of an evaluation.
pub struct Evaluation {
    /// The mean loss of the images or pixels.
    pub loss: f64,
    pub confusion: Confusion,
    pub answers: Answers,
}

/// Evaluates the net in inference mode. The processes take turns with the batches, and all have the results. `None` if
/// `interrupted` says so between two batches of a single process.
///
/// # Errors
/// If another process does not answer.
pub fn evaluate(
    net: &dyn Module,
    objective: &Objective,
    images: &Loader,
    views: TestViews,
    classes: &[String],
    (communicator, interrupted): (&dyn Communicator, impl Fn() -> bool),
) -> Result<Option<Evaluation>, DistributedError> {
    net.eval();
    let (rank, ranks) = (communicator.rank(), communicator.size());
    let labeled = if images.palette().is_some() { Labeled::Pixels } else { Labeled::Images };
    let (mut confusion, mut answers) = (Confusion::new(labeled, classes), Answers::new(labeled));
    let (mut sum, mut count) = (0.0, 0.0);
    // Batches of other processes are passed over, and not prepared as by a worker.
    let epoch = |loader: Loader| if ranks == 1 { loader.epoch(0) } else { loader.prefetch(0).epoch(0) };
    let mut epochs: Vec<_> = views
        .loaders(images)
        .into_iter()
        .map(|(weight, loader)| (weight, epoch(loader).skip(rank).step_by(ranks)))
        .collect();
    let mut own = || {
        let mut batches = epochs.iter_mut().filter_map(|(weight, epoch)| Some((*weight, epoch.next()?)));
        let logits = |images: &Tensor| no_grad(|| objective.logits(net, images));
        let (weight, batch) = batches.next()?;
        // One view has the weight 1, and multiplied by it would have the same bits.
        let mut mean = logits(&batch.images);
        let mut rest = batches.peekable();
        if rest.peek().is_some() {
            mean = rest
                .fold(mean * f64::from(weight), |sum, (weight, batch)| sum + logits(&batch.images) * f64::from(weight));
        }
        let logits = mean.value().clone();
        Some((logits, batch.labels))
    };
    for _ in (0..images.batches()).step_by(ranks) {
        for (logits, labels) in of_all(communicator, own())? {
            let n = labels.numel() as f64;
            let loss = objective.test_loss(&Var::constant(&logits), &labels).item();
            (sum, count) = (sum + f64::from(loss) * n, count + n);
            confusion.add(&labels.to_vec(), &logits.argmax(1).to_vec());
            answers.add(&logits, &labels.to_vec());
        }
        if ranks == 1 && interrupted() {
            return Ok(None);
        }
    }
    Ok(Some(Evaluation { loss: sum / count, confusion, answers }))
}

/// The logits (N, classes, …) and labels (N, …) of a batch.
type Answered = (Tensor, TensorOf<i32>);

/// Those of all processes that have some, by rank.
fn of_all(communicator: &dyn Communicator, own: Option<Answered>) -> Result<Vec<Answered>, DistributedError> {
    if communicator.size() == 1 {
        return Ok(own.into_iter().collect());
    }
    let device = own.as_ref().map(|(logits, _)| logits.device());
    let mut bytes = Vec::new();
    if let Some((logits, labels)) = &own {
        let shape = logits.shape().to_vec();
        bytes.extend([shape.len()].iter().chain(&shape).flat_map(|&size| (size as u32).to_le_bytes()));
        bytes.extend(logits.to_vec().iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(labels.to_vec().iter().flat_map(|x| x.to_le_bytes()));
    }
    let gathered = communicator.all_gather_bytes(&bytes)?;
    let answered = |bytes: &Vec<u8>| {
        let mut words = bytes.chunks_exact(4).map(|word| <[u8; 4]>::try_from(word).expect("4 bytes"));
        let mut size = || words.next().map(|word| u32::from_le_bytes(word) as usize);
        let rank = size()?;
        let shape: Vec<usize> = (0..rank).filter_map(|_| size()).collect();
        let numel = shape.iter().product();
        let logits: Vec<f32> = words.by_ref().take(numel).map(f32::from_le_bytes).collect();
        let labels: Vec<i32> = words.map(i32::from_le_bytes).collect();
        let of_labels = Shape::from([&shape[..1], &shape[2..]].concat());
        let device = device.unwrap_or(Device::Cpu);
        let logits = Tensor::from_slice(&logits, Shape::from(shape)).to(device);
        Some((logits, TensorOf::from_slice(&labels, of_labels).to(device)))
    };
    Ok(gathered.iter().filter_map(answered).collect())
}
