//! The bytes of a pickle, read one after the other and only as far as they are there.

use std::io::Read;

use crate::archive::read_bytes;
use crate::error::{Problem, damaged};

/// The longest pickle: those of the largest nets have a few MB.
const MAX_BYTES: u64 = 64 << 20;
/// Text and bytes grow from here with what is read.
const RESERVED: u64 = 1 << 16;
/// The longest name of a module, class or function.
const MAX_NAME: usize = 256;

pub(super) struct Input<'a> {
    reader: &'a mut dyn Read,
    left: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(reader: &'a mut dyn Read) -> Self {
        Self { reader, left: MAX_BYTES }
    }

    fn spend(&mut self, n: u64) -> Result<(), Problem> {
        match self.left.checked_sub(n) {
            Some(left) => self.left = left,
            None => return damaged(format!("its pickle has more than {MAX_BYTES} bytes")),
        }
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        self.spend(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| Problem::from(error).within("its pickle"))?;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Problem> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length of 1, 2, 4 or 8 bytes.
    pub(super) fn length<const N: usize>(&mut self) -> Result<u64, Problem> {
        Ok(self.array::<N>()?.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    pub(super) fn bytes(&mut self, n: u64) -> Result<Vec<u8>, Problem> {
        self.spend(n)?;
        read_bytes(self.reader, n, RESERVED).map_err(|problem| problem.within("its pickle"))
    }

    /// A name, up to the end of its line.
    pub(super) fn name(&mut self) -> Result<String, Problem> {
        let mut name = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte if name.len() < MAX_NAME => name.push(byte),
                _ => return damaged(format!("its pickle has a name of more than {MAX_NAME} bytes")),
            }
        }
        Ok(String::from_utf8_lossy(&name).into_owned())
    }
}
