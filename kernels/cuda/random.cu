// Counter-based random numbers. The generator and its mapping to elements are those of crates/tensor/src/random.rs and
// cpu/random.rs, so that dropout drops the same elements on the CPU and the GPU.
#include "philox.cuh"

// Uniform numbers in [0, 1): the number of words per element, and the conversion.
template <class T> struct Draw;
template <> struct Draw<float> {
  static constexpr int WORDS = 1;
  DEVICE float operator()(const uint32_t* word) const { return (float)(int)(word[0] >> 8) * (1.0f / 16777216.0f); }
};
template <> struct Draw<double> {
  static constexpr int WORDS = 2;
  DEVICE double operator()(const uint32_t* word) const {
    return (double)(((uint64_t)word[0] << 32 | word[1]) >> 11) * (1.0 / 9007199254740992.0);
  }
};

DEVICE void sin_cos_turns(float turns, float& sin, float& cos) {
  sin = sinpif(2.0f * turns);
  cos = cospif(2.0f * turns);
}
DEVICE void sin_cos_turns(double turns, double& sin, double& cos) {
  sin = sinpi(2.0 * turns);
  cos = cospi(2.0 * turns);
}

#define FLOATS(type, T)                                                                                                \
  KERNEL(THREADS, uniform_##type, T* y, uint32_t numel, Key key) {                                                     \
    constexpr int EACH = 4 / Draw<T>::WORDS;                                                                           \
    for (uint32_t k = first_element(); k * EACH < numel; k += element_step()) {                                        \
      const Words words = block(key, k);                                                                               \
      for (int e = 0; e < EACH && k * EACH + e < numel; e++) y[k * EACH + e] = Draw<T>()(words.word + e * Draw<T>::WORDS); \
    }                                                                                                                  \
  }                                                                                                                    \
  /* Box and Muller: elements 2k and 2k + 1 are √(−2 ln(1 − u)) · (cos 2πv, sin 2πv). */                              \
  KERNEL(THREADS, normal_##type, T* y, uint32_t numel, Key key) {                                                      \
    constexpr int WORDS = Draw<T>::WORDS, PAIRS = 2 / WORDS;                                                           \
    for (uint32_t k = first_element(); 2 * k * PAIRS < numel; k += element_step()) {                                   \
      const Words words = block(key, k);                                                                               \
      for (int pair = 0; pair < PAIRS; pair++) {                                                                       \
        const uint32_t at = 2 * (k * PAIRS + pair);                                                                    \
        const uint32_t* from = words.word + 2 * pair * WORDS;                                                          \
        const T u = Draw<T>()(from), v = Draw<T>()(from + WORDS);                                                      \
        const T radius = root_of(T(-2) * log_of(T(1) - u));                                                            \
        T sin, cos;                                                                                                    \
        sin_cos_turns(v, sin, cos);                                                                                    \
        if (at < numel) y[at] = radius * cos;                                                                          \
        if (at + 1 < numel) y[at + 1] = radius * sin;                                                                  \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  /* Element i is 0 if word i mod 4 of block i / 4 is below the bound, at a step that a replay moves on. */           \
  KERNEL(THREADS, dropout_mask_##type, T* y, uint32_t numel, Key key, uint64_t bound, T keep,                          \
         const StepParameters* parameters) {                                                                           \
    key.step += (uint32_t)parameters->steps;                                                                           \
    for (uint32_t k = first_element(); k * 4 < numel; k += element_step()) {                                           \
      const Words words = block(key, k);                                                                               \
      for (int e = 0; e < 4 && k * 4 + e < numel; e++) y[k * 4 + e] = words.word[e] < bound ? T(0) : keep;             \
    }                                                                                                                  \
  }
FLOATS(f32, float)
FLOATS(f64, double)
