// The functions of NCCL that chainrule calls, for processes on the stand-in driver, whose device memory is host memory.
//
// Rank 0 listens; the others connect to it and send their part of each operation, and it sends the result to all. A thread of
// the communicator does this, as if in NCCL's non-blocking mode: a call returns ncclInProgress, and the result is there when
// ncclCommGetAsyncError returns something else.
#include <arpa/inet.h>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <functional>
#include <mutex>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

enum Result { SUCCESS, CUDA_ERROR, SYSTEM_ERROR, INTERNAL_ERROR, INVALID_ARGUMENT, INVALID_USAGE, REMOTE_ERROR, IN_PROGRESS };
enum Kind : uint64_t { REDUCE, GATHER };
enum { BYTE = 1, FLOAT = 7, DOUBLE = 8 };

struct UniqueId {
  uint16_t port;
  int listener; // of the process that made the id
  char rest[120];
};
static_assert(sizeof(UniqueId) == 128);

struct Config {
  size_t size;
  unsigned magic, version;
  int blocking;
};

// What the processes must agree on.
struct Header {
  uint64_t kind, count, type;
  bool operator==(const Header& other) const { return !memcmp(this, &other, sizeof *this); }
};

struct Comm {
  int ranks, rank;
  std::vector<int> sockets; // rank 0: of each rank; others: that of rank 0
  int listener = -1;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<Result()>> jobs;
  Result state = SUCCESS;
  bool closing = false;
  std::thread thread;

  Result submit(std::function<Result()> job) {
    std::lock_guard<std::mutex> lock(mutex);
    if (state != SUCCESS) return state == IN_PROGRESS ? INVALID_USAGE : state;
    state = IN_PROGRESS;
    jobs.push_back(std::move(job));
    changed.notify_all();
    return IN_PROGRESS;
  }
  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return closing || !jobs.empty(); });
      if (closing) return;
      const auto job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      const Result result = job();
      lock.lock();
      state = result;
    }
  }
  void close_all() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      closing = true;
      changed.notify_all();
    }
    if (listener >= 0) shutdown(listener, SHUT_RDWR);
    for (const int s : sockets)
      if (s >= 0) shutdown(s, SHUT_RDWR);
    thread.join();
    for (const int s : sockets)
      if (s >= 0) close(s);
    if (listener >= 0) close(listener);
  }
};

static bool send_all(int to, const void* bytes, size_t n) {
  for (const char* p = (const char*)bytes; n;) {
    const ssize_t sent = send(to, p, n, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    p += sent, n -= sent;
  }
  return true;
}
static bool receive_all(int from, void* bytes, size_t n) {
  for (char* p = (char*)bytes; n;) {
    const ssize_t received = recv(from, p, n, 0);
    if (received <= 0) return false;
    p += received, n -= received;
  }
  return true;
}

static sockaddr_in local(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = port;
  return address;
}

static Result connect_all(Comm& comm, const UniqueId& id) {
  if (comm.rank == 0) {
    for (int i = 1; i < comm.ranks; i++) {
      const int s = accept(comm.listener, nullptr, nullptr);
      int rank = 0;
      if (s < 0 || !receive_all(s, &rank, sizeof rank) || rank < 1 || rank >= comm.ranks) return SYSTEM_ERROR;
      comm.sockets[rank] = s;
    }
    return SUCCESS;
  }
  const sockaddr_in address = local(id.port);
  const int s = comm.sockets[0];
  if (connect(s, (const sockaddr*)&address, sizeof address)) return REMOTE_ERROR;
  return send_all(s, &comm.rank, sizeof comm.rank) ? SUCCESS : REMOTE_ERROR;
}

template <class T> static void add(std::vector<char>& sum, const std::vector<char>& other) {
  for (size_t i = 0; i < sum.size() / sizeof(T); i++) ((T*)sum.data())[i] += ((const T*)other.data())[i];
}

static Result exchange(Comm& comm, Header header, const void* send, void* receive) {
  const size_t bytes = header.count * (header.type == BYTE ? 1 : header.type == FLOAT ? 4 : 8);
  std::vector<char> result((const char*)send, (const char*)send + bytes);
  if (comm.rank == 0) {
    for (int rank = 1; rank < comm.ranks; rank++) {
      Header theirs;
      std::vector<char> part(bytes);
      if (!receive_all(comm.sockets[rank], &theirs, sizeof theirs)) return REMOTE_ERROR;
      if (!(theirs == header)) return INTERNAL_ERROR;
      if (!receive_all(comm.sockets[rank], part.data(), bytes)) return REMOTE_ERROR;
      if (header.kind == GATHER) result.insert(result.end(), part.begin(), part.end());
      else if (header.type == FLOAT) add<float>(result, part);
      else add<double>(result, part);
    }
    for (int rank = 1; rank < comm.ranks; rank++)
      if (!send_all(comm.sockets[rank], result.data(), result.size())) return REMOTE_ERROR;
  } else {
    const int s = comm.sockets[0];
    if (!send_all(s, &header, sizeof header) || !send_all(s, result.data(), bytes)) return REMOTE_ERROR;
    result.resize(header.kind == GATHER ? bytes * comm.ranks : bytes);
    if (!receive_all(s, result.data(), result.size())) return REMOTE_ERROR;
  }
  memcpy(receive, result.data(), result.size());
  return SUCCESS;
}

static Result start(Comm* comm, Header header, const void* send, void* receive, void* stream) {
  if (header.type != BYTE && header.type != FLOAT && header.type != DOUBLE) return INVALID_ARGUMENT;
  // The work that the stream has so far, and no other.
  static int (*const synchronize)(void*) = (int (*)(void*))dlsym(dlopen("libcuda.so", RTLD_LAZY), "cuStreamSynchronize");
  if (!synchronize || synchronize(stream)) return CUDA_ERROR;
  return comm->submit([=] { return exchange(*comm, header, send, receive); });
}

#define API extern "C" __attribute__((visibility("default")))

API Result ncclGetVersion(int* version) {
  *version = 23007;
  return SUCCESS;
}
API Result ncclGetUniqueId(UniqueId* id) {
  *id = {};
  id->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = local(0);
  socklen_t length = sizeof address;
  if (bind(id->listener, (sockaddr*)&address, length) || listen(id->listener, 64)) return SYSTEM_ERROR;
  getsockname(id->listener, (sockaddr*)&address, &length);
  id->port = address.sin_port;
  return SUCCESS;
}
API Result ncclCommInitRankConfig(Comm** made, int ranks, UniqueId id, int rank, const Config* config) {
  if (config->magic != 0xcafebeef || config->blocking != 0 || rank < 0 || rank >= ranks) return INVALID_ARGUMENT;
  Comm* comm = *made = new Comm;
  comm->ranks = ranks;
  comm->rank = rank;
  comm->sockets.assign(rank == 0 ? ranks : 1, -1);
  if (rank == 0) comm->listener = id.listener;
  else comm->sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  comm->thread = std::thread([=] { comm->work(); });
  return comm->submit([=] { return connect_all(*comm, id); });
}
API Result ncclCommGetAsyncError(Comm* comm, Result* state) {
  std::lock_guard<std::mutex> lock(comm->mutex);
  *state = comm->state;
  return SUCCESS;
}
API Result ncclCommFinalize(Comm*) { return SUCCESS; }
API Result ncclCommDestroy(Comm* comm) {
  comm->close_all();
  delete comm;
  return SUCCESS;
}
API Result ncclCommAbort(Comm* comm) { return ncclCommDestroy(comm); }
API Result ncclAllReduce(const void* send, void* receive, size_t count, int type, int op, Comm* comm, void* stream) {
  return op ? INVALID_ARGUMENT : start(comm, {REDUCE, count, (uint64_t)type}, send, receive, stream);
}
API Result ncclAllGather(const void* send, void* receive, size_t count, int type, Comm* comm, void* stream) {
  return start(comm, {GATHER, count, (uint64_t)type}, send, receive, stream);
}
API const char* ncclGetErrorString(Result result) {
  return result == REMOTE_ERROR ? "remote process exited or there was a network error" : "the stand-in refused the call";
}
API const char* ncclGetLastError(Comm*) { return ""; }
