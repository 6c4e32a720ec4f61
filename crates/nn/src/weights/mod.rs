//! Weights of a net by name, from files of any program.

mod file;
mod plan;
mod report;
mod stored;

use std::path::Path;

use chainrule_tensor::Float;
/// The formats of numbers in files.
pub use safetensors::tensor::Dtype;

pub(crate) use file::{AVERAGE, HEADER, MODEL, read_tensors};
pub use file::{read_safetensors, save_weights, state_dict, write_safetensors};
pub(crate) use plan::{Named, Plan, set_counters};
pub use report::LoadReport;
pub use stored::{StoredTensor, StoredTensors};

use crate::error::NnError;
use crate::module::Module;
use crate::safetensors_file;

/// Prefixes that wrappers of `PyTorch` add to every name: Lightning, `DistributedDataParallel`, `torch.compile`.
const WRAPPERS: [&str; 3] = ["model.", "module.", "_orig_mod."];

/// How a file's weights are loaded into a net.
///
/// ```no_run
/// # use std::path::Path;
/// # use chainrule_nn::{Linear, LoadOptions};
/// # let net = Linear::<f32>::new(4, 2, &mut chainrule_tensor::Rng::seed(0));
/// // Transfer: the tensors of another net's `backbone` that fit.
/// let options = LoadOptions::new().strict(false).prefix("backbone.").rename(|name| name.replace("gamma", "weight"));
/// println!("{}", options.load(&net, Path::new("other.safetensors"))?);
/// # Ok::<(), chainrule_nn::NnError>(())
/// ```
pub struct LoadOptions<'a> {
    strict: bool,
    average: bool,
    prefix: Option<String>,
    rename: Option<Rename<'a>>,
}

type Rename<'a> = Box<dyn Fn(&str) -> String + 'a>;

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        Self { strict: true, average: false, prefix: None, rename: None }
    }
}

impl<'a> LoadOptions<'a> {
    /// Everything must fit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether everything must fit. Otherwise what fits is loaded, and the report says what does not.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Whether to load the [average](crate::Ema) of the weights that a checkpoint has, instead of the last weights.
    #[must_use]
    pub fn average(self, average: bool) -> Self {
        Self { average, ..self }
    }

    /// Uses only the tensors whose names in the file begin with this prefix, such as `backbone.`, and removes it. The others
    /// are unexpected.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: Some(prefix.into()), ..self }
    }

    /// The name in the net of a tensor with this name in the file, after its prefix has been removed.
    #[must_use]
    pub fn rename(self, rename: impl Fn(&str) -> String + 'a) -> Self {
        Self { rename: Some(Box::new(rename)), ..self }
    }

    /// Loads the weights and buffers of a net, from a checkpoint or from any safetensors file, such as one written by
    /// `PyTorch`. If it fails, nothing is changed.
    ///
    /// Names are tried as they are. If they do not fit, and neither a prefix nor a renaming is given, a prefix of every
    /// name that `PyTorch`'s wrappers add (`model.`, `module.`, `_orig_mod.`) is removed, but only if then everything fits.
    ///
    /// A parameter with several names, such as tied weights, is loaded from any of them; if the file has more than one,
    /// they must be equal. Numbers in f16, bf16, f32 and f64 are converted, which the report says. Integers such as
    /// `num_batches_tracked` set the net's counters; they may be missing.
    ///
    /// # Errors
    /// [`NnError::Read`], [`NnError::Damaged`], [`NnError::NoAverage`] if one is asked for, or [`NnError::OtherNet`] if not
    /// everything fits, or nothing if not strict.
    pub fn load<T: Float>(&self, net: &dyn Module<T>, path: &Path) -> Result<LoadReport, NnError> {
        let bytes = safetensors_file::read(path)?;
        self.place(net, &file::weights(&bytes, path, self.average)?, path)
    }

    /// As [`load`](Self::load), from tensors that were read from a file of any other kind. `path` is only for messages.
    ///
    /// # Errors
    /// [`NnError::OtherNet`] if not everything fits, or nothing if not strict, and [`NnError::NoAverage`] if one is asked for.
    pub fn load_tensors<T: Float>(
        &self,
        net: &dyn Module<T>,
        tensors: &StoredTensors<'_>,
        path: &Path,
    ) -> Result<LoadReport, NnError> {
        if self.average {
            return Err(NnError::NoAverage { path: path.into() });
        }
        self.place(net, tensors, path)
    }

    fn place<T: Float>(
        &self,
        net: &dyn Module<T>,
        tensors: &StoredTensors<'_>,
        path: &Path,
    ) -> Result<LoadReport, NnError> {
        let other = |differences: String| NnError::OtherNet { path: path.into(), differences };
        let (named, others) = self.named(tensors).map_err(other)?;
        let mut plan = Plan::new(net, named, true);
        plan.report.unexpected.extend(others);
        plan.report.unexpected.sort();
        if self.prefix.is_none() && self.rename.is_none() && !plan.fits() {
            plan = unwrapped(net, tensors).unwrap_or(plan);
        }
        let nothing = plan.report.loaded.is_empty() && !plan.report.is_complete();
        if !plan.conflicts.is_empty() || nothing || (self.strict && !plan.fits()) {
            return Err(other(plan.differences()));
        }
        Ok(plan.apply(net))
    }

    /// The tensors by their names in the net, and the names of those without the prefix.
    fn named<'t>(&self, tensors: &'t StoredTensors<'_>) -> Result<(Named<'t>, Vec<String>), String> {
        let (mut named, mut others) = (Named::new(), Vec::new());
        for (file, stored) in tensors {
            let Some(name) = file.strip_prefix(self.prefix.as_deref().unwrap_or_default()) else {
                others.push(file.clone());
                continue;
            };
            let name = self.rename.as_ref().map_or_else(|| name.to_owned(), |rename| rename(name));
            if let Some((before, _)) = named.insert(name.clone(), (file, stored)) {
                return Err(format!("  renaming    {before} and {file} both become {name}"));
            }
        }
        Ok((named, others))
    }
}

/// The plan without prefixes of wrappers that all names have, if everything fits then. Wrappers may be nested.
fn unwrapped<T: Float>(net: &dyn Module<T>, tensors: &StoredTensors<'_>) -> Option<Plan<T>> {
    let mut prefix = String::new();
    loop {
        let wrapper = WRAPPERS.into_iter().find(|wrapper| {
            let longer = format!("{prefix}{wrapper}");
            !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(&longer))
        })?;
        prefix.push_str(wrapper);
        let named = tensors.iter().map(|(name, x)| (name[prefix.len()..].to_owned(), (name.as_str(), x)));
        let mut plan = Plan::new(net, named.collect(), true);
        if plan.fits() {
            plan.report.prefix = Some(prefix);
            return Some(plan);
        }
    }
}

/// Loads all weights and buffers of a net: [`LoadOptions::load`] with the default options.
///
/// # Errors
/// [`NnError::Read`], [`NnError::Damaged`] or [`NnError::OtherNet`]; in that case nothing is changed.
pub fn load_weights<T: Float>(net: &dyn Module<T>, path: &Path) -> Result<LoadReport, NnError> {
    LoadOptions::new().load(net, path)
}
