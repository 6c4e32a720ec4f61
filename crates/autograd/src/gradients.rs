//! The result of a backward walk.

use std::ops::Index;

use chainrule_tensor::{Float, TensorOf, Unary, ranges};

use crate::graph::VarOf;

/// The gradients of a scalar, by parameter.
///
/// They are always in the order in which the parameters were created, so a sum over them has the same bits on every run.
#[derive(Clone, Debug)]
pub struct GradientsOf<T: Float> {
    entries: Vec<(VarOf<T>, TensorOf<T>)>,
}

impl<T: Float> GradientsOf<T> {
    /// From pairs in ascending order of the variables' ids.
    pub(crate) fn new(entries: Vec<(VarOf<T>, TensorOf<T>)>) -> Self {
        debug_assert!(entries.is_sorted_by_key(|(var, _)| var.id()));
        Self { entries }
    }

    fn position(&self, var: &VarOf<T>) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&var.id(), |(var, _)| var.id())
    }

    /// The gradient of a variable, or `None`.
    pub fn get(&self, var: &VarOf<T>) -> Option<&TensorOf<T>> {
        self.position(var).ok().map(|i| &self.entries[i].1)
    }

    /// The variables and their gradients.
    pub fn iter(&self) -> impl Iterator<Item = (&VarOf<T>, &TensorOf<T>)> {
        self.entries.iter().map(|(var, gradient)| (var, gradient))
    }

    /// The number of gradients.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no gradients.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds other gradients, such as those of another batch.
    ///
    /// So a step can have more samples than fit into memory at once. If the loss is a mean, the gradients of N batches of B
    /// samples, added and scaled by 1/N, are those of one batch of N·B, up to rounding:
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let w = Var64::parameter("w", [1.0, -2.0]);
    /// fn loss<const N: usize>(rows: [[f64; 2]; N], w: &Var64) -> Var64 {
    ///     (Var64::constant(rows) * w).square().mean()
    /// }
    /// let mut gradients = loss([[1.0, 2.0], [0.5, -1.0]], &w).backward();
    /// gradients.add(&loss([[3.0, 0.25], [-2.0, 1.5]], &w).backward());
    /// gradients.scale(1.0 / 2.0);
    /// let whole = loss([[1.0, 2.0], [0.5, -1.0], [3.0, 0.25], [-2.0, 1.5]], &w).backward();
    /// assert_eq!(gradients[&w].to_vec(), whole[&w].to_vec());
    /// ```
    ///
    /// Then come clipping and the optimizer's step, once for all N. Batch normalization uses the statistics of each batch of B.
    pub fn add(&mut self, other: &Self) {
        for (var, gradient) in &other.entries {
            match self.position(var) {
                Ok(i) => self.entries[i].1.add_assign(gradient),
                Err(i) => self.entries.insert(i, (var.clone(), gradient.clone())),
            }
        }
    }

    /// Multiplies all gradients by a number.
    pub fn scale(&mut self, factor: f64) {
        for (_, gradient) in &mut self.entries {
            *gradient = gradient.unary(Unary::Mul(factor));
        }
    }

    /// The global norm: the square root of the sum of the squares of all elements. It is finite unless an element is not (or
    /// the norm exceeds 1.8e308).
    pub fn global_norm(&self) -> f64 {
        self.norm().item()
    }

    /// The global norm as a scalar tensor on the device of the gradients; does not synchronize.
    fn norm(&self) -> TensorOf<f64> {
        let gradients: Vec<&TensorOf<T>> = self.entries.iter().map(|(_, gradient)| gradient).collect();
        TensorOf::norm(&gradients)
    }

    /// Scales all gradients by a common factor so that the global norm is at most `max_norm`. Returns the previous norm
    /// (`torch.nn.utils.clip_grad_norm_`, with the same 1e-6 in the denominator).
    ///
    /// If a gradient has an infinite or NaN element, all gradients stay as they are and the returned norm is infinite or NaN:
    /// test it with `is_finite` before the optimizer's step. (`clip_grad_norm_` would replace all finite gradients by 0 or
    /// NaN.)
    ///
    /// The norm is a scalar tensor on the device of the gradients, so this does not synchronize.
    ///
    /// # Panics
    /// If the limit is negative or NaN. Infinity does not clip.
    #[track_caller]
    pub fn clip_norm(&mut self, max_norm: f64) -> TensorOf<f64> {
        ranges::check("clip_norm", "max_norm", max_norm, ranges::LIMIT);
        let norm = self.norm();
        TensorOf::clip_to_norm(self.entries.iter_mut().map(|(_, gradient)| gradient).collect(), &norm, max_norm);
        norm
    }

    /// Clamps each element to ±`limit`: ±∞ becomes ±`limit`, NaN stays NaN (`torch.nn.utils.clip_grad_value_`).
    ///
    /// # Panics
    /// If the limit is negative or NaN. Infinity does not clip.
    #[track_caller]
    pub fn clip_value(&mut self, limit: f64) {
        ranges::check("clip_value", "limit", limit, ranges::LIMIT);
        for (_, gradient) in &mut self.entries {
            *gradient = gradient.unary(Unary::Clamp(-limit, limit));
        }
    }

    /// All gradients concatenated in order, for example for an all-reduce.
    pub fn to_flat(&self) -> TensorOf<T> {
        let flat: Vec<TensorOf<T>> = self.entries.iter().map(|(_, g)| g.reshape(g.numel())).collect();
        if flat.is_empty() {
            return TensorOf::zeros(0);
        }
        TensorOf::concat(&flat.iter().collect::<Vec<_>>(), 0)
    }

    /// Replaces all gradients by the parts of a flat tensor in the order of [`to_flat`](Self::to_flat).
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn set_flat(&mut self, flat: &TensorOf<T>) {
        let total: usize = self.entries.iter().map(|(_, g)| g.numel()).sum();
        assert!(flat.numel() == total, "set_flat: {} elements for gradients of {total}", flat.numel());
        let mut start = 0;
        for (_, gradient) in &mut self.entries {
            let end = start + gradient.numel();
            *gradient = flat.narrow(0, start..end).reshape(gradient.shape());
            start = end;
        }
    }
}

impl<T: Float> FromIterator<(VarOf<T>, TensorOf<T>)> for GradientsOf<T> {
    /// Gradients that were computed elsewhere, such as sums over several processes.
    ///
    /// # Panics
    /// If a variable has two, or a gradient not the shape of its variable.
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = (VarOf<T>, TensorOf<T>)>>(pairs: I) -> Self {
        let mut entries: Vec<_> = pairs.into_iter().collect();
        entries.sort_by_key(|(var, _)| var.id());
        for (var, gradient) in &entries {
            let (shape, own) = (gradient.shape(), var.shape());
            assert!(shape == own, "gradients: one of shape {shape} for '{}' of shape {own}", var.name());
        }
        for pair in entries.windows(2) {
            assert!(pair[0].0.id() != pair[1].0.id(), "gradients: two for '{}'", pair[0].0.name());
        }
        Self::new(entries)
    }
}

impl<T: Float> Index<&VarOf<T>> for GradientsOf<T> {
    type Output = TensorOf<T>;

    /// The gradient of a variable.
    ///
    /// # Panics
    /// If there is none; the message names the variable.
    #[track_caller]
    fn index(&self, var: &VarOf<T>) -> &TensorOf<T> {
        match self.get(var) {
            Some(gradient) => gradient,
            None => panic!(
                "gradients: no gradient for '{}'\n  rule: the loss must depend on it; list intermediate variables in backward_keeping",
                var.name()
            ),
        }
    }
}
