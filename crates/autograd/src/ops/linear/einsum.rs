//! Sums of products of named indices.

use chainrule_tensor::{Float, OrPanic, Shape};

use super::equation::Equation;
use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// A sum of products of named indices (`torch.einsum`, `np.einsum`): `bij,bjk->bik` is a product of matrices for each b. An
    /// index that the result does not have is summed over; an index twice in one operand reads a diagonal. Without `->` the
    /// result has the indices that occur once, in alphabetical order.
    ///
    /// The operands are contracted from left to right, two at a time, each pair by one (batched) product of matrices
    /// or, if nothing is summed over, by an elementwise product. There is no ellipsis.
    ///
    /// ```
    /// use chainrule_autograd::Var64;
    /// let (a, b) = (Var64::parameter("a", [[1.0, 2.0], [3.0, 4.0]]), Var64::parameter("b", [10.0, 100.0]));
    /// assert_eq!(Var64::einsum("ij,j->i", &[&a, &b]).value().to_vec(), [210.0, 430.0]);
    /// assert_eq!(Var64::einsum("ii", &[&a]).item(), 5.0);
    /// ```
    ///
    /// # Panics
    /// If the equation is not valid or does not match the operands.
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[&Self]) -> Self {
        let shapes: Vec<Shape> = operands.iter().map(|x| x.shape()).collect();
        let parsed = Equation::parse(equation, &shapes).or_panic();
        let _scope = open_with("einsum", || vec![Attribute::new("equation", equation)]);
        let terms = operands.iter().zip(&parsed.operands).map(|(x, letters)| {
            // Axes of length 1 are broadcast.
            let whole: Vec<usize> = letters.iter().map(|letter| parsed.lengths[letter]).collect();
            let x = if x.shape() == *whole { (*x).clone() } else { x.broadcast_to(whole) };
            Term { x, letters: letters.clone() }.without_repetition()
        });
        let mut terms: Vec<Term<T>> = terms.collect();
        terms.reverse();
        let mut product = terms.pop().expect("an equation has an operand");
        while let Some(next) = terms.pop() {
            let later = |letter: char| {
                parsed.output.contains(&letter) || terms.iter().any(|term| term.letters.contains(&letter))
            };
            product = product.contract(next, &later);
        }
        product.summed(&|letter| parsed.output.contains(&letter)).in_order(&parsed.output)
    }
}

/// A variable and the index of each of its axes.
struct Term<T: Float> {
    x: VarOf<T>,
    letters: Vec<char>,
}

impl<T: Float> Term<T> {
    /// The diagonal of axes with the same index.
    fn without_repetition(mut self) -> Self {
        while let Some((i, j)) = self.repeated() {
            self.x = self.x.diagonal(0, i as isize, j as isize);
            let letter = self.letters.remove(j);
            self.letters.remove(i);
            self.letters.push(letter);
        }
        self
    }

    fn repeated(&self) -> Option<(usize, usize)> {
        let first = |letter: &char| self.letters.iter().position(|l| l == letter);
        self.letters.iter().enumerate().find_map(|(j, letter)| first(letter).filter(|&i| i < j).map(|i| (i, j)))
    }

    /// The sum over the indices that are not kept.
    fn summed(mut self, kept: &dyn Fn(char) -> bool) -> Self {
        let gone: Vec<isize> =
            (0..self.letters.len()).filter(|&i| !kept(self.letters[i])).map(|i| i as isize).collect();
        if !gone.is_empty() {
            self.x = self.x.sum_axes(&gone, false);
            self.letters.retain(|&letter| kept(letter));
        }
        self
    }

    /// The axes in the order of these indices.
    fn in_order(&self, letters: &[char]) -> VarOf<T> {
        if self.letters == letters {
            return self.x.clone();
        }
        let place = |letter| self.letters.iter().position(|l| l == letter).expect("the same indices");
        self.x.permute(&letters.iter().map(place).collect::<Vec<_>>())
    }

    /// The axes in the order of these groups of indices, each as one axis.
    fn grouped<const N: usize>(&self, groups: [&[char]; N]) -> VarOf<T> {
        let x = self.in_order(&groups.concat());
        let mut lengths = x.shape().to_vec().into_iter();
        x.reshape(groups.map(|group| lengths.by_ref().take(group.len()).product()))
    }

    /// The product of two terms, summed over the indices of both that nothing needs later.
    fn contract(self, other: Self, later: &dyn Fn(char) -> bool) -> Self {
        let (theirs, ours) = (other.letters.clone(), self.letters.clone());
        let a = self.summed(&|letter| later(letter) || theirs.contains(&letter));
        let b = other.summed(&|letter| later(letter) || ours.contains(&letter));
        let of = |term: &Self, choose: &dyn Fn(char) -> bool| -> Vec<char> {
            term.letters.iter().copied().filter(|&letter| choose(letter)).collect()
        };
        let in_b = |letter: char| b.letters.contains(&letter);
        let batch = of(&a, &|letter| in_b(letter) && later(letter));
        let summed = of(&a, &|letter| in_b(letter) && !later(letter));
        let left = of(&a, &|letter| !in_b(letter));
        let right = of(&b, &|letter| !a.letters.contains(&letter));
        let y = if summed.is_empty() {
            // (B,L,1) · (B,1,R)
            a.grouped([&batch, &left, &[]]) * b.grouped([&batch, &[], &right])
        } else if batch.is_empty() {
            // (L,R) = (L,S) · (S,R)
            a.grouped([&left, &summed]).matmul(&b.grouped([&summed, &right]))
        } else {
            // (B,L,R) = (B,L,S) · (B,S,R)
            a.grouped([&batch, &left, &summed]).matmul(&b.grouped([&batch, &summed, &right]))
        };
        let length = |letter: &char| {
            let of = |term: &Self| term.letters.iter().position(|l| l == letter).map(|axis| term.x.shape()[axis]);
            of(&a).or_else(|| of(&b)).expect("one of them has the index")
        };
        let letters = [batch, left, right].concat();
        Self { x: y.reshape(letters.iter().map(length).collect::<Vec<_>>()), letters }
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn products_diagonals_and_sums() {
        let a = Var64::parameter("a", [[1.0, 2.0], [3.0, 4.0]]);
        let b = Var64::parameter("b", [[5.0, 6.0], [7.0, 8.0]]);
        let values = |equation: &str, x: &[&Var64]| Var64::einsum(equation, x).value().to_vec();
        assert_eq!(values("ij,jk", &[&a, &b]), a.matmul(&b).value().to_vec());
        assert_eq!(values("ij->ji", &[&a]), [1.0, 3.0, 2.0, 4.0]);
        assert_eq!(values("ii->i", &[&a]), [1.0, 4.0]);
        assert_eq!(values("ij->", &[&a]), [10.0]);
        assert_eq!(values("ij,ij->ij", &[&a, &b]), [5.0, 12.0, 21.0, 32.0]);
        assert_eq!(values("ij,kl->", &[&a, &b]), [260.0]);
        // A row is broadcast.
        assert_eq!(values("ij,ij->i", &[&a, &b.narrow(0, 0..1)]), [17.0, 39.0]);
        let y = Var64::einsum("ij,jk,ki->", &[&a, &b, &a]);
        let dx = y.backward();
        // tr(a·b·a): da = (b·a + a·b)ᵀ, db = (a·a)ᵀ
        let transposed = |m: Var64| m.transpose(0, 1).value().to_vec();
        assert_eq!(dx[&a].to_vec(), transposed(b.matmul(&a) + a.matmul(&b)));
        assert_eq!(dx[&b].to_vec(), transposed(a.matmul(&a)));
    }
}
