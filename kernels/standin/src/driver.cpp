// The driver API functions that the backend calls, implemented on the CPU.
//
// Work is queued and executed only at a synchronization, as late as a GPU may execute it: a program that reads a result or
// overwrites its memory, pinned or not, without synchronizing gets wrong values here too.
#include "fibers.h"
#include <algorithm>
#include <atomic>
#include <csignal>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

using Result = int;
using Address = unsigned long long;
enum : Result {
  OK = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  NOT_FOUND = 500,
  NOT_READY = 600,
  LAUNCH_FAILED = 719,
  NOT_PERMITTED = 800,
  CAPTURE_UNSUPPORTED = 900,
};

using Work = std::function<Result()>;
static std::atomic<unsigned> graphs; // captured graphs and their executables that are not destroyed
struct Graph {
  std::deque<Work> nodes;
  Graph() { graphs++; }
  Graph(const Graph& other) : nodes(other.nodes) { graphs++; }
  ~Graph() { graphs--; }
};
struct Stream {
  std::deque<Work> queue;
  std::unique_ptr<Graph> capture;
};
struct Module {
  std::string image;
};
struct Event {
  double milliseconds = 0;
  bool pending = false;
  Stream* stream = nullptr;      // on which it was recorded last
  std::shared_ptr<bool> reached; // whether that record was
  unsigned queries = 0;          // since that record
};

static std::recursive_mutex mutex;
static std::map<Address, size_t> heap;   // device buffers and their bytes
static std::map<Address, size_t> pinned; // page-locked host buffers
static size_t used;
static std::vector<Stream*> streams;
static Result status = OK; // the first failure of queued work; sticky, as on a GPU
static bool initialized;
static void* const device_context = (void*)0x1;
// Each thread's current context. Not thread_local, whose variables are shared memory and poisoned by each launch.
static pthread_key_t current_context() {
  static const pthread_key_t key = [] {
    pthread_key_t made;
    if (pthread_key_create(&made, nullptr)) abort();
    return made;
  }();
  return key;
}

std::map<std::string, cpu::Kernel>& kernels() {
  static std::map<std::string, cpu::Kernel> table;
  return table;
}
void cpu::register_kernel(const char* name, cpu::Kernel kernel) { kernels()[name] = kernel; }

static size_t memory() {
  static const size_t bytes = getenv("STANDIN_MEMORY") ? strtoull(getenv("STANDIN_MEMORY"), nullptr, 10) : 8ull << 30;
  return bytes;
}
static bool guarded() {
  static const bool guarded = getenv("STANDIN_GUARD") != nullptr;
  return guarded;
}

// Whether the n bytes at p lie within one buffer.
static bool within(const std::map<Address, size_t>& buffers, Address p, size_t n) {
  auto next = buffers.upper_bound(p);
  if (next == buffers.begin()) return false;
  const auto& [start, bytes] = *std::prev(next);
  return p + n <= start + bytes;
}

// Runs the work of a stream, if given up to where an event is reached.
static Result run(Stream& stream, const bool* reached = nullptr) {
  while (!stream.queue.empty() && !(reached && *reached)) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (status == OK) status = work();
  }
  return status;
}
static Result run_all() {
  for (Stream* stream : streams) run(*stream);
  return status;
}
static Result submit(void* handle, Work work) {
  Stream& stream = *(Stream*)handle;
  auto& into = stream.capture ? stream.capture->nodes : stream.queue;
  into.push_back(std::move(work));
  return OK;
}

static double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

#define API extern "C" __attribute__((visibility("default"))) Result
#define LOCK std::lock_guard<std::recursive_mutex> lock(mutex)
// What a call on a device begins with: its context is the thread's, and no earlier work has failed.
#define ON_DEVICE                                                                                                      \
  LOCK;                                                                                                                \
  if (pthread_getspecific(current_context()) != device_context) return INVALID_CONTEXT;                                                       \
  if (status != OK) return status

// ---- the device ----

API cuInit(unsigned) {
  initialized = true;
  return getenv("STANDIN_NO_DEVICE") ? NO_DEVICE : OK;
}
API cuDriverGetVersion(int* version) {
  *version = 12020;
  return OK;
}
API cuDeviceGetCount(int* count) {
  *count = 1;
  return OK;
}
API cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 ? OK : INVALID_DEVICE;
}
API cuDeviceGetName(char* name, int bytes, int) {
  snprintf(name, bytes, "stand-in (this CPU)");
  return OK;
}
API cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = memory();
  return OK;
}
// The most shared memory of a block.
constexpr unsigned MOST_SHARED = 227 << 10;
API cuDeviceGetAttribute(int* value, int attribute, int) {
  enum { MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76, SHARED = 81 };
  *value = attribute == MAJOR ? 8 : attribute == MULTIPROCESSORS ? 4 : attribute == SHARED ? MOST_SHARED + (1 << 10) : 0;
  return OK;
}
API cuDevicePrimaryCtxRetain(void** context, int) {
  *context = device_context;
  return initialized ? OK : 3;
}
API cuCtxSetCurrent(void* context) {
  pthread_setspecific(current_context(), context);
  return OK;
}
API cuCtxGetCurrent(void** context) {
  *context = pthread_getspecific(current_context());
  return OK;
}
API cuStreamCreate(void** stream, unsigned) {
  ON_DEVICE;
  *stream = new Stream;
  streams.push_back((Stream*)*stream);
  return OK;
}
API cuStreamDestroy_v2(void* handle) {
  ON_DEVICE;
  run(*(Stream*)handle);
  streams.erase(std::find(streams.begin(), streams.end(), (Stream*)handle));
  delete (Stream*)handle;
  return status;
}
API cuStreamSynchronize(void* handle) {
  ON_DEVICE;
  Stream& stream = *(Stream*)handle;
  return stream.capture ? CAPTURE_UNSUPPORTED : run(stream);
}

// ---- memory ----

static void on_fault(int, siginfo_t* info, void*) {
  char text[256];
  const dim3 b = cpu::block_index, t = cpu::current ? cpu::current->index : dim3(0, 0, 0);
  const int n = snprintf(text, sizeof text, "stand-in: illegal access at %p, block %u,%u,%u thread %u,%u,%u\n",
                         info->si_addr, b.x, b.y, b.z, t.x, t.y, t.z);
  if (write(2, text, n)) {
  }
  _exit(99);
}
static size_t pages(size_t bytes) { return (std::max<size_t>(bytes, 1) + 4095) / 4096 * 4096; }

// A buffer whose end, up to an alignment of 16, is followed by a guard page.
static void* allocate_guarded(size_t bytes) {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  char* start = (char*)mmap(nullptr, pages(bytes) + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  mprotect(start + pages(bytes), 4096, PROT_NONE);
  return start + pages(bytes) - (std::max<size_t>(bytes, 1) + 15) / 16 * 16;
}

API cuMemAlloc_v2(Address* p, size_t bytes) {
  ON_DEVICE;
  if (!bytes) return INVALID_VALUE;
  if (used + bytes > memory()) return OUT_OF_MEMORY;
  void* block = guarded() ? allocate_guarded(bytes) : aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!block) return OUT_OF_MEMORY;
  memset(block, 0xff, bytes); // NaN, to detect reads of uninitialized memory
  *p = (Address)block;
  heap[*p] = bytes;
  used += bytes;
  return OK;
}
API cuMemFree_v2(Address p) {
  ON_DEVICE;
  if (run_all() != OK) return status;
  const auto found = heap.find(p);
  if (found == heap.end()) return INVALID_VALUE;
  const size_t bytes = found->second;
  heap.erase(found);
  used -= bytes;
  // The pages of a guarded buffer are never reused, so that a use after free faults.
  if (guarded()) mprotect((void*)(p & ~4095ull), pages(bytes), PROT_NONE);
  else free((void*)p);
  return OK;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) {
  LOCK;
  *total = memory();
  *free = memory() - used;
  return OK;
}
API cuMemHostAlloc(void** p, size_t bytes, unsigned) {
  ON_DEVICE;
  *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!*p) return OUT_OF_MEMORY;
  pinned[(Address)*p] = bytes;
  return OK;
}
API cuMemFreeHost(void* p) {
  ON_DEVICE;
  run_all();
  if (!pinned.erase((Address)p)) return INVALID_VALUE;
  free(p);
  return OK;
}
API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t n, void* stream) {
  ON_DEVICE;
  if (!within(heap, to, n)) return INVALID_VALUE;
  // Pageable memory is read late as well: a driver does not promise to have read it when the call returns.
  if (((Stream*)stream)->capture && !within(pinned, (Address)from, n)) return CAPTURE_UNSUPPORTED;
  return submit(stream, [=] { return memcpy((void*)to, from, n), OK; });
}
API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t n, void* stream) {
  ON_DEVICE;
  if (!within(heap, from, n)) return INVALID_VALUE;
  // Pageable memory is written late as well.
  return submit(stream, [=] { return memcpy(to, (void*)from, n), OK; });
}
API cuMemcpyDtoDAsync_v2(Address to, Address from, size_t n, void* stream) {
  ON_DEVICE;
  if (!within(heap, to, n) || !within(heap, from, n)) return INVALID_VALUE;
  return submit(stream, [=] { return memmove((void*)to, (void*)from, n), OK; });
}
API cuMemsetD8Async(Address to, unsigned char value, size_t n, void* stream) {
  ON_DEVICE;
  if (!within(heap, to, n)) return INVALID_VALUE;
  return submit(stream, [=] { return memset((void*)to, value, n), OK; });
}

// ---- kernels ----

API cuModuleLoadData(void** module, const void* image) {
  ON_DEVICE;
  *module = new Module{(const char*)image};
  return ((Module*)*module)->image.find(".version") == std::string::npos ? INVALID_IMAGE : OK;
}
API cuModuleUnload(void* module) {
  delete (Module*)module;
  return OK;
}
// A function is found only if the module's PTX contains it, which detects PTX that is older than its source.
API cuModuleGetFunction(void** function, void* module, const char* name) {
  ON_DEVICE;
  const auto found = kernels().find(name);
  const std::string entry = std::string(".entry ") + name + "(";
  if (found == kernels().end() || ((Module*)module)->image.find(entry) == std::string::npos) return NOT_FOUND;
  *function = (void*)&found->second;
  return OK;
}
API cuFuncSetAttribute(void* function, int attribute, int value) {
  enum { MOST_DYNAMIC = 8, CARVEOUT = 9 };
  if (attribute == CARVEOUT) return value >= -1 && value <= 100 ? OK : INVALID_VALUE;
  if (attribute != MOST_DYNAMIC || value < 0 || value > (int)MOST_SHARED) return INVALID_VALUE;
  ((cpu::Kernel*)function)->most_shared = value;
  return OK;
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void* stream, void** arguments, void**) {
  ON_DEVICE;
  const uint64_t threads = (uint64_t)bx * by * bz;
  const cpu::Kernel* kernel = (const cpu::Kernel*)function;
  if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || gx > 0x7fffffff || !threads || threads > 1024 ||
      shared > kernel->most_shared)
    return INVALID_VALUE;
  static const char* const faulty = getenv("STANDIN_FAULT");
  if (faulty && kernels().count(faulty) && kernel == &kernels()[faulty])
    return submit(stream, [] { return LAUNCH_FAILED; });
  // The driver copies the arguments before the call returns.
  auto copies = std::make_shared<std::vector<std::vector<char>>>();
  for (unsigned i = 0; i < kernel->arguments; i++)
    copies->emplace_back((char*)arguments[i], (char*)arguments[i] + kernel->size[i]);
  return submit(stream, [=] {
    void* unpacked[32];
    for (unsigned i = 0; i < kernel->arguments; i++) unpacked[i] = (*copies)[i].data();
    return cpu::launch(kernel->call, {gx, gy, gz}, {bx, by, bz}, shared, unpacked) ? OK : LAUNCH_FAILED;
  });
}

// ---- events ----

API cuEventCreate(void** event, unsigned) {
  *event = new Event;
  return OK;
}
API cuEventDestroy_v2(void* event) {
  LOCK;
  run_all();
  delete (Event*)event;
  return OK;
}
API cuEventRecord(void* event, void* stream) {
  ON_DEVICE;
  const auto reached = std::make_shared<bool>(false);
  *(Event*)event = {0, true, (Stream*)stream, reached, 0};
  return submit(stream, [=] {
    *reached = true;
    Event& recorded = *(Event*)event;
    if (recorded.reached == reached) recorded.milliseconds = now(), recorded.pending = false;
    return OK;
  });
}
// The stream runs the work before the record of the event, which may be on another stream.
API cuStreamWaitEvent(void* stream, void* event, unsigned) {
  ON_DEVICE;
  const Event recorded = *(Event*)event;
  if (!recorded.pending) return OK;
  return submit(stream, [=] { return *recorded.reached ? OK : run(*recorded.stream, recorded.reached.get()); });
}
API cuEventSynchronize(void* event) {
  LOCK;
  return ((Event*)event)->pending ? run_all() : status;
}
API cuEventQuery(void* event) {
  LOCK;
  Event& queried = *(Event*)event;
  // Who asks again and again waits for it.
  enum { WAITING = 100 };
  if (queried.pending && ++queried.queries > WAITING) return run_all();
  return queried.pending ? NOT_READY : status;
}
API cuEventElapsedTime_v2(float* milliseconds, void* from, void* to) {
  LOCK;
  *milliseconds = float(((Event*)to)->milliseconds - ((Event*)from)->milliseconds);
  return OK;
}
API cuEventElapsedTime(float* milliseconds, void* from, void* to) {
  return cuEventElapsedTime_v2(milliseconds, from, to);
}

// ---- graphs ----

API cuStreamBeginCapture_v2(void* handle, int) {
  ON_DEVICE;
  Stream& stream = *(Stream*)handle;
  if (stream.capture) return NOT_PERMITTED;
  stream.capture = std::make_unique<Graph>();
  return OK;
}
API cuStreamEndCapture(void* handle, void** graph) {
  LOCK;
  *graph = ((Stream*)handle)->capture.release();
  return *graph ? OK : INVALID_VALUE;
}
API cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
  ON_DEVICE;
  *executable = new Graph(*(Graph*)graph);
  return OK;
}
API cuGraphLaunch(void* executable, void* stream) {
  ON_DEVICE;
  if (((Stream*)stream)->capture) return CAPTURE_UNSUPPORTED;
  for (const Work& node : ((Graph*)executable)->nodes) submit(stream, node);
  return OK;
}
API cuGraphDestroy(void* graph) {
  LOCK;
  delete (Graph*)graph;
  return status;
}
API cuGraphExecDestroy(void* executable) {
  LOCK;
  delete (Graph*)executable;
  return status;
}
// Not a function of the driver: for tests.
extern "C" __attribute__((visibility("default"))) unsigned standin_graphs() { return graphs; }

// ---- errors ----

API cuGetErrorName(Result result, const char** name) {
  *name = result == LAUNCH_FAILED   ? "CUDA_ERROR_LAUNCH_FAILED"
          : result == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
          : result == NO_DEVICE     ? "CUDA_ERROR_NO_DEVICE"
          : result == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT"
                                    : "CUDA_ERROR";
  return OK;
}
API cuGetErrorString(Result result, const char** text) {
  *text = result == LAUNCH_FAILED && !cpu::failed().empty() ? cpu::failed().c_str()
          : result == LAUNCH_FAILED                         ? "unspecified launch failure"
          : result == INVALID_CONTEXT                       ? "invalid device context"
          : result == OUT_OF_MEMORY                         ? "out of memory"
          : result == NO_DEVICE                             ? "no CUDA-capable device is detected"
                                                            : "the stand-in rejected the call";
  return OK;
}
