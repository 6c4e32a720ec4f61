//! Layers, initialisation, losses, optimizers, schedules and checkpoints for chainrule
