// Runs the threads of a block as fibers, in a configurable order, and detects deadlocks.
#include "fibers.h"
#include "cuda_cpu.h"
#include <algorithm>
#include <link.h>
#include <memory>
#include <random>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

namespace cpu {

Thread* current;
Warp* warps;
Copy (*copies)[MAX_COPIES];
dim3 block_index, block_size, grid_size;
unsigned char* dynamic_shared;

static std::string failure;
static constexpr size_t STACK = 128 << 10;

struct Scheduler {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::unique_ptr<Copy[][MAX_COPIES]> copies;
  std::vector<void*> stacks; // free stacks
  std::vector<unsigned> order;
  void* main_stack_pointer = nullptr;
  Entry entry = nullptr;
  void** arguments = nullptr;
  unsigned size = 0, arrived = 0, done = 0;
  unsigned next = 0, last = 0; // threads that a fiber may run after its own has ended
#if !defined(__x86_64__)
  std::vector<ucontext_t> contexts;
  ucontext_t main_context;
#endif

  void* stack() {
    if (!stacks.empty()) {
      void* stack = stacks.back();
      stacks.pop_back();
      return stack;
    }
    void* stack =
        mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) abort();
    return stack;
  }
};
static Scheduler scheduler;

static void body();

#if defined(__x86_64__)
extern "C" void standin_switch(void** save, void* to);
asm(R"(.text
.globl standin_switch
.hidden standin_switch
.type standin_switch,@function
standin_switch:
 push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
 mov %rsp,(%rdi); mov %rsi,%rsp
 pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp; ret
)");
static void start(Thread* t) {
  // Place the return address that the switch pops as a call would: at the first instruction the stack pointer is a
  // multiple of 16 plus 8.
  void** top = (void**)((char*)t->stack + STACK) - 2;
  top[0] = (void*)body;
  top[1] = nullptr;
  t->stack_pointer = top - 6;
  current = t;
  standin_switch(&scheduler.main_stack_pointer, t->stack_pointer);
}
static void resume(Thread* t) {
  current = t;
  standin_switch(&scheduler.main_stack_pointer, t->stack_pointer);
}
static void yield() {
  Thread* t = current;
  standin_switch(&t->stack_pointer, scheduler.main_stack_pointer);
}
#else
static ucontext_t& context(Thread* t) { return scheduler.contexts[t - scheduler.threads.data()]; }
static void start(Thread* t) {
  ucontext_t& own = context(t);
  getcontext(&own);
  own.uc_stack.ss_sp = t->stack;
  own.uc_stack.ss_size = STACK;
  own.uc_link = nullptr;
  makecontext(&own, body, 0);
  current = t;
  swapcontext(&scheduler.main_context, &own);
}
static void resume(Thread* t) {
  current = t;
  swapcontext(&scheduler.main_context, &context(t));
}
static void yield() { swapcontext(&context(current), &scheduler.main_context); }
#endif

const std::string& failed() { return failure; }
static void fail(const std::string& what) {
  if (!failure.empty()) return;
  failure = what;
  fprintf(stderr, "stand-in: %s\n", what.c_str());
}
void die(const char* what) {
  char text[256];
  const dim3 b = block_index, t = current->index;
  snprintf(text, sizeof text, "%s (block %u,%u,%u thread %u,%u,%u)", what, b.x, b.y, b.z, t.x, t.y, t.z);
  fail(text);
  current->state = AT_BARRIER;
  for (;;) yield();
}

static void release_block() {
  Scheduler& s = scheduler;
  if (!s.arrived || s.arrived + s.done != s.size) return;
  s.arrived = 0;
  for (Thread& t : s.threads)
    if (t.state == AT_BARRIER) t.state = READY;
}
void block_sync() {
  current->state = AT_BARRIER;
  scheduler.arrived++;
  release_block();
  if (current->state != READY) yield();
}
void warp_sync(unsigned mask) {
  Thread* me = current;
  me->waits_for = mask;
  me->state = AT_WARP;
  Warp& warp = scheduler.warps[me->warp];
  warp.arrived |= 1u << me->lane;
  Thread* lanes = &scheduler.threads[me->warp * 32];
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(warp.arrived >> lane & 1)) continue;
    const unsigned waited = lanes[lane].waits_for & warp.exist;
    if ((warp.arrived & waited) != waited) continue;
    for (unsigned i = 0; i < 32; i++)
      if (waited >> i & 1) lanes[i].state = READY;
    warp.arrived &= ~waited;
  }
  if (me->state != READY) yield();
}

// A fiber runs threads one after another until one of them waits; that thread keeps the fiber.
static void body() {
  Scheduler& s = scheduler;
  void* stack = current->stack;
  for (;;) {
    s.entry(s.arguments);
    Thread* t = current;
    if (t->copies) fail("a thread ended with pending asynchronous copies");
    t->state = DONE;
    s.done++;
    s.warps[t->warp].done |= 1u << t->lane;
    release_block();
    if (s.next >= s.last || !failure.empty()) break;
    current = &s.threads[s.order[s.next++]];
    current->stack = stack;
  }
  s.stacks.push_back(stack); // not reused before the switch below
  yield();
  abort();
}

// Fills all shared memory with NaN, to detect reads of uninitialized elements. The library's thread-local variables are
// exactly that memory.
static void poison_shared_memory() {
  // A thread's thread-local block is allocated on first access.
  static thread_local volatile char touched;
  touched = 1;
  auto visit = [](dl_phdr_info* info, size_t, void*) {
    const uintptr_t here = (uintptr_t)&failure;
    size_t bytes = 0;
    bool ours = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
      const ElfW(Phdr)& part = info->dlpi_phdr[i];
      const uintptr_t start = info->dlpi_addr + part.p_vaddr;
      if (part.p_type == PT_TLS) bytes = part.p_memsz;
      if (part.p_type == PT_LOAD && here >= start && here < start + part.p_memsz) ours = true;
    }
    if (ours && info->dlpi_tls_data) memset(info->dlpi_tls_data, 0xff, bytes);
    return ours ? 1 : 0;
  };
  dl_iterate_phdr(visit, nullptr);
}

// Places `bytes` of dynamic shared memory before an inaccessible page, and fills them with NaN.
static void reserve_dynamic_shared(unsigned bytes) {
  constexpr size_t MOST = 256 << 10, GUARD = 64 << 10;
  static unsigned char* const room = [] {
    void* room = mmap(nullptr, MOST + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED || mprotect((char*)room + MOST, GUARD, PROT_NONE)) abort();
    return (unsigned char*)room;
  }();
  const size_t size = (bytes + 15) / 16 * 16;
  dynamic_shared = room + MOST - size;
  memset(dynamic_shared, 0xff, size);
}

static void run_block(dim3 index) {
  Scheduler& s = scheduler;
  block_index = index;
  s.arrived = s.done = 0;
  const unsigned count = (s.size + 31) / 32;
  for (unsigned w = 0; w < count; w++) {
    const unsigned lanes = std::min(32u, s.size - w * 32);
    s.warps[w].exist = lanes == 32 ? ~0u : (1u << lanes) - 1;
    s.warps[w].done = s.warps[w].arrived = 0;
  }
  for (unsigned i = 0; i < s.size; i++) {
    Thread& t = s.threads[i];
    t = Thread{};
    t.index = dim3(i % block_size.x, i / block_size.x % block_size.y, i / (block_size.x * block_size.y));
    t.lane = i & 31;
    t.warp = i >> 5;
  }
  while (s.done < s.size && failure.empty()) {
    bool moved = false;
    // Run each warp until it blocks, while its data are in the cache.
    for (unsigned w = 0; w < count && failure.empty(); w++)
      for (bool again = true; again && failure.empty();) {
        again = false;
        const unsigned end = std::min(s.size, w * 32 + 32);
        for (unsigned k = w * 32; k < end; k++) {
          Thread* t = &s.threads[s.order[k]];
          if (t->state == NEW) {
            t->stack = s.stack();
            s.next = k + 1;
            s.last = end;
            start(t);
            s.last = 0;
            moved = again = true;
          } else if (t->state == READY) {
            resume(t);
            moved = again = true;
          }
        }
      }
    if (moved || !failure.empty()) continue;
    unsigned barrier = 0, warp = 0;
    for (const Thread& t : s.threads) {
      barrier += t.state == AT_BARRIER;
      warp += t.state == AT_WARP;
    }
    char text[200];
    snprintf(text, sizeof text, "deadlock in block %u,%u,%u: %u threads at __syncthreads, %u at a warp operation, %u ended",
             index.x, index.y, index.z, barrier, warp, s.done);
    fail(text);
  }
}

bool launch(Entry entry, dim3 grid, dim3 block, unsigned shared, void** arguments) {
  static const int order = getenv("STANDIN_ORDER") ? atoi(getenv("STANDIN_ORDER")) : 0;
  Scheduler& s = scheduler;
  s.size = block.x * block.y * block.z;
  s.threads.resize(s.size);
  s.warps.resize((s.size + 31) / 32);
  s.copies.reset(new Copy[s.size][MAX_COPIES]);
#if !defined(__x86_64__)
  s.contexts.resize(s.size);
#endif
  s.entry = entry;
  s.arguments = arguments;
  warps = s.warps.data();
  copies = s.copies.get();
  block_size = block;
  grid_size = grid;
  s.order.resize(s.size);
  for (unsigned i = 0; i < s.size; i++) s.order[i] = i;
  // Only the order of lanes within a warp is changed.
  if (order == 1)
    for (unsigned w = 0; w * 32 < s.size; w++)
      std::reverse(s.order.begin() + w * 32, s.order.begin() + std::min(s.size, w * 32 + 32));
  if (order > 1) {
    std::mt19937 random(order);
    for (unsigned w = 0; w * 32 < s.size; w++)
      std::shuffle(s.order.begin() + w * 32, s.order.begin() + std::min(s.size, w * 32 + 32), random);
  }
  poison_shared_memory();
  reserve_dynamic_shared(shared);
  const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks && failure.empty(); i++) {
    const uint64_t j = order == 1 ? blocks - 1 - i : i;
    run_block(dim3(j % grid.x, j / grid.x % grid.y, j / ((uint64_t)grid.x * grid.y)));
  }
  if (!failure.empty())
    for (const Thread& t : s.threads)
      if (t.state != DONE && t.state != NEW) munmap(t.stack, STACK);
  current = nullptr;
  return failure.empty();
}

} // namespace cpu
