//! The classes and functions that files of weights name, and what they mean here. None is ever run.

use chainrule_nn::Dtype;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Global {
    /// `OrderedDict`, or `Counter`: a dict.
    Dict,
    /// A function that makes a tensor of a storage.
    Rebuild(Rebuild),
    /// A parameter, which is its tensor, or a `torch.Size`, which is its tuple: the first argument.
    First,
    /// A tensor with Python attributes: a function and its arguments.
    FromType,
    /// The type of a storage; `None` is one of bytes.
    Storage(Option<Dtype>),
    /// A format of numbers.
    Dtype(Dtype),
    /// Makes a value that no tensor depends on.
    Other,
}

/// The versions of the function that makes a tensor of a storage, which differ in their last arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rebuild {
    /// Storage, offset, size, stride.
    V1,
    /// Also whether it needs a gradient, hooks, and perhaps metadata.
    V2,
    /// Also its format, between hooks and metadata: the storage has bytes.
    V3,
}

impl Global {
    /// The meaning of a name; `None` if it is not read.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict" | "Counter") => Self::Dict,
            ("torch._utils", "_rebuild_tensor") => Self::Rebuild(Rebuild::V1),
            ("torch._utils", "_rebuild_tensor_v2") => Self::Rebuild(Rebuild::V2),
            ("torch._utils", "_rebuild_tensor_v3") => Self::Rebuild(Rebuild::V3),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter")
            | ("torch", "Size") => Self::First,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::FromType,
            ("torch" | "torch._tensor", "Tensor")
            | ("torch", "device")
            | ("torch.serialization", "_get_layout")
            | ("_codecs", "encode")
            | ("builtins" | "__builtin__", "set" | "frozenset" | "bytearray" | "complex") => Self::Other,
            ("torch.storage", "UntypedStorage") => Self::Storage(None),
            ("torch" | "torch.cuda", _) => {
                return match name.strip_suffix("Storage") {
                    Some(kind) => storage(kind).map(|dtype| Self::Storage(Some(dtype))),
                    None => dtype(name).map(Self::Dtype),
                };
            }
            _ => return None,
        })
    }
}

fn storage(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "Double" => Dtype::F64,
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::BOOL,
        _ => return None,
    })
}

fn dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float64" | "double" => Dtype::F64,
        "float32" | "float" => Dtype::F32,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float8_e4m3fn" => Dtype::F8_E4M3,
        "float8_e5m2" => Dtype::F8_E5M2,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "uint16" => Dtype::U16,
        "uint32" => Dtype::U32,
        "uint64" => Dtype::U64,
        "bool" => Dtype::BOOL,
        _ => return None,
    })
}
