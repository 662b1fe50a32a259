// Functions of the rows of a matrix: of each row some sums are taken, and then each element is computed from them.
//
// blockDim.x threads share a row: one warp, of which a block has several, or all warps of a block. Sums are added up in the same order
// each time. All arrays are contiguous; y may be x. The bounds keep a thread's registers so few that 1024 of them fit.

#define ROWS(r, rows) \
    for (Index r = blockIdx.x * (Index)blockDim.y + threadIdx.y; r < rows; r += gridDim.x * (Index)blockDim.y)
#define COLUMNS(i, n) for (Index i = threadIdx.x; i < n; i += blockDim.x)

struct Sum {
    template <typename A> __device__ A operator()(A a, A b) const { return a + b; }
};
struct Largest {
    template <typename A> __device__ A operator()(A a, A b) const { return a > b ? a : b; }
};

// f over what all threads of a row hold; each of them gets it.
template <typename A, typename F>
__device__ A across(A a, F f) {
    for (int k = 16; k; k /= 2) a = f(a, __shfl_xor_sync(0xffffffff, a, k));
    if (blockDim.x == 32) return a;
    __shared__ A of_warps[32];
    __syncthreads();  // the call before this one has been read
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = a;
    __syncthreads();
    a = of_warps[0];
    for (int i = 1; i < blockDim.x / 32; i++) a = f(a, of_warps[i]);
    return a;
}

template <typename A, typename T>
__device__ A largest(const T* x, Index n) {
    A top = -INFINITY;
    COLUMNS(i, n) top = Largest()(top, A(x[i]));
    return across(top, Largest());
}

template <typename A, typename T>
__device__ A sum_of_exp(const T* x, Index n, A top) {
    A sum = 0;
    COLUMNS(i, n) sum += exp(A(x[i]) - top);
    return across(sum, Sum());
}

// Where queries is above 0, row r sees its first r % queries + 1 elements alone, and the weight of the others is 0: causal attention.
template <typename T>
__global__ __launch_bounds__(1024) void softmax(const T* x, T* y, Index rows, Index n, Index queries) {
    typedef typename Wide<T>::type A;
    ROWS(r, rows) {
        const Index seen = queries && r % queries < n ? r % queries + 1 : n;
        const A top = largest<A>(x + r * n, seen), sum = sum_of_exp(x + r * n, seen, top);
        COLUMNS(i, n) y[r * n + i] = T(i < seen ? exp(A(x[r * n + i]) - top) / sum : A(0));
    }
}

template <typename T>
__global__ __launch_bounds__(1024) void log_softmax(const T* x, T* y, Index rows, Index n) {
    typedef typename Wide<T>::type A;
    ROWS(r, rows) {
        const A top = largest<A>(x + r * n, n), log_sum = log(sum_of_exp(x + r * n, n, top));
        COLUMNS(i, n) y[r * n + i] = T(A(x[r * n + i]) - top - log_sum);
    }
}

// Of no element, or where all are -inf, it is -inf.
template <typename T>
__global__ __launch_bounds__(1024) void logsumexp(const T* x, T* y, Index rows, Index n) {
    typedef typename Wide<T>::type A;
    ROWS(r, rows) {
        A top = largest<A>(x + r * n, n);
        if (!isfinite(top)) top = 0;
        const A sum = sum_of_exp(x + r * n, n, top);
        if (threadIdx.x == 0) y[r] = T(sum == 0 ? A(-INFINITY) : log(sum) + top);
    }
}

// What the gradient of softmax(scale * x) for x is, from that of y.
template <typename T>
__global__ __launch_bounds__(1024) void softmax_grad(const T* y, const T* g, T* out, Index rows, Index n, double scale) {
    typedef typename Wide<T>::type A;
    ROWS(r, rows) {
        A sum = 0;
        COLUMNS(i, n) sum += A(y[r * n + i]) * A(g[r * n + i]);
        sum = across(sum, Sum());
        COLUMNS(i, n) out[r * n + i] = T(A(y[r * n + i]) * (A(g[r * n + i]) - sum) * A(scale));
    }
}

// A class beyond the row gives NaN.
template <typename T, typename I>
__global__ __launch_bounds__(1024) void log_softmax_at(const T* x, const I* target, T* y, T* normalizer, Index rows, Index n) {
    typedef typename Wide<T>::type A;
    ROWS(r, rows) {
        const A top = largest<A>(x + r * n, n), all = top + log(sum_of_exp(x + r * n, n, top));
        if (threadIdx.x == 0) {
            const Index given = Index(target[r]), at = given < 0 ? given + n : given;
            y[r] = T(0 <= at && at < n ? A(x[r * n + at]) - all : A(NAN));
            normalizer[r] = T(all);
        }
    }
}

template <typename T, typename I>
__global__ __launch_bounds__(1024) void log_softmax_at_grad(
    const T* v, const T* x, const I* target, const T* normalizer, T* y, Index rows, Index n
) {
    typedef typename Wide<T>::type A;
    ROWS(r, rows) {
        const A g = A(v[r]), all = A(normalizer[r]);
        COLUMNS(i, n) y[r * n + i] = T((i == Index(target[r]) ? g : A(0)) - g * exp(A(x[r * n + i]) - all));
    }
}

// weight and bias, either of which may be null, have an element for each column, or for each row.
template <typename T>
__global__ __launch_bounds__(1024) void layer_norm(
    const T* x, const T* weight, const T* bias, T* y, T* mean_of, T* rstd_of, Index rows, Index n, double eps,
    bool weight_by_row, bool bias_by_row
) {
    typedef typename Wide<T>::type A;
    ROWS(r, rows) {
        A sum = 0;
        COLUMNS(i, n) sum += A(x[r * n + i]);
        const A mean = across(sum, Sum()) / A(n);
        sum = 0;
        COLUMNS(i, n) {
            const A d = A(x[r * n + i]) - mean;
            sum += d * d;
        }
        const A rstd = A(1) / sqrt(across(sum, Sum()) / A(n) + A(eps));
        COLUMNS(i, n) {
            A a = (A(x[r * n + i]) - mean) * rstd;
            if (weight) a *= A(weight[weight_by_row ? r : i]);
            if (bias) a += A(bias[bias_by_row ? r : i]);
            y[r * n + i] = T(a);
        }
        if (threadIdx.x == 0) {
            mean_of[r] = T(mean);
            rstd_of[r] = T(rstd);
        }
    }
}

// The gradient for x; and of each row the sums of v * normalized and of v.
template <typename T, typename A>
__global__ __launch_bounds__(1024) void layer_norm_grad(
    const T* v, const T* x, const T* mean_of, const T* rstd_of, const T* weight, T* x_grad, A* sums, Index rows, Index n,
    bool weight_by_row
) {
    ROWS(r, rows) {
        const A mean = A(mean_of[r]), rstd = A(rstd_of[r]);
        A vn = 0, vs = 0, hn = 0, hs = 0;  // h is v * weight
        COLUMNS(i, n) {
            const A g = A(v[r * n + i]), normalized = (A(x[r * n + i]) - mean) * rstd;
            const A h = weight ? g * A(weight[weight_by_row ? r : i]) : g;
            vn += g * normalized;
            vs += g;
            hn += h * normalized;
            hs += h;
        }
        vn = across(vn, Sum());
        vs = across(vs, Sum());
        hn = across(hn, Sum()) / A(n);
        hs = across(hs, Sum()) / A(n);
        COLUMNS(i, n) {
            const A g = A(v[r * n + i]), normalized = (A(x[r * n + i]) - mean) * rstd;
            const A h = weight ? g * A(weight[weight_by_row ? r : i]) : g;
            x_grad[r * n + i] = T(rstd * (h - hs - normalized * hn));
        }
        if (threadIdx.x == 0) {
            sums[r] = vn;
            sums[rows + r] = vs;
        }
    }
}

// Of each column the sums of v * normalized and of v, over the rows that blockIdx.y has: a thread a column.
template <typename T, typename A>
__global__ __launch_bounds__(1024) void layer_norm_columns(
    const T* v, const T* x, const T* mean_of, const T* rstd_of, A* sums, Index rows, Index n, Index height
) {
    const Index first = blockIdx.y * height, last = first + height < rows ? first + height : rows;
    EACH(i, n) {
        A vn = 0, vs = 0;
        for (Index r = first; r < last; r++) {
            const A g = A(v[r * n + i]);
            vn += g * (A(x[r * n + i]) - A(mean_of[r])) * A(rstd_of[r]);
            vs += g;
        }
        sums[blockIdx.y * n + i] = vn;
        sums[(gridDim.y + blockIdx.y) * n + i] = vs;
    }
}
