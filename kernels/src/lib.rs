//! chainrule's CUDA kernels, compiled to PTX.
//!
//! The sources are `cuda/*.cu`, one file for each family; `scripts/build_ptx.sh` makes `ptx/*.ptx` from them with a
//! pinned compiler. The driver translates PTX for the GPU that it finds and keeps the result.

macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $capability:expr;)+) => {
        /// A family of kernels: one source file, loaded as one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Family {
            $($(#[$doc])* $variant,)+
        }

        impl Family {
            /// All families.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name of its file.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Its PTX, ended by a zero as the driver wants it.
            pub fn ptx(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!(include_str!(concat!("../ptx/", $name, ".ptx")), "\0"),)+
                }
            }

            /// The lowest compute capability of a GPU that takes it.
            pub fn capability(self) -> (i32, i32) {
                match self {
                    $(Self::$variant => $capability,)+
                }
            }
        }
    };
}

families! {
    /// Functions of one, two or three numbers, copies and conversions.
    Elementwise = "elementwise", (7, 0);
    /// Sums, extremes, sorting and indexing along axes.
    Reduce = "reduce", (7, 0);
    /// Products and convolutions in full precision.
    Product = "product", (7, 0);
    /// Products and convolutions on tensor cores.
    TensorCore = "tensor_core", (8, 0);
    /// Pooling, resampling and columns of images.
    Image = "image", (7, 0);
    /// Batch normalization.
    BatchNorm = "batch_norm", (7, 0);
    /// Softmax and cross-entropy.
    Softmax = "softmax", (7, 0);
    /// Random numbers by address.
    Random = "random", (7, 0);
    /// Batches of images from bytes.
    Augment = "augment", (7, 0);
    /// Steps of optimizers, what clips gradients, and step parameters.
    Optimizer = "optimizer", (7, 0);
}
