// What the driver needs of the fibers.
#pragma once
#include "cuda_cpu.h"
#include <string>

namespace cpu {

using Entry = void (*)(void**);

// Runs a kernel; false if a thread broke a rule, now or before.
bool launch(Entry entry, dim3 grid, dim3 block, void** arguments);

// What broke, empty while nothing did.
const std::string& failed();

} // namespace cpu
