//! The attributes of a node. Those that an operator does not read are refused by name.

use std::cell::RefCell;

use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

/// The largest kernel, stride, padding or dilation.
const LARGEST: i64 = 1 << 16;

pub(super) struct Attributes<'a> {
    node: &'a NodeProto,
    read: RefCell<Vec<&'a str>>,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(node: &'a NodeProto) -> Self {
        Self { node, read: RefCell::new(Vec::new()) }
    }

    /// The number of outputs of the node.
    pub(super) fn outputs(&self) -> usize {
        self.node.output.len()
    }

    fn find(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, String> {
        let Some(found) = self.node.attribute.iter().find(|attribute| attribute.name() == name) else {
            return Ok(None);
        };
        self.read.borrow_mut().push(found.name());
        if !found.ref_attr_name().is_empty() {
            return Err(format!("attribute '{name}' refers to one of a function\n  rule: functions are not supported"));
        }
        // Files of the first version do not write the type.
        if found.r#type() != kind && found.r#type() != AttributeType::Undefined {
            return Err(format!(
                "attribute '{name}' is of type {}, not {}",
                found.r#type().as_str_name(),
                kind.as_str_name()
            ));
        }
        Ok(Some(found))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.node.attribute.iter().any(|attribute| attribute.name() == name)
    }

    pub(super) fn integer(&self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.find(name, AttributeType::Int)?.map_or(default, AttributeProto::i))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        Ok(self.integer(name, default.into())? != 0)
    }

    pub(super) fn number(&self, name: &str, default: f32) -> Result<f64, String> {
        let value = self.find(name, AttributeType::Float)?.map_or(default, AttributeProto::f);
        if value.is_finite() {
            Ok(value.into())
        } else {
            Err(format!("attribute '{name}' is {value}\n  rule: it is finite"))
        }
    }

    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, String> {
        Ok(self.find(name, AttributeType::Ints)?.map(|found| found.ints.clone()))
    }

    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<f32>>, String> {
        Ok(self.find(name, AttributeType::Floats)?.map(|found| found.floats.clone()))
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Result<&'a str, String> {
        let Some(found) = self.find(name, AttributeType::String)? else {
            return Ok(default);
        };
        std::str::from_utf8(found.s()).map_err(|_| format!("attribute '{name}' is no text"))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>, String> {
        Ok(self.find(name, AttributeType::Tensor)?.and_then(|found| found.t.as_ref()))
    }

    /// Sizes of windows, such as strides: none of them negative or larger than any real one.
    pub(super) fn sizes(&self, name: &str) -> Result<Option<Vec<usize>>, String> {
        let Some(sizes) = self.integers(name)? else {
            return Ok(None);
        };
        if let Some(wrong) = sizes.iter().find(|size| !(0..=LARGEST).contains(*size)) {
            return Err(format!("attribute '{name}' has {wrong}\n  rule: from 0 to {LARGEST}"));
        }
        Ok(Some(sizes.into_iter().map(|size| size as usize).collect()))
    }

    /// An attribute of which only this value is supported.
    pub(super) fn only(&self, name: &str, supported: i64) -> Result<(), String> {
        match self.integer(name, supported)? {
            value if value == supported => Ok(()),
            value => Err(format!("attribute '{name}' is {value}\n  rule: only {supported} is supported")),
        }
    }

    /// An attribute of which only these values are supported.
    pub(super) fn only_text(&self, name: &str, supported: &[&'static str]) -> Result<&'a str, String> {
        let value = self.text(name, supported[0])?;
        if supported.contains(&value) {
            return Ok(value);
        }
        Err(format!("attribute '{name}' is '{}'\n  rule: supported is {}", value.escape_debug(), supported.join(", ")))
    }

    /// # Errors
    /// If there is an attribute that was not read, or one twice.
    pub(super) fn finish(&self) -> Result<(), String> {
        let read = self.read.borrow();
        for (i, attribute) in self.node.attribute.iter().enumerate() {
            let name = attribute.name();
            if !read.contains(&name) {
                return Err(format!("attribute '{}' is not supported", name.escape_debug()));
            }
            if self.node.attribute[..i].iter().any(|earlier| earlier.name() == name) {
                return Err(format!("attribute '{name}' is given twice"));
            }
        }
        Ok(())
    }
}
