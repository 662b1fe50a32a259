// One time step of a recurrent layer: all that comes after the product with the weight, and all that comes before it on the way back.
//
// x is (time, rows, gates * w); of its rows the first n run at step t. Of those the first m come from step s, the others begin.

template <typename A> __device__ A sigmoid(A a) { return A(0.5) * tanh(A(0.5) * a) + A(0.5); }

// The element of row r and column k of step t, of each ``parts`` arrays (time, parts, rows, w) the j-th.
#define AT(t, parts, j) ((((t) * (parts) + (j)) * rows + r) * w + k)
// The same of gates that lie side by side, (time, rows, parts * w).
#define GATE(t, parts, j) (((t) * rows + r) * (parts) * w + (j) * w + k)

template <typename T>
__global__ void rnn_step(const T* x, const T* product, T* h, T* y, Index t, Index n, Index rows, Index w, bool relu) {
    typedef typename Wide<T>::type A;
    EACH(i, n * w) {
        const Index r = i / w, k = i % w;
        const A z = A(x[GATE(t, 1, 0)]) + A(product[i]);
        y[AT(t, 1, 0)] = h[i] = T(relu ? (z <= A(0) ? A(0) : z) : tanh(z));
    }
}

template <typename T>
__global__ void rnn_step_grad(
    const T* gy, const T* gh, const T* y, T* z, Index t, Index n, Index rows, Index w, bool relu
) {
    typedef typename Wide<T>::type A;
    EACH(i, n * w) {
        const Index r = i / w, k = i % w;
        const A value = A(y[AT(t, 1, 0)]), d = A(gh[i]) + A(gy[AT(t, 1, 0)]);
        z[GATE(t, 1, 0)] = T(relu ? (value > A(0) ? d : A(0)) : d * (A(1) - value * value));
    }
}

template <typename T>
__global__ void lstm_step(
    const T* x, const T* product, T* h, T* c, T* y, T* steps, Index t, Index n, Index rows, Index w
) {
    typedef typename Wide<T>::type A;
    EACH(at, n * w) {
        const Index r = at / w, k = at % w;
        const A i = sigmoid(A(x[GATE(t, 4, 0)]) + A(product[GATE(0, 4, 0)]));
        const A f = sigmoid(A(x[GATE(t, 4, 1)]) + A(product[GATE(0, 4, 1)]));
        const A g = tanh(A(x[GATE(t, 4, 2)]) + A(product[GATE(0, 4, 2)]));
        const A o = sigmoid(A(x[GATE(t, 4, 3)]) + A(product[GATE(0, 4, 3)]));
        const A cell = f * A(c[at]) + i * g;
        const A parts[5] = {i, f, g, o, cell};
        for (int j = 0; j < 5; j++) steps[AT(t, 5, j)] = T(parts[j]);
        c[at] = T(cell);
        y[AT(t, 1, 0)] = h[at] = T(o * tanh(cell));
    }
}

template <typename T>
__global__ void lstm_step_grad(
    const T* gy, const T* gh, T* gc, const T* c, const T* steps, T* z, Index t, Index n, Index s, Index m, Index rows,
    Index w
) {
    typedef typename Wide<T>::type A;
    EACH(at, n * w) {
        const Index r = at / w, k = at % w;
        const A i = A(steps[AT(t, 5, 0)]), f = A(steps[AT(t, 5, 1)]), g = A(steps[AT(t, 5, 2)]), o = A(steps[AT(t, 5, 3)]);
        const A squashed = tanh(A(steps[AT(t, 5, 4)])), d = A(gh[at]) + A(gy[AT(t, 1, 0)]);
        const A dc = A(gc[at]) + d * o * (A(1) - squashed * squashed);
        const A before = A(r < m ? steps[AT(s, 5, 4)] : c[at]);
        z[GATE(t, 4, 0)] = T(dc * g * i * (A(1) - i));
        z[GATE(t, 4, 1)] = T(dc * before * f * (A(1) - f));
        z[GATE(t, 4, 2)] = T(dc * i * (A(1) - g * g));
        z[GATE(t, 4, 3)] = T(d * squashed * o * (A(1) - o));
        gc[at] = T(dc * f);
    }
}

template <typename T>
__global__ void gru_step(
    const T* x, const T* product, const T* bias, T* h, T* y, T* steps, Index t, Index n, Index rows, Index w
) {
    typedef typename Wide<T>::type A;
    EACH(i, n * w) {
        const Index r = i / w, k = i % w;
        A p[3];
        for (int j = 0; j < 3; j++) p[j] = A(product[GATE(0, 3, j)]) + (bias ? A(bias[j * w + k]) : A(0));
        const A reset = sigmoid(A(x[GATE(t, 3, 0)]) + p[0]), z = sigmoid(A(x[GATE(t, 3, 1)]) + p[1]);
        const A made = tanh(A(x[GATE(t, 3, 2)]) + reset * p[2]);
        const A parts[4] = {reset, z, made, p[2]};
        for (int j = 0; j < 4; j++) steps[AT(t, 4, j)] = T(parts[j]);
        y[AT(t, 1, 0)] = h[i] = T(made + z * (A(h[i]) - made));
    }
}

// gh becomes what does not go through the product.
template <typename T>
__global__ void gru_step_grad(
    const T* gy, T* gh, const T* h, const T* y, const T* steps, T* xs, T* hs, Index t, Index n, Index s, Index m, Index rows,
    Index w
) {
    typedef typename Wide<T>::type A;
    EACH(i, n * w) {
        const Index r = i / w, k = i % w;
        const A reset = A(steps[AT(t, 4, 0)]), z = A(steps[AT(t, 4, 1)]), made = A(steps[AT(t, 4, 2)]);
        const A product = A(steps[AT(t, 4, 3)]), before = A(r < m ? y[AT(s, 1, 0)] : h[i]);
        const A d = A(gh[i]) + A(gy[AT(t, 1, 0)]), dn = d * (A(1) - z) * (A(1) - made * made);
        const A dr = dn * product * reset * (A(1) - reset), dz = d * (before - made) * z * (A(1) - z);
        xs[GATE(t, 3, 0)] = hs[GATE(t, 3, 0)] = T(dr);
        xs[GATE(t, 3, 1)] = hs[GATE(t, 3, 1)] = T(dz);
        xs[GATE(t, 3, 2)] = T(dn);
        hs[GATE(t, 3, 2)] = T(dn * reset);
        gh[i] = T(d * z);
    }
}
