// The numbers of elementwise functions, made from crates/tensor/src/parameters/elementwise by
// CHAINRULE_WRITE_OPCODES=1 cargo test -p chainrule-tensor opcodes
#pragma once

enum class Unary : int {
  Neg,
  Abs,
  Sign,
  Exp,
  Log,
  Sqrt,
  Square,
  Cube,
  Reciprocal,
  Add,
  SubFrom,
  Mul,
  Div,
  DivInto,
  Pow,
  Clamp,
  Relu,
  LeakyRelu,
  Elu,
  Sigmoid,
  Tanh,
  Softplus,
  Swish,
  Mish,
  Gelu,
  GeluTanh,
};

enum class Binary : int {
  Add,
  Sub,
  Mul,
  Div,
  Maximum,
  Minimum,
  ClampBackward,
  ReluBackward,
  LeakyReluBackward,
  EluBackward,
  SigmoidBackward,
  TanhBackward,
  SoftplusBackward,
  SwishBackward,
  MishBackward,
  GeluBackward,
  GeluTanhBackward,
};

enum class Compare : int {
  Equal,
  NotEqual,
  Less,
  LessEqual,
  Greater,
  GreaterEqual,
};
