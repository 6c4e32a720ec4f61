//! CIFAR-100: 50 000 training and 10 000 test images of 100 classes in 20 superclasses, (3, 32, 32).
//!
//! By A. Krizhevsky, V. Nair and G. Hinton. The binary version has records of two label bytes, coarse and fine, and 3072
//! pixels: the red, green and blue planes, each row-major. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::path::Path;

use crate::cifar::Cifar;
use crate::dataset::Dataset;
use crate::error::Result;

#[cfg(feature = "download")]
use crate::download::{Downloader, Progress, RemoteFile};

/// Which of the two labels of an image is its class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// One of 100 classes, such as "maple_tree".
    #[default]
    Fine,
    /// One of 20 superclasses, such as "trees".
    Coarse,
}

const FINE: Cifar = Cifar {
    name: "CIFAR-100",
    train: &["train.bin"],
    test: "test.bin",
    records: 50_000,
    label_bytes: 2,
    label: 1,
    names_file: "fine_label_names.txt",
    classes: &FINE_CLASSES,
    folder: "cifar-100-binary",
    archive: "cifar-100-binary",
    python: ["cifar-100-python"; 2],
};

const COARSE: Cifar = Cifar { label: 0, names_file: "coarse_label_names.txt", classes: &COARSE_CLASSES, ..FINE };

#[rustfmt::skip]
const FINE_CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle",
    "bicycle", "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel",
    "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud",
    "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
    "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree",
    "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter",
    "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea",
    "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television",
    "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
];

#[rustfmt::skip]
const COARSE_CLASSES: [&str; 20] = [
    "aquatic_mammals", "fish", "flowers", "food_containers",
    "fruit_and_vegetables", "household_electrical_devices", "household_furniture", "insects",
    "large_carnivores", "large_man-made_outdoor_things", "large_natural_outdoor_scenes", "large_omnivores_and_herbivores",
    "medium_mammals", "non-insect_invertebrates", "people", "reptiles",
    "small_mammals", "trees", "vehicles_1", "vehicles_2",
];

impl Labels {
    fn cifar(self) -> &'static Cifar {
        match self {
            Self::Fine => &FINE,
            Self::Coarse => &COARSE,
        }
    }
}

/// The published archive; its published md5 is 03b5dce01913d631647c71ecec9e9cb8.
#[cfg(feature = "download")]
const REMOTE: RemoteFile<'static> = RemoteFile {
    name: "cifar-100-binary.tar.gz",
    bytes: 168_513_733,
    sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    mirrors: &["https://www.cs.toronto.edu/~kriz"],
};

/// Reads CIFAR-100 from `path`: the archive, plain or gzipped, or a directory that contains the archive or `train.bin` and
/// `test.bin` (directly or in `cifar-100-binary`). The class names are those of `fine_label_names.txt` or
/// `coarse_label_names.txt` if it exists.
///
/// # Errors
/// If `path` has none of these, or a file is damaged.
pub fn from_path(path: &Path, labels: Labels) -> Result<Dataset> {
    labels.cifar().load(path, &[])
}

/// Reads the archive from the downloader's cache, and downloads it first if needed.
///
/// # Errors
/// If every mirror fails, if the archive is not cached and the downloader is offline, or if the cache is not writable.
#[cfg(feature = "download")]
pub fn download(downloader: &Downloader, labels: Labels, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Dataset> {
    from_path(&downloader.fetch(&REMOTE, progress)?, labels)
}

/// Reads from `data_dir` if given, else from the cache or the network.
///
/// # Errors
/// Those of [`from_path`] and [`download()`].
#[cfg(feature = "download")]
pub fn load(
    data_dir: Option<&Path>,
    labels: Labels,
    offline: bool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Dataset> {
    match data_dir {
        Some(path) => from_path(path, labels),
        None => download(&Downloader::in_user_cache("cifar100")?.offline(offline), labels, progress),
    }
}
