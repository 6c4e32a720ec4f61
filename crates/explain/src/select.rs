//! Elements by name: `conv1.weight[0,0,1,1]`.

use chainrule_tensor::Float;

use crate::error::ExplainError;
use crate::explanation::Explanation;

impl<T: Float> Explanation<T> {
    /// The position of a variable in [`variables`](Self::variables), by its name.
    ///
    /// # Errors
    /// If there is none; the error lists those with a gradient.
    pub fn find(&self, name: &str) -> Result<usize, ExplainError> {
        let found = self.variables().iter().position(|variable| variable.name == name);
        found.ok_or_else(|| ExplainError::Unknown { name: name.to_owned(), known: self.known() })
    }

    /// The variable and the index that a text such as `conv1.weight[0,0,1,1]` stands for.
    ///
    /// # Errors
    /// If the text is no element, no variable has the name, or the index does not fit the shape.
    pub fn find_element(&self, text: &str) -> Result<(usize, Vec<usize>), ExplainError> {
        let syntax = || ExplainError::Syntax { text: text.to_owned() };
        let (name, index) = match text.split_once('[') {
            Some((name, rest)) => {
                let inside = rest.strip_suffix(']').ok_or_else(syntax)?;
                let numbers = inside.split(',').map(|number| number.trim().parse::<usize>());
                (name, numbers.collect::<Result<Vec<_>, _>>().map_err(|_| syntax())?)
            }
            None => (text, Vec::new()),
        };
        let variable = self.find(name.trim())?;
        let of = &self.variables()[variable];
        if crate::number::ravel(&index, &of.shape).is_none() {
            return Err(ExplainError::Index { name: of.name.clone(), index, shape: of.shape.clone() });
        }
        Ok((variable, index))
    }
}
