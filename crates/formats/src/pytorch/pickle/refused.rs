//! What is refused: text that names it and says what to do.

use crate::error::Problem;

/// The refusal of a pickle that is an object of a class of layers.
pub(super) fn whole_module(class: &str) -> Problem {
    Problem::refused(
        format!("a whole pickled module ({class}) and no state_dict: to build it, code would have to run"),
        "if you trust the file and have its source code, in Python: \
         torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW)",
    )
}

/// The refusal of a class or function.
pub(super) fn unread(verb: &str, name: &str) -> Problem {
    Problem::refused(
        format!(
            "its pickle {verb} {name}, which is refused: only tensors, dicts, lists, tuples, text and numbers are read, and \
             no code is run"
        ),
        "if you trust the file, save its weights alone, in Python: \
         torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)",
    )
}

/// The refusal of an operation.
pub(super) fn unread_operation(operation: u8) -> Problem {
    let name = match operation {
        b'F' => "FLOAT",
        b'g' => "GET",
        b'L' => "LONG",
        b'P' => "PERSID",
        b'p' => "PUT",
        b'S' => "STRING",
        b'V' => "UNICODE",
        b'i' => "INST",
        b'o' => "OBJ",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x92 => "NEWOBJ_EX",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        other => return Problem::Damaged(format!("its pickle has the byte {other:#04x}, which is no operation")),
    };
    Problem::refused(
        format!("its pickle has the operation {name}, which torch.save does not write"),
        "in Python: torch.save(state_dict, FILE)",
    )
}
