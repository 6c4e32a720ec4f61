//! Tensors for chainrule: strided views, kernels written by hand, the same bits on any number of threads
