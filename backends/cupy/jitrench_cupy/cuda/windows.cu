// Windows that slide over up to three axes: convolution, pooling, unfold and fold.
//
// Element k of the window's p-th position lies on element i of x where p * stride + k * dilation == i * spread + low; elsewhere it
// lies on padding. That is jitrench_nn's Axis, whose numbers come one by one.

struct Axis {
    Index length, kernel, stride, low, dilation, spread, out;

    // The element of x under element k of the window's position p; -1 on padding.
    __device__ Index under(Index p, Index k) const {
        const Index at = p * stride + k * dilation - low;
        return at < 0 || at % spread || at / spread >= length ? -1 : at / spread;
    }

    // The position at which element k of the window lies on i; -1 where there is none.
    __device__ Index over(Index i, Index k) const {
        const Index at = i * spread + low - k * dilation;
        return at < 0 || at % stride || at / stride >= out ? -1 : at / stride;
    }
};

#define AXIS(i) Index n##i, Index k##i, Index s##i, Index l##i, Index d##i, Index e##i, Index o##i
#define AXES AXIS(0), AXIS(1), AXIS(2)
#define GATHERED \
    const Axis a = {n0, k0, s0, l0, d0, e0, o0}, b = {n1, k1, s1, l1, d1, e1, o1}, c = {n2, k2, s2, l2, d2, e2, o2}; \
    const Index size = n0 * n1 * n2, window = k0 * k1 * k2, places = o0 * o1 * o2; \
    (void)size, (void)window, (void)places

// The place in x of element k of the window at position p, both in row-major order; -1 on padding.
__device__ Index under(const Axis& a, const Axis& b, const Axis& c, Index p, Index k) {
    const Index z = c.under(p % c.out, k % c.kernel);
    const Index y = b.under(p / c.out % b.out, k / c.kernel % b.kernel);
    const Index x = a.under(p / c.out / b.out, k / c.kernel / b.kernel);
    return x < 0 || y < 0 || z < 0 ? -1 : (x * b.length + y) * c.length + z;
}

// The position whose element k lies on place i of x; -1 where there is none.
__device__ Index over(const Axis& a, const Axis& b, const Axis& c, Index i, Index k) {
    const Index z = c.over(i % c.length, k % c.kernel);
    const Index y = b.over(i / c.length % b.length, k / c.kernel % b.kernel);
    const Index x = a.over(i / c.length / b.length, k / c.kernel / b.kernel);
    return x < 0 || y < 0 || z < 0 ? -1 : (x * b.out + y) * c.out + z;
}

// x (planes, size) as columns (planes, window, places), with zeros on padding.
template <typename T>
__global__ void columns(const T* x, T* y, Index planes, AXES) {
    GATHERED;
    EACH(i, planes * window * places) {
        const Index at = under(a, b, c, i % places, i / places % window);
        y[i] = at < 0 ? T(0) : x[i / places / window * size + at];
    }
}

// Columns (planes, window, places) added up at their places (planes, size).
template <typename T>
__global__ void folded(const T* x, T* y, Index planes, AXES) {
    typedef typename Wide<T>::type A;
    GATHERED;
    EACH(i, planes * size) {
        A sum = 0;
        for (Index k = 0; k < window; k++) {
            const Index p = over(a, b, c, i % size, k);
            if (p >= 0) sum += A(x[(i / size * window + k) * places + p]);
        }
        y[i] = T(sum);
    }
}

// A convolution without products of matrices: for few channels in each group. x is (n, groups * inner, size), weight
// (groups * outer, inner, window), y (n, groups * outer, places).
template <typename T>
__global__ void direct(const T* x, const T* weight, T* y, Index n, Index groups, Index inner, Index outer, AXES) {
    typedef typename Wide<T>::type A;
    GATHERED;
    EACH(i, n * groups * outer * places) {
        const Index p = i % places, o = i / places % (groups * outer), example = i / places / (groups * outer);
        const T* image = x + (example * groups + o / outer) * inner * size;
        A sum = 0;
        for (Index k = 0; k < window; k++) {
            const Index at = under(a, b, c, p, k);
            if (at < 0) continue;
            for (Index j = 0; j < inner; j++) sum += A(weight[(o * inner + j) * window + k]) * A(image[j * size + at]);
        }
        y[i] = T(sum);
    }
}

// The largest element of each window, and its number: of equal ones the first, of NaNs the last. ``lowest`` is what padding holds.
template <typename T>
__global__ void max_pool(const T* x, T* y, int* index, double lowest, Index planes, AXES) {
    GATHERED;
    EACH(i, planes * places) {
        const T* plane = x + i / places * size;
        T best = T(lowest);
        int place = 0;
        bool found = false;
        for (Index k = 0; k < window; k++) {
            const Index at = under(a, b, c, i % places, k);
            if (at < 0) continue;
            const T value = plane[at];
            if (found && !(value > best) && value == value) continue;
            best = value;
            place = int(k);
            found = true;
        }
        y[i] = best;
        index[i] = place;
    }
}

// Each window's x at its element ``index``, added up at the places: each place looks for the windows that chose it.
template <typename T, typename I>
__global__ void pool_scatter(const T* x, const I* index, T* y, Index planes, AXES) {
    typedef typename Wide<T>::type A;
    GATHERED;
    EACH(i, planes * size) {
        A sum = 0;
        for (Index k = 0; k < window; k++) {
            const Index p = over(a, b, c, i % size, k), at = i / size * places + p;
            if (p >= 0 && Index(index[at]) == k) sum += A(x[at]);
        }
        y[i] = T(sum);
    }
}

template <typename T, typename I>
__global__ void pool_gather(const T* x, const I* index, T* y, Index planes, AXES) {
    GATHERED;
    EACH(i, planes * places) {
        const Index k = Index(index[i]), at = k < 0 || k >= window ? -1 : under(a, b, c, i % places, k);
        y[i] = at < 0 ? T(0) : x[i / places * size + at];
    }
}

// x (outer, length, inner) as sums of ``width`` elements of x, by their places and weights, (outer, height, inner). A weight of 0 stands for no
// element.
template <typename T>
__global__ void resample(
    const T* x, const Index* places, const double* weights, T* y, Index outer, Index length, Index height, Index inner,
    Index width
) {
    typedef typename Wide<T>::type A;
    EACH(i, outer * height * inner) {
        const Index row = i / inner % height;
        A sum = 0;
        for (Index t = 0; t < width; t++) {
            const A weight = A(weights[row * width + t]);
            if (weight != A(0)) sum += weight * A(x[(i / inner / height * length + places[row * width + t]) * inner + i % inner]);
        }
        y[i] = T(sum);
    }
}
