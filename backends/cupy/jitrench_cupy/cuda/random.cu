// Philox4x64-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC '11), with NumPy's counters: block i
// of a stream is the cipher of counter + 1 + i, and gives four words.

struct Block {
    Word word[4];
};

// counter + more, modulo 2**256.
__device__ Block advanced(const Word* counter, Word more) {
    Block b;
    for (int i = 0; i < 4; i++) {
        b.word[i] = counter[i] + more;
        more = b.word[i] < more;
    }
    return b;
}

__device__ Block philox(const Word* key, const Word* counter, Index i) {
    Block b = advanced(counter, Word(i) + 1);
    Word first = key[0], second = key[1];
    for (int round = 0; round < 10; round++) {
        const Word high0 = __umul64hi(b.word[0], 0xD2E7470EE14C6C93ULL), low0 = b.word[0] * 0xD2E7470EE14C6C93ULL;
        const Word high1 = __umul64hi(b.word[2], 0xCA5A826395121157ULL), low1 = b.word[2] * 0xCA5A826395121157ULL;
        b.word[0] = high1 ^ b.word[1] ^ first;
        b.word[1] = low1;
        b.word[2] = high0 ^ b.word[3] ^ second;
        b.word[3] = low0;
        first += 0x9E3779B97F4A7C15ULL;
        second += 0xBB67AE8584CAA73BULL;
    }
    return b;
}

// In [0, 1): the top 53 bits of a word, or 24 for a float.
__device__ double uniform(Word w, double) { return (w >> 11) * 0x1p-53; }
__device__ float uniform(Word w, float) { return (w >> 40) * 0x1p-24f; }

extern "C" __global__ void advance_counter(const Word* counter, Word* out, Word blocks) {
    if (blockIdx.x || threadIdx.x) return;
    const Block b = advanced(counter, blocks);
    for (int k = 0; k < 4; k++) out[k] = b.word[k];
}

extern "C" __global__ void random_bits(const Word* key, const Word* counter, Word* out, Index n) {
    EACH(i, (n + 3) / 4) {
        const Block b = philox(key, counter, i);
        for (int k = 0; k < 4 && 4 * i + k < n; k++) out[4 * i + k] = b.word[k];
    }
}

template <typename T>
__global__ void random_uniform(const Word* key, const Word* counter, T* out, Index n) {
    EACH(i, (n + 3) / 4) {
        const Block b = philox(key, counter, i);
        for (int k = 0; k < 4 && 4 * i + k < n; k++) out[4 * i + k] = uniform(b.word[k], T());
    }
}

// Two words make two numbers, by the method of Box and Muller, always in double.
template <typename T>
__global__ void random_normal(const Word* key, const Word* counter, T* out, Index n) {
    EACH(i, (n + 3) / 4) {
        const Block b = philox(key, counter, i);
        for (int k = 0; k < 4 && 4 * i + k < n; k += 2) {
            const double radius = sqrt(-2.0 * log(1.0 - uniform(b.word[k], 0.0)));
            const double angle = 6.283185307179586 * uniform(b.word[k + 1], 0.0);
            out[4 * i + k] = T(radius * cos(angle));
            if (4 * i + k + 1 < n) out[4 * i + k + 1] = T(radius * sin(angle));
        }
    }
}
