// CUDA for g++: one thread of the CPU runs a grid's blocks in a random order, and a block's threads in a random order
// between barriers. It shows wrong arithmetic, wrong indices, and barriers that are missing or diverge; it shows no race
// within a phase, knows nothing of CUDA's memory model, and accepts what NVIDIA's compiler refuses.
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUPY_ON_CPU 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __managed__ static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define __CUDA_ARCH__ 800
#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define CUDART_INF_F (__builtin_inff())
#define CUDART_NAN_F (__builtin_nanf(""))
#define CUDART_INF (__builtin_inf())
#define CUDART_NAN (__builtin_nan(""))

struct dim3 {
    unsigned int x, y, z;
    dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1) : x(x), y(y), z(z) {}
};
static const int warpSize = 32;

// -- vector types ------------------------------------------------------------------------------------------------------
#define CPU_VECTOR(T, N)                                                                                  \
    struct __attribute__((aligned(sizeof(T) * 2))) N##2 { T x, y; };                                       \
    struct N##3 { T x, y, z; };                                                                            \
    struct __attribute__((aligned(sizeof(T) * 4 > 16 ? 16 : sizeof(T) * 4))) N##4 { T x, y, z, w; };       \
    static inline N##2 make_##N##2(T x, T y) { return {x, y}; }                                            \
    static inline N##3 make_##N##3(T x, T y, T z) { return {x, y, z}; }                                    \
    static inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CPU_VECTOR(float, float)
CPU_VECTOR(double, double)
CPU_VECTOR(int, int)
CPU_VECTOR(unsigned int, uint)
CPU_VECTOR(short, short)
CPU_VECTOR(unsigned short, ushort)
CPU_VECTOR(signed char, char)
CPU_VECTOR(unsigned char, uchar)
CPU_VECTOR(long long, longlong)
CPU_VECTOR(unsigned long long, ulonglong)

// -- half and bfloat16 ------------------------------------------------------------------------------------------------
struct __half {
    _Float16 v;
    __half() = default;
    template <class T, class = decltype((float)T())> __half(T x) : v((_Float16)x) {}
    operator float() const { return (float)v; }
};
typedef __half half;
struct __nv_bfloat16 {
    unsigned short bits;
    __nv_bfloat16() = default;
    template <class T, class = decltype((float)T())> __nv_bfloat16(T x) {
        float f = (float)x;
        unsigned int u;
        memcpy(&u, &f, 4);
        bits = f != f ? 0x7FFF : (u + 0x7FFF + ((u >> 16) & 1)) >> 16;
    }
    operator float() const {
        unsigned int u = (unsigned int)bits << 16;
        float f;
        memcpy(&f, &u, 4);
        return f;
    }
};
typedef __nv_bfloat16 bfloat16;
typedef __half float16;
#define CPU_SHORT(T)                                                            \
    static inline T& operator+=(T& a, T b) { return a = T((float)a + (float)b); } \
    static inline T& operator-=(T& a, T b) { return a = T((float)a - (float)b); } \
    static inline T& operator*=(T& a, T b) { return a = T((float)a * (float)b); } \
    static inline T& operator/=(T& a, T b) { return a = T((float)a / (float)b); } \
    static inline T __hadd(T a, T b) { return T((float)a + (float)b); }           \
    static inline T __hsub(T a, T b) { return T((float)a - (float)b); }           \
    static inline T __hmul(T a, T b) { return T((float)a * (float)b); }           \
    static inline T __hdiv(T a, T b) { return T((float)a / (float)b); }           \
    static inline T __hfma(T a, T b, T c) { return T(fmaf(a, b, c)); }            \
    static inline bool __hisnan(T a) { return (float)a != (float)a; }             \
    static inline T max(T a, T b) { return (float)a < (float)b ? b : a; }         \
    static inline T min(T a, T b) { return (float)b < (float)a ? b : a; }         \
    static inline bool isnan(T a) { return (float)a != (float)a; }
CPU_SHORT(__half)
CPU_SHORT(__nv_bfloat16)
static inline float __half2float(__half h) { return (float)h; }
static inline __half __float2half(float f) { return __half(f); }
static inline __half __float2half_rn(float f) { return __half(f); }
static inline __half __double2half(double f) { return __half(f); }
static inline unsigned short __half_as_ushort(__half h) { unsigned short u; memcpy(&u, &h, 2); return u; }
static inline __half __ushort_as_half(unsigned short u) { __half h; memcpy((void*)&h, &u, 2); return h; }
static inline float __bfloat162float(__nv_bfloat16 h) { return (float)h; }
static inline __nv_bfloat16 __float2bfloat16(float f) { return __nv_bfloat16(f); }
static inline __nv_bfloat16 __float2bfloat16_rn(float f) { return __nv_bfloat16(f); }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) { return h.bits; }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short u) { __nv_bfloat16 h; h.bits = u; return h; }

// -- a small complex, as CuPy's -----------------------------------------------------------------------------------------
template <class T> struct complex {
    typedef T value_type;
    T re, im;
    complex() = default;
    template <class A> complex(A r) : re((T)r), im(0) {}
    template <class A, class B> complex(A r, B i) : re((T)r), im((T)i) {}
    template <class U> complex(const complex<U>& o) : re((T)o.re), im((T)o.im) {}
    T real() const { return re; }
    T imag() const { return im; }
    void real(T v) { re = v; }
    void imag(T v) { im = v; }
    complex& operator+=(complex b) { re += b.re; im += b.im; return *this; }
    complex& operator-=(complex b) { re -= b.re; im -= b.im; return *this; }
    complex& operator*=(complex b) { return *this = complex(re * b.re - im * b.im, re * b.im + im * b.re); }
    complex& operator/=(complex b) {
        T d = b.re * b.re + b.im * b.im;
        return *this = complex((re * b.re + im * b.im) / d, (im * b.re - re * b.im) / d);
    }
    friend complex operator+(complex a, complex b) { return a += b; }
    friend complex operator-(complex a, complex b) { return a -= b; }
    friend complex operator*(complex a, complex b) { return a *= b; }
    friend complex operator/(complex a, complex b) { return a /= b; }
    friend complex operator-(complex a) { return complex(-a.re, -a.im); }
    friend bool operator==(complex a, complex b) { return a.re == b.re && a.im == b.im; }
    friend bool operator!=(complex a, complex b) { return !(a == b); }
};
template <class T> static inline T real(complex<T> z) { return z.re; }
template <class T> static inline T imag(complex<T> z) { return z.im; }
template <class T> static inline complex<T> conj(complex<T> z) { return complex<T>(z.re, -z.im); }
template <class T> static inline T norm(complex<T> z) { return z.re * z.re + z.im * z.im; }
template <class T> static inline T abs(complex<T> z) { return (T)hypot((double)z.re, (double)z.im); }

// -- the machine ----------------------------------------------------------------------------------------------------------
namespace cpu {
enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct alignas(16) Slot { unsigned char bytes[16]; };
struct Thread {
    void* sp;
    uint3 id;
    int state, source;  // source: the lane whose value it wants, -1 for none
    unsigned int mask, bits;
    const char* what;
    Slot given, got;
};
static Thread* threads;
static int n_threads, now;
static void* scheduler_sp;
static char* stacks;
static size_t n_stacks;
static const size_t STACK = 128 * 1024;
static int votes[1024], vote_result;
static uint64_t random_state = 1;
static char message[512];
static bool failed;
static unsigned char* dynamic_shared;
static unsigned int dynamic_bytes;
static void (*body)(void**);
static void** arguments;

static inline uint32_t draw(uint32_t n) {  // of n
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(((random_state >> 32) * n) >> 32);
}
static void shuffle(int* a, int n) {
    for (int i = n - 1; i > 0; i--) { int j = draw(i + 1), t = a[i]; a[i] = a[j]; a[j] = t; }
}
static void fail(const char* text) {
    if (!failed) { snprintf(message, sizeof message, "%s", text); failed = true; }
}
}  // namespace cpu

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;

#if defined(__x86_64__)
extern "C" void cpu_switch(void** from, void* to);
__asm__(
    ".text\n.local cpu_switch\n.type cpu_switch,@function\ncpu_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size cpu_switch,.-cpu_switch\n");
namespace cpu {
static void entry();
static void prepare(Thread* t, char* top) {
    void** sp = (void**)((uintptr_t)top & ~(uintptr_t)15);
    *--sp = 0;  // where entry would return to
    *--sp = (void*)entry;
    for (int i = 0; i < 6; i++) *--sp = 0;
    t->sp = sp;
}
static inline void to_scheduler() { cpu_switch(&threads[now].sp, scheduler_sp); }
static inline void to_thread(int i) { cpu_switch(&scheduler_sp, threads[i].sp); }
}  // namespace cpu
#else
#include <ucontext.h>
namespace cpu {
static void entry();
static ucontext_t contexts[1024], scheduler_context;
static void prepare(Thread* t, char* top) {
    ucontext_t* c = &contexts[t - threads];
    getcontext(c);
    c->uc_stack.ss_sp = top - STACK;
    c->uc_stack.ss_size = STACK;
    c->uc_link = 0;
    makecontext(c, entry, 0);
}
static inline void to_scheduler() { swapcontext(&contexts[now], &scheduler_context); }
static inline void to_thread(int i) { swapcontext(&scheduler_context, &contexts[i]); }
}  // namespace cpu
#endif

namespace cpu {
static void entry() {
    body(arguments);
    threads[now].state = DONE;
    to_scheduler();
}
static inline void wait(int state, unsigned int mask, const char* what) {
    Thread* t = &threads[now];
    t->state = state;
    t->mask = mask;
    t->what = what;
    to_scheduler();
}
// A warp's lanes meet where all lanes of a mask that are not done wait with that mask: they get one another's values.
static void release_warp(int first) {
    int last = first + 32 < n_threads ? first + 32 : n_threads;
    for (int i = first; i < last; i++) {
        if (threads[i].state != AT_WARP) continue;
        unsigned int mask = threads[i].mask, present = 0, bits = 0;
        bool all = true;
        for (int k = first; k < last && all; k++) {
            if (!(mask >> (k - first) & 1) || threads[k].state == DONE) continue;
            all = threads[k].state == AT_WARP && threads[k].mask == mask;
            if (!all) break;
            if (strcmp(threads[k].what, threads[i].what)) fail("lanes of a warp meet at different operations");
            int predicate;
            memcpy(&predicate, threads[k].given.bytes, sizeof predicate);
            present |= 1u << (k - first);
            bits |= (unsigned int)(predicate != 0) << (k - first);
        }
        if (!all) continue;
        for (int k = first; k < last; k++) {
            if (!(present >> (k - first) & 1)) continue;
            Thread* t = &threads[k];
            t->bits = bits;
            if (t->source < 0) t->got = t->given;
            else if (t->source < 32 && (present >> t->source & 1)) t->got = threads[first + t->source].given;
            else memset(t->got.bytes, 0xFF, 16);  // of a lane that is not there: undefined in CUDA
            t->state = READY;
        }
    }
}
static void run_warp(int first) {
    int n = n_threads - first < 32 ? n_threads - first : 32, lanes[32];
    for (bool ran = true; ran && !failed;) {
        ran = false;
        for (int i = 0; i < n; i++) lanes[i] = first + i;
        shuffle(lanes, n);
        for (int k = 0; k < n; k++) {
            int i = lanes[k];
            if (threads[i].state != READY) continue;
            ran = true;
            now = i;
            threadIdx = threads[i].id;
            to_thread(i);
        }
        release_warp(first);
    }
}
static void run_block_of_fibers() {
    static int order[32];
    for (int i = 0; i < n_threads; i++) {
        Thread* t = &threads[i];
        t->id = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        t->state = READY;
        prepare(t, stacks + (i + 1) * STACK);
    }
    for (;;) {
        // One warp after the other, each as far as it gets: so one that a barrier does not stop is far ahead.
        int warps = (n_threads + 31) / 32;
        for (int w = 0; w < warps; w++) order[w] = w;
        shuffle(order, warps);
        for (int k = 0; k < warps; k++) run_warp(32 * order[k]);
        int at_block = 0, done = 0;
        const char* what = 0;
        for (int i = 0; i < n_threads; i++) {
            done += threads[i].state == DONE;
            if (threads[i].state == AT_BLOCK) {
                at_block++;
                if (what && strcmp(what, threads[i].what)) fail("threads of a block meet at different barriers");
                what = threads[i].what;
            }
        }
        if (done == n_threads) return;
        if (failed) return;
        if (at_block + done == n_threads) {
            vote_result = 0;
            for (int i = 0; i < n_threads; i++)
                if (threads[i].state == AT_BLOCK) {
                    vote_result += votes[i] != 0;
                    threads[i].state = READY;
                }
        } else {
            fail("deadlock: some threads wait at __syncthreads(), others for lanes of their warp that do not come");
            return;
        }
    }
}
static void run_block_of_loops() {
    static int order[1024];
    for (int i = 0; i < n_threads; i++) order[i] = i;
    shuffle(order, n_threads);
    for (int k = 0; k < n_threads; k++) {
        int i = order[k];
        now = i;
        threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
        body(arguments);
    }
}
static const unsigned char GUARD = 0xA5;

static const char* launch(void (*f)(void**), void** args, const unsigned int* shape, unsigned int shared, uint64_t seed,
                          bool barriers) {
    gridDim = dim3(shape[0], shape[1], shape[2]);
    blockDim = dim3(shape[3], shape[4], shape[5]);
    n_threads = shape[3] * shape[4] * shape[5];
    body = f;
    arguments = args;
    failed = false;
    random_state = seed * 2654435761u + 88172645463325252ull;
    for (int i = 0; i < 4; i++) draw(2);
    if (!threads) threads = (Thread*)calloc(1024, sizeof(Thread));
    if (barriers && n_stacks < (size_t)n_threads) {
        free(stacks);
        stacks = (char*)malloc((size_t)n_threads * STACK);
        n_stacks = n_threads;
    }
    dynamic_bytes = shared;
    dynamic_shared = (unsigned char*)aligned_alloc(16, (shared + 64 + 15) / 16 * 16);
    unsigned int blocks = shape[0] * shape[1] * shape[2];
    unsigned int *order = (unsigned int*)malloc(sizeof(unsigned int) * (blocks ? blocks : 1));
    for (unsigned int i = 0; i < blocks; i++) order[i] = i;
    for (unsigned int i = blocks; i-- > 1;) { unsigned int j = draw(i + 1), t = order[i]; order[i] = order[j]; order[j] = t; }
    for (unsigned int k = 0; k < blocks && !failed; k++) {
        unsigned int b = order[k];
        blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / (gridDim.x * gridDim.y)};
        memset(dynamic_shared, 0xFF, shared);
        memset(dynamic_shared + shared, GUARD, 64);
        if (barriers) run_block_of_fibers(); else run_block_of_loops();
        for (int i = 0; i < 64; i++)
            if (dynamic_shared[shared + i] != GUARD) fail("a write beyond the dynamic shared memory that the launch gives");
    }
    free(order);
    free(dynamic_shared);
    return failed ? message : 0;
}

template <class T> static T exchange(unsigned int mask, T value, int source, const char* what) {
    static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes here");
    int me = now;
    if (!(mask >> (me & 31) & 1)) fail("a lane calls a warp's operation whose mask leaves it out");
    Thread* t = &threads[me];
    memset(t->given.bytes, 0, 16);
    memcpy(t->given.bytes, (const void*)&value, sizeof(T));
    t->source = source;
    wait(AT_WARP, mask, what);
    T got;
    memcpy((void*)&got, t->got.bytes, sizeof(T));
    return got;
}
static unsigned int ballot(unsigned int mask, int predicate, const char* what) {
    int me = now;
    exchange<int>(mask, predicate != 0, -1, what);
    return threads[me].bits;
}
}  // namespace cpu

// -- barriers and the warp's operations ---------------------------------------------------------------------------------------
#define CPU_TEXT2(x) #x
#define CPU_TEXT(x) CPU_TEXT2(x)
static inline void cpu_syncthreads(const char* where) { cpu::wait(cpu::AT_BLOCK, 0, where); }
static inline int cpu_vote(int predicate, const char* where) {
    cpu::votes[cpu::now] = predicate;
    cpu::wait(cpu::AT_BLOCK, 0, where);
    return cpu::vote_result;
}
// A barrier may stand at several places of the source (both branches of a uniform if); CUDA asks only that all threads come.
#define __syncthreads() cpu_syncthreads("barrier")
#define __syncthreads_or(p) (cpu_vote((p), "or") != 0)
#define __syncthreads_and(p) (cpu_vote((p), "and") == cpu::n_threads)
#define __syncthreads_count(p) cpu_vote((p), "count")
static inline void __syncwarp(unsigned int mask = 0xFFFFFFFFu) { cpu::exchange<int>(mask, 0, -1, "syncwarp"); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}
static inline void __nanosleep(unsigned int) {}
template <class T> static T __shfl_sync(unsigned int mask, T v, int lane, int width = 32) {
    int me = cpu::now & 31;
    return cpu::exchange(mask, v, (me & ~(width - 1)) + (lane & (width - 1)), "shfl");
}
template <class T> static T __shfl_xor_sync(unsigned int mask, T v, int bits, int width = 32) {
    int me = cpu::now & 31, to = me ^ bits;
    bool inside = (to & ~(width - 1)) <= (me & ~(width - 1));
    return cpu::exchange(mask, v, inside && to < 32 ? to : -1, "shfl_xor");
}
template <class T> static T __shfl_down_sync(unsigned int mask, T v, unsigned int by, int width = 32) {
    int me = cpu::now & 31, to = me + (int)by;
    return cpu::exchange(mask, v, (me & (width - 1)) + (int)by < width ? to : -1, "shfl_down");
}
template <class T> static T __shfl_up_sync(unsigned int mask, T v, unsigned int by, int width = 32) {
    int me = cpu::now & 31, to = me - (int)by;
    return cpu::exchange(mask, v, (me & (width - 1)) - (int)by >= 0 ? to : -1, "shfl_up");
}
static inline unsigned int __ballot_sync(unsigned int mask, int p) { return cpu::ballot(mask, p, "ballot"); }
static inline int __any_sync(unsigned int mask, int p) { return cpu::ballot(mask, p, "any") != 0; }
static inline int __all_sync(unsigned int mask, int p) { return cpu::ballot(mask, !p, "all") == 0; }
static inline unsigned int __activemask() {
    int first = cpu::now & ~31;
    unsigned int bits = 0;
    for (int k = 0; k < 32 && first + k < cpu::n_threads; k++)
        bits |= (unsigned int)(cpu::threads[first + k].state != cpu::DONE) << k;
    return bits;
}

// -- atomics, for the types that CUDA has -----------------------------------------------------------------------------------
#define CPU_ATOMIC(NAME, T, EXPRESSION) \
    static inline T NAME(T* p, T v) { T old = *p; *p = (EXPRESSION); return old; }
CPU_ATOMIC(atomicAdd, int, (int)((unsigned int)old + (unsigned int)v))
CPU_ATOMIC(atomicAdd, unsigned int, old + v)
CPU_ATOMIC(atomicAdd, unsigned long long, old + v)
CPU_ATOMIC(atomicAdd, float, old + v)
CPU_ATOMIC(atomicAdd, double, old + v)
CPU_ATOMIC(atomicAdd, __half, __half((float)old + (float)v))
CPU_ATOMIC(atomicAdd, __nv_bfloat16, __nv_bfloat16((float)old + (float)v))
CPU_ATOMIC(atomicSub, int, (int)((unsigned int)old - (unsigned int)v))
CPU_ATOMIC(atomicSub, unsigned int, old - v)
#define CPU_ATOMICS(T)                              \
    CPU_ATOMIC(atomicMax, T, old < v ? v : old)     \
    CPU_ATOMIC(atomicMin, T, v < old ? v : old)     \
    CPU_ATOMIC(atomicAnd, T, old & v)               \
    CPU_ATOMIC(atomicOr, T, old | v)                \
    CPU_ATOMIC(atomicXor, T, old ^ v)               \
    CPU_ATOMIC(atomicExch, T, v)                    \
    static inline T atomicCAS(T* p, T expected, T v) { T old = *p; if (old == expected) *p = v; return old; }
CPU_ATOMICS(int)
CPU_ATOMICS(unsigned int)
CPU_ATOMICS(unsigned long long)
CPU_ATOMIC(atomicMax, long long, old < v ? v : old)
CPU_ATOMIC(atomicMin, long long, v < old ? v : old)
CPU_ATOMIC(atomicExch, float, v)
static inline unsigned short atomicCAS(unsigned short* p, unsigned short e, unsigned short v) {
    unsigned short old = *p;
    if (old == e) *p = v;
    return old;
}

// -- mathematics ------------------------------------------------------------------------------------------------------------
// The overloads for float, double and integers are the C++ library's own.
static inline float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
static inline float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
static inline float rcbrtf(float x) { return 1.0f / __builtin_cbrtf(x); }
static inline double rcbrt(double x) { return 1.0 / __builtin_cbrt(x); }
static inline float erfcxf(float x) { return (float)(exp((double)x * x) * erfc((double)x)); }
static inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
static inline float normcdff(float x) { return (float)normcdf((double)x); }
static inline float normcdf(float x) { return normcdff(x); }
static inline double sinpi(double x) { return sin(3.14159265358979323846 * remainder(x, 2.0)); }
static inline double cospi(double x) { return cos(3.14159265358979323846 * remainder(x, 2.0)); }
static inline float sinpif(float x) { return (float)sinpi((double)x); }
static inline float cospif(float x) { return (float)cospi((double)x); }
static inline void sincospi(double x, double* s, double* c) { *s = sinpi(x); *c = cospi(x); }
static inline void sincospif(float x, float* s, float* c) { *s = sinpif(x); *c = cospif(x); }
static inline void sincospi(float x, float* s, float* c) { sincospif(x, s, c); }
static inline void cpu_sincos(double x, double* s, double* c) { *s = __builtin_sin(x); *c = __builtin_cos(x); }
static inline void cpu_sincos(float x, float* s, float* c) { *s = __builtin_sinf(x); *c = __builtin_cosf(x); }
#define sincos cpu_sincos
#define sincosf cpu_sincos
#define __sincosf cpu_sincos
static inline float fdividef(float a, float b) { return a / b; }
static inline float __fdividef(float a, float b) { return a / b; }
#define __expf cpu_expf
static inline float cpu_expf(float x) { return __builtin_expf(x); }
#define __exp10f cpu_exp10f
static inline float cpu_exp10f(float x) { return (float)__builtin_pow(10.0, x); }
#define __logf cpu_logf
static inline float cpu_logf(float x) { return __builtin_logf(x); }
#define __log2f cpu_log2f
static inline float cpu_log2f(float x) { return __builtin_log2f(x); }
#define __log10f cpu_log10f
static inline float cpu_log10f(float x) { return __builtin_log10f(x); }
#define __powf cpu_powf
static inline float cpu_powf(float x, float y) { return __builtin_powf(x, y); }
#define __sinf cpu_sinf
static inline float cpu_sinf(float x) { return __builtin_sinf(x); }
#define __cosf cpu_cosf
static inline float cpu_cosf(float x) { return __builtin_cosf(x); }
#define __tanf cpu_tanf
static inline float cpu_tanf(float x) { return __builtin_tanf(x); }
static inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
static inline float __frsqrt_rn(float x) { return rsqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return __builtin_sqrtf(x); }
static inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline int __float2int_rn(float x) { return (int)__builtin_rintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline int __float2int_rd(float x) { return (int)__builtin_floorf(x); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned int x) { return (float)x; }
static inline double __ull2double_rn(unsigned long long x) { return (double)x; }
static inline double __uint2double_rn(unsigned int x) { return (double)x; }
template <class To, class From> static inline To cpu_bits(From x) { To y; memcpy((void*)&y, &x, sizeof y); return y; }
static inline float __int_as_float(int x) { return cpu_bits<float>(x); }
static inline int __float_as_int(float x) { return cpu_bits<int>(x); }
static inline float __uint_as_float(unsigned int x) { return cpu_bits<float>(x); }
static inline unsigned int __float_as_uint(float x) { return cpu_bits<unsigned int>(x); }
static inline double __longlong_as_double(long long x) { return cpu_bits<double>(x); }
static inline long long __double_as_longlong(double x) { return cpu_bits<long long>(x); }
static inline double __hiloint2double(int h, int l) { return cpu_bits<double>(((long long)h << 32) | (unsigned int)l); }
static inline int __double2hiint(double x) { return (int)(cpu_bits<long long>(x) >> 32); }
static inline int __double2loint(double x) { return (int)cpu_bits<long long>(x); }
static inline int __popc(unsigned int x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned int)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned int __brev(unsigned int x) {
    unsigned int y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}
static inline unsigned int __umulhi(unsigned int a, unsigned int b) { return (unsigned int)((uint64_t)a * b >> 32); }
static inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
static inline unsigned int __funnelshift_l(unsigned int lo, unsigned int hi, unsigned int s) {
    return (s &= 31) ? hi << s | lo >> (32 - s) : hi;
}
static inline unsigned int __funnelshift_r(unsigned int lo, unsigned int hi, unsigned int s) {
    return (s &= 31) ? hi << (32 - s) | lo >> s : lo;
}
static inline unsigned int __byte_perm(unsigned int a, unsigned int b, unsigned int s) {
    unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned int r = 0;
    for (int i = 0; i < 4; i++) r |= (unsigned int)(both >> (8 * (s >> (4 * i) & 7)) & 0xFF) << (8 * i);
    return r;
}
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline void __stcs(T* p, T v) { *p = v; }
static inline long long clock64() { return 0; }

// max and min of two numbers: the usual arithmetic conversions; of floats, NaN loses as in fmax.
template <class A, class B> struct cpu_common { typedef decltype(true ? A() : B()) type; };
template <class T> static inline T cpu_max(T a, T b) { return b != b || a > b ? a : (a != a ? b : (a < b ? b : a)); }
template <class T> static inline T cpu_min(T a, T b) { return b != b || a < b ? a : (a != a ? b : (b < a ? b : a)); }
#define CPU_PAIR(A, B)                                                                                   \
    static inline cpu_common<A, B>::type max(A a, B b) { return cpu_max<cpu_common<A, B>::type>(a, b); } \
    static inline cpu_common<A, B>::type min(A a, B b) { return cpu_min<cpu_common<A, B>::type>(a, b); }
#define CPU_SAME(T) CPU_PAIR(T, T)
CPU_SAME(int) CPU_SAME(unsigned int) CPU_SAME(long) CPU_SAME(unsigned long) CPU_SAME(long long) CPU_SAME(unsigned long long)
CPU_SAME(float) CPU_SAME(double) CPU_PAIR(float, double) CPU_PAIR(double, float) CPU_PAIR(int, unsigned int)
CPU_PAIR(unsigned int, int) CPU_PAIR(int, long long) CPU_PAIR(long long, int)
CPU_SAME(short) CPU_SAME(signed char) CPU_SAME(unsigned char) CPU_SAME(unsigned short)
#ifndef assert
#define assert(x) ((x) ? (void)0 : cpu::fail("assertion failed: " #x))
#endif

// -- arrays and indices of ElementwiseKernel and ReductionKernel --------------------------------------------------------------
namespace cpu {
struct Indexer {
    long long n;
    int nd;
    long long dims[32], at[32];
    long long size() const { return n; }
    const long long* get() const { return at; }
    int ndim() const { return nd; }
    const long long* shape() const { return dims; }
    void set(long long i) {
        for (int k = nd; k-- > 0;) { at[k] = i % dims[k]; i /= dims[k]; }
    }
};
struct View { char* data; long long n; int nd; long long dims[32], steps[32]; };
}  // namespace cpu
template <class T> struct CArray {
    char* data_;
    long long size_;
    int ndim_;
    const long long *dims, *steps;
    CArray(const cpu::View& v) : data_(v.data), size_(v.n), ndim_(v.nd), dims(v.dims), steps(v.steps) {}
    long long size() const { return size_; }
    int ndim() const { return ndim_; }
    const long long* shape() const { return dims; }
    const long long* strides() const { return steps; }
    T& at(const char* what, long long i) const {
        if (i < 0 || i >= size_) { cpu::fail(what); static T nothing; return nothing; }
        long long offset = 0;
        for (int k = ndim_; k-- > 0;) { offset += i % dims[k] * steps[k]; i /= dims[k]; }
        return *(T*)(data_ + offset);
    }
    T& operator[](long long i) const { return at("an index out of bounds of a raw array", i); }
    template <class I> T& operator[](const I* index) const {
        long long offset = 0;
        for (int k = 0; k < ndim_; k++) {
            if (index[k] < 0 || index[k] >= dims[k]) { cpu::fail("an index out of bounds of a raw array"); static T nothing; return nothing; }
            offset += (long long)index[k] * steps[k];
        }
        return *(T*)(data_ + offset);
    }
    T& item(const cpu::Indexer& ind) const {
        long long offset = 0;
        for (int k = 0; k < ndim_; k++) offset += ind.at[k] * steps[k];
        return *(T*)(data_ + offset);
    }
};

// -- what Python calls ----------------------------------------------------------------------------------------------------------
namespace cpu {
template <class T> struct Kind { static const char value = 'V'; };
#define CPU_KIND(T, K) template <> struct Kind<T> { static const char value = K; };
CPU_KIND(bool, '?') CPU_KIND(char, 'b') CPU_KIND(signed char, 'b') CPU_KIND(unsigned char, 'B') CPU_KIND(short, 'h')
CPU_KIND(unsigned short, 'H') CPU_KIND(int, 'i') CPU_KIND(unsigned int, 'I') CPU_KIND(long, 'l') CPU_KIND(unsigned long, 'L')
CPU_KIND(long long, 'l') CPU_KIND(unsigned long long, 'L') CPU_KIND(float, 'f') CPU_KIND(double, 'd') CPU_KIND(__half, 'e')
CPU_KIND(__nv_bfloat16, 'E') CPU_KIND(complex<float>, 'F') CPU_KIND(complex<double>, 'D') CPU_KIND(float2, 'F')
CPU_KIND(double2, 'D')
template <class T> struct Bare { typedef T type; static const char pointer = 0; };
template <class T> struct Bare<const T> : Bare<T> {};
template <class T> struct Bare<T*> { typedef typename Bare<T>::type type; static const char pointer = 1; };
template <class T> struct Bare<T* const> : Bare<T*> {};
template <class T> struct Bare<T* __restrict> : Bare<T*> {};
template <class T> struct Bare<T* const __restrict> : Bare<T*> {};
template <class T> struct Size { static const int value = sizeof(T); };
template <> struct Size<void> { static const int value = 1; };
template <int... I> struct List {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> { typedef List<I...> type; };
template <class T> struct Plain { typedef T type; };
template <class T> struct Plain<const T> { typedef T type; };
template <class... A, int... I> static inline void call(void (*f)(A...), void** args, List<I...>) {
    f(*(typename Plain<A>::type*)args[I]...);
}
template <class... A> static inline void call(void (*f)(A...), void** args) { call(f, args, typename Count<sizeof...(A)>::type()); }
// Per parameter: 'p' or 'v', the kind's character, the size.
template <class... A> static int describe(void (*)(A...), int* out) {
    int kinds[] = {0, (int)Kind<typename Bare<A>::type>::value...};
    int pointers[] = {0, (int)Bare<A>::pointer...};
    int sizes[] = {0, Size<typename Bare<A>::type>::value...};
    for (unsigned int i = 0; i < sizeof...(A); i++) {
        out[3 * i] = pointers[i + 1];
        out[3 * i + 1] = kinds[i + 1];
        out[3 * i + 2] = sizes[i + 1];
    }
    return sizeof...(A);
}
}  // namespace cpu
#define CPU_EXPORT(NUMBER, ...)                                                                                   \
    static void cpu_body_##NUMBER(void** args) { cpu::call(__VA_ARGS__, args); }                                   \
    extern "C" const char* cpu_launch_##NUMBER(void** args, const unsigned int* shape, unsigned int shared,        \
                                               unsigned long long seed, int barriers) {                            \
        return cpu::launch(cpu_body_##NUMBER, args, shape, shared, seed, barriers);                                \
    }                                                                                                             \
    extern "C" int cpu_describe_##NUMBER(int* out) { return cpu::describe(__VA_ARGS__, out); }
