//! The equation of an einsum, checked against the shapes of its operands.

use std::collections::BTreeMap;

use chainrule_tensor::{Shape, ShapeError};

/// `ij,jk->ik` as indices: a letter for each axis of each operand and of the result.
#[derive(Debug)]
pub(super) struct Equation {
    pub operands: Vec<Vec<char>>,
    pub output: Vec<char>,
    /// The length of each index.
    pub lengths: BTreeMap<char, usize>,
}

impl Equation {
    /// Parses an equation for operands of these shapes. Without `->` the result has the indices that occur once, in
    /// alphabetical order, capitals first.
    ///
    /// # Errors
    /// If the equation has another character than letters, `,` and `->`, an index twice in the result or one that no operand
    /// has; or if the number of operands, the number of axes of one, or the length of an index does not match.
    pub fn parse(text: &str, shapes: &[Shape]) -> Result<Self, ShapeError> {
        let fail = |what: String, rule: &str| {
            let mut lines = vec![format!("einsum: {what}"), format!("equation '{text}'")];
            lines.extend(shapes.iter().enumerate().map(|(i, shape)| format!("operand {i} = {shape}")));
            lines.push(format!("rule: {rule}"));
            Err(ShapeError::new(lines.join("\n  ")))
        };
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = plain.split_once("->").map_or((&plain[..], None), |(left, right)| (left, Some(right)));
        if plain.contains('.') {
            return fail("an ellipsis is not supported".into(), "name every axis by a letter");
        }
        let letters = left.chars().filter(|&c| c != ',').chain(right.into_iter().flat_map(str::chars));
        if let Some(other) = letters.into_iter().find(|c| !c.is_ascii_alphabetic()) {
            return fail(format!("'{other}' is no index"), "letters for axes, ',' between operands, one '->'");
        }
        let operands: Vec<Vec<char>> = left.split(',').map(|part| part.chars().collect()).collect();
        if operands.len() != shapes.len() {
            return fail(
                format!("the equation has {} operands, {} are given", operands.len(), shapes.len()),
                "one group of letters for each operand",
            );
        }
        let mut lengths = BTreeMap::new();
        for (i, (letters, shape)) in operands.iter().zip(shapes).enumerate() {
            if letters.len() != shape.rank() {
                let rule = "one letter for each axis";
                return fail(format!("{} letters for the {} axes of operand {i}", letters.len(), shape.rank()), rule);
            }
            for (&letter, &len) in letters.iter().zip(shape.iter()) {
                // An axis of length 1 is broadcast, as in PyTorch.
                let known = lengths.entry(letter).or_insert(len);
                match (*known, len) {
                    (a, b) if a == b || b == 1 => {}
                    (1, _) => *known = len,
                    (a, b) => {
                        let rule = "an index has one length everywhere, or 1";
                        return fail(format!("index {letter} has lengths {a} and {b}"), rule);
                    }
                }
            }
        }
        let count = |letter: char| operands.iter().flatten().filter(|&&l| l == letter).count();
        let output: Vec<char> = match right {
            Some(right) => right.chars().collect(),
            None => lengths.keys().copied().filter(|&letter| count(letter) == 1).collect(),
        };
        for (i, letter) in output.iter().enumerate() {
            if output[..i].contains(letter) {
                return fail(format!("index {letter} is twice in the result"), "an index is once in the result");
            }
            if !lengths.contains_key(letter) {
                return fail(
                    format!("no operand has index {letter} of the result"),
                    "indices of the result are in an operand",
                );
            }
        }
        Ok(Self { operands, output, lengths })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str, shapes: &[&[usize]]) -> Result<String, String> {
        let shapes: Vec<Shape> = shapes.iter().map(|&s| Shape::from(s)).collect();
        Equation::parse(text, &shapes).map(|e| e.output.iter().collect()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_result_without_an_arrow_has_the_indices_that_occur_once() {
        assert_eq!(output("ij, jk", &[&[2, 3], &[3, 4]]).as_deref(), Ok("ik"));
        assert_eq!(output("ba", &[&[2, 3]]).as_deref(), Ok("ab"));
        assert_eq!(output("aB", &[&[2, 3]]).as_deref(), Ok("Ba"));
        assert_eq!(output("ii", &[&[2, 2]]).as_deref(), Ok(""));
        assert_eq!(output(",i->i", &[&[], &[2]]).as_deref(), Ok("i"));
    }

    #[test]
    fn mistakes_are_told_with_equation_operands_and_rule() {
        for (text, shapes, says) in [
            (
                "i...->i",
                &[&[2, 3][..]][..],
                "an ellipsis is not supported\n  equation 'i...->i'\n  operand 0 = (2, 3)\n  rule: name every axis by a letter",
            ),
            (
                "i1",
                &[&[2, 3]],
                "'1' is no index\n  equation 'i1'\n  operand 0 = (2, 3)\n  rule: letters for axes, ',' between operands, one '->'",
            ),
            (
                "ij->i->j",
                &[&[2, 3]],
                "'-' is no index\n  equation 'ij->i->j'\n  operand 0 = (2, 3)\n  rule: letters for axes, ',' between operands, one '->'",
            ),
            (
                "ij,jk",
                &[&[2, 3]],
                "the equation has 2 operands, 1 are given\n  equation 'ij,jk'\n  operand 0 = (2, 3)\n  rule: one group of letters for each operand",
            ),
            (
                "ijk",
                &[&[2, 3]],
                "3 letters for the 2 axes of operand 0\n  equation 'ijk'\n  operand 0 = (2, 3)\n  rule: one letter for each axis",
            ),
            (
                "ij,jk",
                &[&[2, 3], &[4, 2]],
                "index j has lengths 3 and 4\n  equation 'ij,jk'\n  operand 0 = (2, 3)\n  operand 1 = (4, 2)\n  rule: an index has one length everywhere, or 1",
            ),
            (
                "ij->ii",
                &[&[2, 3]],
                "index i is twice in the result\n  equation 'ij->ii'\n  operand 0 = (2, 3)\n  rule: an index is once in the result",
            ),
            (
                "ij->k",
                &[&[2, 3]],
                "no operand has index k of the result\n  equation 'ij->k'\n  operand 0 = (2, 3)\n  rule: indices of the result are in an operand",
            ),
        ] {
            assert_eq!(output(text, shapes), Err(format!("einsum: {says}")));
        }
    }
}
