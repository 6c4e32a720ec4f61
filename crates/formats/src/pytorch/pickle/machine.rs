//! The stack machine that pickles are programs of. Its operations are described in `pickletools.py` of Python.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::Pickle;
use super::call::{self, call};
use super::globals::Global;
use super::input::Input;
use super::refused::{unread, unread_operation, whole_module};
use super::value::{Node, Nodes, Storage, Value};
use crate::error::{Problem, damaged};

/// A tensor needs about 40 operations, so this is enough for 100 000. An operation makes at most one value, which needs less
/// than 100 bytes.
const MAX_OPERATIONS: usize = 1 << 22;
/// The values that wait for the operation that uses them; Python writes lists and dicts 1000 items at a time.
const MAX_STACK: usize = 1 << 16;
/// Names of tensors are shorter; longer text is skipped.
const MAX_TEXT: u64 = 1 << 12;
/// The newest protocol of pickles.
const PROTOCOL: u8 = 5;

pub(super) struct Machine<'a> {
    input: Input<'a>,
    nodes: Nodes,
    stack: Vec<Value>,
    /// The lengths of the stack at each mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    storages: BTreeMap<Rc<str>, Storage>,
    operations: usize,
    /// The first class or function that is not read.
    unknown: Option<Value>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        Self {
            input,
            nodes: Nodes::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            storages: BTreeMap::new(),
            operations: 0,
            unknown: None,
        }
    }

    pub(super) fn run(mut self) -> Result<Pickle, Problem> {
        loop {
            self.spend(1)?;
            let operation = self.input.byte()?;
            if operation == b'.' {
                break;
            }
            self.step(operation)?;
        }
        let root = self.pop()?;
        match self.unknown.and_then(|unknown| self.nodes.unknown(unknown)) {
            Some(name) => Err(unread("names", name)),
            None => Ok(Pickle { nodes: self.nodes, root, storages: self.storages }),
        }
    }

    fn spend(&mut self, operations: usize) -> Result<(), Problem> {
        self.operations += operations;
        if self.operations > MAX_OPERATIONS {
            return damaged(format!("its pickle has more than {MAX_OPERATIONS} operations"));
        }
        Ok(())
    }

    fn step(&mut self, operation: u8) -> Result<(), Problem> {
        match operation {
            0x80 => match self.input.byte()? {
                0..=PROTOCOL => Ok(()),
                newer => Err(Problem::refused(
                    format!("protocol {newer} of pickles; those up to {PROTOCOL} are read"),
                    "in Python: torch.save(…, pickle_protocol=2)",
                )),
            },
            // FRAME only helps to read ahead.
            0x95 => self.input.length::<8>().map(drop),

            b'(' => self.mark(),
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                    return Ok(());
                }
                self.pop().map(drop)
            }
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }

            b'N' => self.push(Value::None),
            // Booleans and sets.
            0x88 | 0x89 | 0x8f => self.push(Value::Other),
            b'K' => self.integer::<1>(),
            b'M' => self.integer::<2>(),
            b'J' => {
                let number = i32::from_le_bytes(self.input.array()?);
                self.push(Value::Int(number.into()))
            }
            0x8a => {
                let length = self.input.length::<1>()?;
                self.long(length)
            }
            0x8b => {
                let length = self.input.length::<4>()?;
                self.long(length)
            }
            // Python 2 wrote integers of more than 32 bits as text.
            b'I' => {
                let number = self.input.name()?;
                match number.parse() {
                    Ok(number) => self.push(Value::Int(number)),
                    Err(_) => damaged(format!("its pickle has '{}' in place of an integer", number.escape_debug())),
                }
            }
            b'G' => {
                self.input.array::<8>()?;
                self.push(Value::Other)
            }

            // U and T are the text of Python 2.
            0x8c | b'U' => self.text::<1>(),
            b'X' | b'T' => self.text::<4>(),
            0x8d => self.text::<8>(),
            b'C' => self.skip::<1>(),
            b'B' => self.skip::<4>(),
            0x8e | 0x96 => self.skip::<8>(),

            b')' => self.node(Node::Tuple([].into())),
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(operation - 0x84));
                let Some(first) = first.filter(|first| *first >= self.floor()) else { return underflow() };
                let items = self.stack.split_off(first);
                self.node(Node::Tuple(items.into()))
            }
            b't' => {
                let items = self.pop_mark()?;
                self.node(Node::Tuple(items.into()))
            }
            b']' => self.node(Node::List(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                self.node(Node::List(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(&[item])
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.extend_list(&items)
            }
            b'}' => self.node(Node::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_mark()?;
                self.node(Node::Dict(Vec::new()))?;
                self.extend_dict(&items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend_dict(&[key, value])
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend_dict(&items)
            }
            // Items of sets.
            0x90 => {
                self.pop_mark()?;
                self.top().map(drop)
            }
            0x91 => {
                self.pop_mark()?;
                self.push(Value::Other)
            }

            b'q' => {
                let index = self.input.length::<1>()?;
                self.remember(index as u32)
            }
            b'r' => {
                let index = self.input.length::<4>()?;
                self.remember(index as u32)
            }
            0x94 => self.remember(self.memo.len() as u32),
            b'h' => {
                let index = self.input.length::<1>()?;
                self.recall(index as u32)
            }
            b'j' => {
                let index = self.input.length::<4>()?;
                self.recall(index as u32)
            }

            b'c' => {
                let module = self.input.name()?;
                let name = self.input.name()?;
                self.global(&module, &name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.nodes.text(module).cloned(), self.nodes.text(name).cloned()) {
                    (Some(module), Some(name)) => self.global(&module, &name),
                    _ => damaged("its pickle names a class or function without text"),
                }
            }
            b'R' => self.reduce(),
            0x81 => self.create(),
            b'b' => self.build(),
            b'Q' => {
                let id = self.pop()?;
                self.storage(id)
            }
            other => Err(unread_operation(other)),
        }
    }

    /// The length of the stack below which the operations of the innermost mark must not reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn push(&mut self, value: Value) -> Result<(), Problem> {
        if self.stack.len() >= MAX_STACK {
            return damaged(format!("its pickle stacks more than {MAX_STACK} values"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn node(&mut self, node: Node) -> Result<(), Problem> {
        let value = self.nodes.add(node);
        self.push(value)
    }

    fn top(&self) -> Result<Value, Problem> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => underflow(),
        }
    }

    fn pop(&mut self) -> Result<Value, Problem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn mark(&mut self) -> Result<(), Problem> {
        if self.marks.len() >= MAX_STACK {
            return damaged(format!("its pickle nests more than {MAX_STACK} values"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// The values since the innermost mark.
    fn pop_mark(&mut self) -> Result<Vec<Value>, Problem> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => underflow(),
        }
    }

    fn integer<const N: usize>(&mut self) -> Result<(), Problem> {
        let number = self.input.length::<N>()?;
        self.push(Value::Int(number as i64))
    }

    /// An integer of any length; those of more than 64 bits are no sizes.
    fn long(&mut self, length: u64) -> Result<(), Problem> {
        let bytes = self.input.bytes(length)?;
        let negative = bytes.last().is_some_and(|high| high >> 7 == 1);
        let number = bytes.iter().rev().fold(if negative { -1 } else { 0 }, |n, &byte| n << 8 | i64::from(byte));
        self.push(if bytes.len() <= 8 { Value::Int(number) } else { Value::Other })
    }

    fn text<const N: usize>(&mut self) -> Result<(), Problem> {
        let length = self.input.length::<N>()?;
        let bytes = self.input.bytes(length)?;
        match String::from_utf8(bytes) {
            Ok(text) if length <= MAX_TEXT => self.node(Node::Text(text.into())),
            _ => self.push(Value::Other),
        }
    }

    fn skip<const N: usize>(&mut self) -> Result<(), Problem> {
        let length = self.input.length::<N>()?;
        self.input.bytes(length)?;
        self.push(Value::Other)
    }

    fn extend_list(&mut self, items: &[Value]) -> Result<(), Problem> {
        let target = self.top()?;
        match self.nodes.get_mut(target) {
            Some(Node::List(list)) => list.extend_from_slice(items),
            _ => return damaged(format!("its pickle appends to {}", self.nodes.kind(target))),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Value]) -> Result<(), Problem> {
        let target = self.top()?;
        let (pairs, rest) = items.as_chunks();
        match self.nodes.get_mut(target) {
            _ if !rest.is_empty() => return damaged("its pickle has a key without a value"),
            Some(Node::Dict(entries)) => entries.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return damaged(format!("its pickle sets an entry of {}", self.nodes.kind(target))),
        }
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<(), Problem> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), Problem> {
        match self.memo.get(&index) {
            Some(&value) => self.push(value),
            None => damaged(format!("its pickle uses value {index} before it is made")),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), Problem> {
        if let Some(global) = Global::find(module, name) {
            return self.push(Value::Global(global));
        }
        let name = format!("{module}.{name}").escape_debug().to_string();
        let value = self.nodes.add(Node::Unknown(name.into()));
        self.unknown.get_or_insert(value);
        self.push(value)
    }

    fn reduce(&mut self) -> Result<(), Problem> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = function else { return Err(self.no_function("calls", function)) };
        self.spend(call::cost(&self.nodes, function, arguments))?;
        let result = call(&mut self.nodes, function, arguments)?;
        self.push(result)
    }

    /// NEWOBJ: the same as a call, except in what it says of classes that are not read.
    fn create(&mut self) -> Result<(), Problem> {
        let &[.., class, _] = &self.stack[self.floor()..] else { return underflow() };
        if let Some(name) = self.nodes.unknown(class)
            && (self.stack.len() == 2 || name.starts_with("torch.nn.modules."))
        {
            return Err(whole_module(name));
        }
        match class {
            Value::Global(_) => self.reduce(),
            _ => Err(self.no_function("creates an object of the class", class)),
        }
    }

    fn no_function(&self, verb: &str, value: Value) -> Problem {
        match self.nodes.unknown(value) {
            Some(name) => unread(verb, name),
            None => Problem::Damaged(format!("its pickle {verb} {}", self.nodes.kind(value))),
        }
    }

    /// BUILD: attributes of an object. Those of a dict (the versions of its modules) and of a tensor are left out.
    fn build(&mut self) -> Result<(), Problem> {
        self.pop()?;
        let target = self.top()?;
        match (target, self.nodes.get(target)) {
            (Value::Other, _) | (_, Some(Node::Dict(_) | Node::Tensor(_))) => Ok(()),
            _ => Err(self.no_function("sets attributes of", target)),
        }
    }

    fn storage(&mut self, id: Value) -> Result<(), Problem> {
        let storage = call::storage(&self.nodes, id)?;
        let known = self.storages.entry(Rc::clone(&storage.key)).or_insert_with(|| storage.clone());
        if (known.numel, known.element()) != (storage.numel, storage.element()) {
            return damaged(format!("storage '{}' has two sizes", storage.key.escape_debug()));
        }
        self.node(Node::Storage(Box::new(storage)))
    }
}

fn underflow<T>() -> Result<T, Problem> {
    damaged("its pickle takes a value that it has not made")
}
