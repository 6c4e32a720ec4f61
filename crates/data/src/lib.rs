//! MNIST, CIFAR-10, image folders, transforms and a prefetching loader for chainrule
