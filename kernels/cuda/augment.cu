// Prepares image batches from bytes on the device: selects samples, crops and flips them randomly, and normalizes. The
// random numbers are those of crates/data/src/transform.rs, so that a batch is the same on the CPU and the GPU.
#include "philox.cuh"

// The transforms of an image, in order.
constexpr int STEPS = 4;
struct Steps {
  int32_t count;
  int32_t kind[STEPS];    // CROP or FLIP
  int32_t padding[STEPS]; // of a crop: zeros on each side
  uint32_t purpose[STEPS];
};
constexpr int CROP = 0;

// The numbers of a random stream, in order.
struct Stream {
  Key key;
  uint32_t next;
  DEVICE uint32_t word() {
    const uint32_t at = next++;
    return block(key, at / 4).word[at % 4];
  }
  // A number below `bound`, all equally likely (Lemire's method).
  DEVICE uint32_t below(uint32_t bound) {
    const uint32_t reject = (0u - bound) % bound;
    for (;;) {
      const uint64_t wide = (uint64_t)word() * bound;
      if ((uint32_t)wide >= reject) return (uint32_t)(wide >> 32);
    }
  }
};

// y (n,C,H,W) from pixels (N,C,H,W), one block per sample; table[c][byte] is the normalized value of a byte, with one table
// for all channels or one per channel.
KERNEL(THREADS, image_batch_f32, float* y, const uint8_t* pixels, const int32_t* order, const float* table, int tables,
       int images, int channels, int height, int width, Key key, Steps steps, Fault* fault) {
  __shared__ int down[STEPS], right[STEPS];
  const int asked = order[blockIdx.x], sample = asked < 0 || asked >= images ? 0 : asked;
  if (sample != asked) report(fault, BAD_INDEX, asked);
  const int plane = height * width, size = channels * plane;
  if (threadIdx.x < steps.count) {
    const int k = threadIdx.x;
    Stream stream = {{key.seed, steps.purpose[k], key.step, (uint32_t)sample}, 0};
    if (steps.kind[k] == CROP) {
      const uint32_t places = 2 * steps.padding[k] + 1;
      down[k] = (int)stream.below(places) - steps.padding[k];
      right[k] = (int)stream.below(places) - steps.padding[k];
    } else {
      down[k] = stream.word() >> 31;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < size; i += THREADS) {
    const int c = i / plane;
    int row = (i - c * plane) / width, column = i % width;
    bool inside = true;
    // The source of the pixel: undo the transforms, the last one first.
    for (int k = steps.count - 1; k >= 0; k--) {
      if (steps.kind[k] == CROP) {
        row += down[k];
        column += right[k];
        inside &= row >= 0 && row < height && column >= 0 && column < width;
      } else if (down[k]) {
        column = width - 1 - column;
      }
    }
    const uint8_t byte = inside ? pixels[(int64_t)sample * size + c * plane + row * width + column] : 0;
    y[(int64_t)blockIdx.x * size + i] = table[(tables == 1 ? 0 : c) * 256 + byte];
  }
}
