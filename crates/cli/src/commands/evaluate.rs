//! Tests a saved net on the test images of its dataset.

use std::path::PathBuf;

use chainrule::data::Palette;
use chainrule_distributed::Alone;
use clap::Args;

use crate::compute::ComputeOptions;
use crate::failure::Failure;
use crate::training::evaluate::evaluate;
use crate::training::saved::SavedNet;
use crate::training::views::TestViews;

/// Tests the net of a checkpoint: loss, accuracy by class, confusion matrix
#[derive(Args)]
pub struct Arguments {
    /// A checkpoint that `--save` has written
    checkpoint: PathBuf,
    /// The dataset, as for the command that trained the net
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Never use the network
    #[arg(long)]
    offline: bool,
    /// What the net sees of a test image [default: as in the run]
    #[arg(long, value_enum)]
    test_views: Option<TestViews>,
    #[command(flatten)]
    compute: ComputeOptions,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { checkpoint, data_dir, offline, test_views, compute } = arguments;
    let device = compute.prepare()?;
    let SavedNet { net, program, mut options, objective, classes, image, epoch } = SavedNet::load(checkpoint)?;
    let source = &mut options.data.source;
    (source.data_dir, source.offline) = (data_dir.clone(), *offline);
    source.sample &= data_dir.is_none();
    options.test.test_views = test_views.unwrap_or(options.test.test_views);
    options.check(program)?;
    let data = options.data.load(program, options.batch_size as usize, options.seed, Palette::from_names(&classes))?;
    for note in data.notes {
        println!("note: {note}");
    }
    if data.classes != classes || data.test.image_shape() != image {
        return Err(Failure::Input(format!(
            "{} was trained on images (C,H,W) = {image:?} of {}\n  this dataset has {:?} of {}; give the same dataset",
            checkpoint.display(),
            classes.join(", "),
            data.test.image_shape(),
            data.classes.join(", ")
        )));
    }
    net.to(device);
    let test = data.test.device(device);
    println!("{} after epoch {epoch}, {} test images, {device}", program.name(), test.images().len());
    let found = evaluate(&*net, &objective, &test, options.test.test_views, &classes, (&Alone, || false))?;
    let found = found.expect("nothing interrupts it");
    found.confusion.print();
    println!("\ntest loss {:.4}, accuracy {:.2} %", found.loss, 100.0 * found.confusion.accuracy());
    Ok(())
}
