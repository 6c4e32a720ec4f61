//! chainrule's CUDA kernels, compiled to PTX.
//!
//! The sources are `cuda/*.cu`, one file per family; `scripts/build_ptx.sh` compiles them to `ptx/*.ptx` with a pinned
//! compiler. The driver compiles PTX for the GPU at load time and caches the result.

macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $capability:expr;)+) => {
        /// A family of kernels: one source file, loaded as one module when its first kernel is used.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Family {
            $($(#[$doc])* $variant,)+
        }

        impl Family {
            /// All families.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name of its source file, without the extension.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Its PTX, null-terminated as the driver requires.
            pub fn ptx(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!(include_str!(concat!("../ptx/", $name, ".ptx")), "\0"),)+
                }
            }

            /// The minimum compute capability.
            pub fn capability(self) -> (i32, i32) {
                match self {
                    $(Self::$variant => $capability,)+
                }
            }
        }
    };
}

families! {
    /// Elementwise functions, copies and conversions.
    Elementwise = "elementwise", (7, 0);
    /// Sums, maxima and minima, top-k and indexing along axes.
    Reduce = "reduce", (7, 0);
    /// Matrix products and convolutions without tensor cores.
    Product = "product", (7, 0);
    /// The sum of the partial results of a product.
    SplitK = "split_k", (7, 0);
    /// Matrix products and convolutions on tensor cores, in bf16.
    TensorCoreBf16 = "tensor_core_bf16", (8, 0);
    /// Matrix products and convolutions on tensor cores, in TF32.
    TensorCoreTf32 = "tensor_core_tf32", (8, 0);
    /// Matrix products and convolutions on tensor cores, in 3×TF32.
    TensorCoreTf32x3 = "tensor_core_tf32x3", (8, 0);
    /// Pooling, resampling and im2col.
    Image = "image", (7, 0);
    /// Batch normalization.
    BatchNorm = "batch_norm", (7, 0);
    /// Softmax and cross-entropy.
    Softmax = "softmax", (7, 0);
    /// Counter-based random numbers.
    Random = "random", (7, 0);
    /// Image batches from bytes.
    Augment = "augment", (7, 0);
    /// Optimizer steps, gradient clipping, and step parameters.
    Optimizer = "optimizer", (7, 0);
}
