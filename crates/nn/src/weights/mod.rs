//! Weights of a net in safetensors files, whoever wrote them.

mod plan;
mod report;
mod stored;

use std::collections::BTreeMap;
use std::path::Path;

use chainrule_tensor::Float;
use safetensors::tensor::SafeTensors;

pub(crate) use plan::{Named, Plan, set_counters};
pub use report::LoadReport;
pub(crate) use stored::{Stored, read_tensors};

use crate::error::NnError;
use crate::module::Module;
use crate::safetensors_file;

/// The key of a checkpoint's header in the metadata.
pub(crate) const HEADER: &str = "chainrule";
/// The prefix of the names of weights in a checkpoint.
pub(crate) const MODEL: &str = "model.";
/// The prefix of the names of averaged weights in a checkpoint.
pub(crate) const AVERAGE: &str = "average.";

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
        let damaged = |why: String| NnError::Damaged { path: path.into(), why };
        let other = |differences: String| NnError::OtherNet { path: path.into(), differences };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let mut tensors = read_tensors(&bytes).map_err(damaged)?;
        let is_checkpoint = metadata.metadata().as_ref().is_some_and(|metadata| metadata.contains_key(HEADER));
        if self.average && !(is_checkpoint && tensors.keys().any(|name| name.starts_with(AVERAGE))) {
            return Err(NnError::NoAverage { path: path.into() });
        }
        if is_checkpoint {
            // Its weights alone.
            let prefix = if self.average { AVERAGE } else { MODEL };
            let weights = tensors.into_iter().filter_map(|(name, x)| Some((name.strip_prefix(prefix)?.to_owned(), x)));
            tensors = weights.collect();
        }
        let (named, others) = self.named(&tensors).map_err(other)?;
        let mut plan = Plan::new(net, named, true);
        plan.report.unexpected.extend(others);
        plan.report.unexpected.sort();
        if self.prefix.is_none() && self.rename.is_none() && !plan.fits() {
            plan = unwrapped(net, &tensors).unwrap_or(plan);
        }
        let nothing = plan.report.loaded.is_empty() && !plan.report.is_complete();
        if !plan.conflicts.is_empty() || nothing || (self.strict && !plan.fits()) {
            return Err(other(plan.differences()));
        }
        Ok(plan.apply(net))
    }

    /// The tensors by their names in the net, and the names of those without the prefix.
    fn named<'t>(&self, tensors: &'t BTreeMap<String, Stored<'_>>) -> Result<(Named<'t>, Vec<String>), String> {
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
fn unwrapped<T: Float>(net: &dyn Module<T>, tensors: &BTreeMap<String, Stored<'_>>) -> Option<Plan<T>> {
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
