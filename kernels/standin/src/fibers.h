// The interface of the fibers to the driver.
#pragma once
#include "cuda_cpu.h"
#include <string>

namespace cpu {

using Entry = void (*)(void**);

// Runs a kernel with `shared` bytes of dynamic shared memory; returns false after any failure in this or an earlier launch.
bool launch(Entry entry, dim3 grid, dim3 block, unsigned shared, void** arguments);

// The first failure; empty if there was none.
const std::string& failed();

} // namespace cpu
