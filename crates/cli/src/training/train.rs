//! A run as the command line says: everything that it needs is made and checked before it begins.

use std::fs;
use std::rc::Rc;

use chainrule::data::Loader;
use chainrule::nn::synchronize_batch_norm;
use chainrule::prelude::*;
use chainrule_distributed::Group;

use super::checkpoints::Checkpoints;
use super::data::Data;
use super::display;
use super::distributed::{Processes, Replicas};
use super::net::{NetKind, check_shapes, whiten};
use super::options::Options;
use super::out::{self, Recorder};
use super::program::{Labeled, Program};
use super::recipe::Recipe;
use super::report::Events;
use super::run::Run;
use super::settings::Settings;
use super::state::{self, Identity, State};
use super::steps::Steps;
use super::{features, interrupt, lr_find, run_memory};
use crate::failure::Failure;

/// Trains as the command line says, reports, saves. `recipe` has the flags that a recipe stands for.
pub fn train(program: Program, options: &Options, recipe: &[&str], settings: Settings) -> Result<(), Failure> {
    options.check(program)?;
    options.check_distributed()?;
    let (processes, device) = Processes::begin(&options.distributed, &options.compute)?;
    if processes.is_first() && !recipe.is_empty() {
        println!("recipe: {}", recipe.join(" "));
    }
    match train_together(program, options, settings, &processes, device) {
        Ok(()) => {
            processes.end();
            Ok(())
        }
        Err(failure) => Err(processes.fail(failure)),
    }
}

fn train_together(
    program: Program,
    options: &Options,
    settings: Settings,
    processes: &Processes,
    device: Device,
) -> Result<(), Failure> {
    let replicas = options.distributed.parallel(processes)?.map(Replicas::new);
    let first = processes.is_first();
    let palette = options.files.resume.as_ref().filter(|_| program.labeled() == Labeled::Pixels);
    let palette = palette.map(|path| state::palette(path)).transpose()?.flatten();
    let Data { name, mut train, validation, mut test, normalize, classes, notes } = processes
        .one_after_the_other(|| options.data.load(program, options.batch_size as usize, options.seed, palette))?;
    for note in notes.iter().filter(|_| first) {
        println!("note: {note}");
    }
    let image = train.image_shape();
    let objective = options.recipe.objective(classes.len())?;
    if options.data.mixes() && !objective.has_soft_targets() {
        return Err(Failure::Usage(
            "--mixup is for `--loss cross-entropy`: the targets are shares of two classes".into(),
        ));
    }
    let net = options.net.build(image, objective.outputs(), options.seed, options.memory())?;
    let net = options.recomputed(net)?;
    let net = &*net;
    check_shapes(net, image, objective.outputs(), program.labeled())?;
    if options.net.kind == NetKind::Fast {
        whiten(net, train.images(), normalize);
    }
    options.transfer.load_weights(net, &classes)?;
    if let Some(folder) = options.files.out.as_ref().filter(|_| first) {
        out::prepare(folder, options.files.resume.is_some())?;
    }
    let checkpoints = if first { Checkpoints::new(&options.files)? } else { Checkpoints::none() };
    [train, test] = [train, test].map(|loader| loader.device(device));
    let mut validation = validation.map(|loader| loader.device(device));
    let recipe = Recipe::new(options, objective, net, &train)?;
    let flags = settings.entries().filter(|(key, _)| key.starts_with("--")).collect();
    let identity = Identity::new(settings, options.compute.arithmetic(device), &train, &classes);
    net.to(device);
    let mut sets = vec![("train", &mut train), ("test", &mut test)];
    sets.extend(validation.as_mut().map(|loader| ("validation", loader)));
    let tail = features::cached(options, net, recipe.trained(), &mut sets, device)?;
    let net = tail.as_ref().map_or(net, |tail| tail as &dyn Module);
    let image = train.image_shape();
    let mut optimizer = options.optimizer.build(net, |path| options.transfer.lr_factor(path));
    if device == Device::Cpu {
        let [batch, evaluated] = [&train, &test].map(|loader| loader.batch_size().min(loader.images().len()));
        let shard = replicas.as_ref().map_or(batch, |replicas| replicas.images_of_a_shard(batch));
        let sizes = [shard, batch, evaluated];
        run_memory::check(net, &recipe, &mut *optimizer, options, image, sizes, processes.communicator().local().1)?;
    }
    if let Some(picture) = &options.lr_find {
        return lr_find::run(net, &recipe, &mut *optimizer, &train, picture.as_ref());
    }
    if options.distributed.sync_batch_norm {
        let last = train.images().len() % train.batch_size();
        let ranks = processes.communicator().size();
        if (1..ranks).contains(&last) && !options.data.drop_last {
            return Err(Failure::Usage(format!(
                "--sync-batch-norm: the last batch of an epoch has {last} images for {ranks} processes\n  rule: each process has an image of each batch; use --drop-last or another --batch-size"
            )));
        }
        let layers = synchronize_batch_norm(net, &Group::new(Rc::clone(processes.communicator())));
        if layers == 0 {
            return Err(Failure::Usage("--sync-batch-norm: the net has no batch normalization".into()));
        }
    }
    let mut ema = options.recipe.ema(net);
    let mut state = State {
        at: Progress { seed: options.seed, plateau: recipe.plateau(), ..Progress::default() },
        ..State::default()
    };
    if let Some(path) = &options.files.resume {
        state = identity.resume(path, net, &mut *optimizer, ema.as_mut(), first)?;
        if !state.sums.loss.is_finite() && !options.allow_nan {
            return Err(Failure::Run(format!(
                "{} was saved after a step that was not finite; use an earlier checkpoint, or go on with --allow-nan",
                path.display()
            )));
        }
    }
    if processes.are_several() {
        processes.agree(&facts(&identity.facts(net, &state), &test, options, device))?;
    }
    let resumed = options.files.resume.as_ref().map(|_| state.at.epoch);
    let events = Events::open(options.files.json.as_deref().filter(|_| first), resumed)?;
    let recorder = options.files.out.as_ref().filter(|_| first).map(|folder| {
        let config = out::Config::of(out::Run {
            program: program.name(),
            settings: flags,
            net,
            data: &name,
            labeled: program.labeled(),
            classes: &classes,
            train: &train,
            test: test.images(),
            epochs: options.epochs,
            steps: u64::from(options.epochs) * recipe.accumulation().steps(),
            device,
            arithmetic: options.compute.arithmetic(device),
        });
        let batch = train.epoch(0).next().expect("there is an image");
        Group::alone(|| Recorder::open(folder, config, net, &batch, options.temperature(), &state.at))
    });
    let recorder = recorder.transpose()?;
    // On a GPU, reading the weights after every step would synchronize with it.
    let steps = options.files.out.as_ref().filter(|_| first && device == Device::Cpu);
    let steps = steps.map(|folder| Steps::open(folder, options.compute.arithmetic(device), &state.at)).transpose()?;
    interrupt::watch()?;
    let train = match &replicas {
        Some(replicas) => replicas.part(train),
        None => train,
    };
    let run = Run {
        net,
        options,
        identity,
        recipe,
        optimizer,
        ema,
        train,
        validation,
        test,
        classes,
        state,
        events,
        checkpoints,
        display: if first { display::open(options.tui)? } else { Box::new(display::Nothing) },
        recorder,
        steps,
        processes,
        replicas,
    };
    run.complete(program, device)
}

/// What all processes of a run have in common.
fn facts(
    of_the_run: &[(&'static str, String)],
    test: &Loader,
    options: &Options,
    device: Device,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![(
        "program",
        std::env::current_exe().and_then(fs::read).map_or_else(
            |error| error.to_string(),
            |program| format!("version {} (crc32 {:08x})", env!("CARGO_PKG_VERSION"), crc32fast::hash(&program)),
        ),
    )];
    facts.extend_from_slice(of_the_run);
    let (images, files) = (test.images(), &options.files);
    facts.extend([
        ("test data", format!("{} images, crc32 {:08x}", images.len(), crc32fast::hash(images.pixels()))),
        ("length", format!("--epochs {}, --early-stop {:?}", options.epochs, options.test.early_stop)),
        ("saving", format!("--save-every {:?}, --out {}", files.save_every, files.out.is_some())),
    ]);
    // Up to rounding the sums of other instructions are the same; but shards promise the bits.
    if options.distributed.shards.is_some() {
        facts.push(("arithmetic", options.compute.arithmetic(device)));
    }
    facts
}
