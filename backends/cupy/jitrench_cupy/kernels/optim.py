"""Steps of optimizers: one kernel over the elements, and one before it, of a single thread, for the numbers that all elements share.

Learning rates and counts stay on the GPU. Donated arrays that own their memory are written in place; otherwise new ones are made.
LAMB takes two norms between its two kernels. Muon's and Adafactor's steps are products of matrices and sums: the ops' own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cupy as cp

from .elementwise import WIDE, fits

Betas = tuple[float, float]

# The first lines of most formulas: the gradient, uphill or down, with weight decay; p, or the gradient, decayed; two averages.
DOWNHILL = "const A x = A(p), g = A(maximize ? -1 : 1) * A(grad) + (weight_decay ? A(weight_decay) * x : A(0));"
DECAYED = (
    "const A x = decoupled ? A(p) * A(1 - lr * weight_decay) : A(p);"
    "const A g = A(maximize ? -1 : 1) * A(grad) + (decoupled || !weight_decay ? A(0) : A(weight_decay) * x);"
)
AVERAGES = (
    "const A m = A(mean) + A(1 - beta1) * (g - A(mean)), v = A(beta2) * A(square) + A(1 - beta2) * (g * g);"
    "new_mean = T(m); new_square = T(v);"
)


@cache
def _step(name: str, slots: str, attributes: str, body: str) -> Any:
    """A kernel over p, the gradient and ``slots``, which makes p and the slots anew."""
    takes = [f"T {a}" for a in ("p", "grad", *slots.split())]
    gives = ", ".join(f"T new_{a}" for a in ("p", *slots.split()))
    body = f"typedef typename Wide<T>::type A; {body}"
    return cp.ElementwiseKernel(f"{', '.join(takes)}, {attributes}", gives, body, f"jitrench_{name}", preamble=WIDE)


@cache
def _numbers(name: str, takes: str, gives: str, body: str) -> Any:
    """A kernel of one thread: of the learning rate ``lr`` and the count ``steps`` the next count and more, in float64."""
    body = f"const double t = double(steps) + 1; next = t; {body}"
    return cp.ElementwiseKernel(
        f"L lr, S steps, {takes}", f"S next, {gives}", body, f"jitrench_{name}_numbers", preamble=WIDE
    )


@cache
def _squares() -> Any:
    return cp.ReductionKernel("T x", "float64 y", "double(x) * double(x)", "a + b", "y = a", "0", "jitrench_squares")


@cache
def _rate() -> Any:
    body = "rate = lr * (size > 0 && move > 0 ? sqrt(size / move) : 1.0)"
    return cp.ElementwiseKernel("L lr, float64 size, float64 move", "float64 rate", body, "jitrench_lamb_rate")


def _alike(numbers: tuple[Any, ...], *arrays: Any) -> bool:
    """Whether those that are not None have one shape, and one dtype, real and floating; and all of ``numbers`` have dtypes."""
    there = [a for a in arrays if a is not None]
    return fits(*there) and all(a.shape == there[0].shape for a in there) and all(hasattr(x, "dtype") for x in numbers)


def _run(
    kernel: Any, donated: bool, written: tuple[Any, ...], grad: Any, *numbers: Any, out: Any = None
) -> tuple[Any, ...]:
    """The new p and slots of ``written``: in their own memory where they were donated and own it, whole and in order; p in ``out``."""
    p, *slots = written
    # A number is never donated: others may hold its array.
    here = donated and all(a.ndim and a.flags.owndata and a.flags.c_contiguous for a in written)
    made = written if here else tuple(cp.empty(a.shape, a.dtype) for a in written)
    made = made if out is None else (out, *made[1:])
    kernel(p, grad, *slots, *numbers, *made)
    return made


# -- momentum -----------------------------------------------------------------------------------------------------------


def sgd_step(
    p: Any,
    grad: Any,
    lr: Any,
    velocity: Any = None,
    steps: Any = None,
    /,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``sgd_step``."""
    if not _alike((lr,), p, grad, velocity):
        return NotImplemented
    shared = (lr, float(weight_decay), maximize)
    takes = "L lr, float64 weight_decay, bool maximize"
    if velocity is None:
        plain = _step("sgd", "", takes, f"{DOWNHILL} new_p = T(x - A(lr) * g);")
        return *_run(plain, donated, (p,), grad, *shared), grad, grad
    kernel = _step(
        "sgd_momentum",
        "velocity",
        f"{takes}, S steps, float64 momentum, float64 dampening, bool nesterov",
        f"{DOWNHILL} const A v = A(momentum) * A(velocity) + A(steps > 0 ? 1 - dampening : 1) * g;"
        "new_velocity = T(v); new_p = T(x - A(lr) * (nesterov ? g + A(momentum) * v : v));",
    )
    count, dampening = (lr, 0.0) if steps is None else (steps, dampening)  # the first velocity is not dampened
    numbers = (*shared, count, float(momentum), float(dampening), nesterov)
    return *_run(kernel, donated, (p, velocity), grad, *numbers), grad if steps is None else steps + 1.0


def lion_step(
    p: Any,
    grad: Any,
    lr: Any,
    mean: Any,
    /,
    *,
    betas: Betas = (0.9, 0.99),
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``lion_step``."""
    if not _alike((lr,), p, grad, mean):
        return NotImplemented
    kernel = _step(
        "lion",
        "mean",
        "L lr, float64 beta1, float64 beta2, float64 weight_decay, bool maximize",
        "const A x = A(p), g = A(maximize ? -1 : 1) * A(grad), d = A(beta1) * A(mean) + A(1 - beta1) * g;"
        "const A sign = d > A(0) ? A(1) : d < A(0) ? A(-1) : d;"
        "new_mean = T(A(beta2) * A(mean) + A(1 - beta2) * g); new_p = T(x - A(lr) * (weight_decay ? sign + A(weight_decay) * x : sign));",
    )
    return _run(kernel, donated, (p, mean), grad, lr, *map(float, betas), float(weight_decay), maximize)


# -- Adam and its descendants -------------------------------------------------------------------------------------------

ADAM = "L lr, float64 beta1, float64 beta2, float64 eps, float64 weight_decay, bool decoupled, bool maximize"


def adam_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    largest: Any = None,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``adam_step``."""
    if not _alike((lr, steps), p, grad, mean, square, largest):
        return NotImplemented
    shared = (*map(float, betas), float(eps), float(weight_decay), decoupled_weight_decay, maximize)
    steps, size, root = _numbers(
        "adam",
        "float64 beta1, float64 beta2",
        "float64 size, float64 root",
        "size = lr / (1 - pow(beta1, t)); root = 1 / sqrt(1 - pow(beta2, t));",
    )(lr, steps, *shared[:2])
    top = "const A top = v;"
    if largest is not None:
        top = "const A l = A(largest), top = l > v || l != l ? l : v; new_largest = T(top);"
    kernel = _step(
        "adam" if largest is None else "amsgrad",
        "mean square" if largest is None else "mean square largest",
        f"{ADAM}, float64 size, float64 root",
        f"{DECAYED} {AVERAGES} {top} new_p = T(x - A(size) * m / (sqrt(top) * A(root) + A(eps)));",
    )
    written = (p, mean, square) if largest is None else (p, mean, square, largest)
    p, *slots = _run(kernel, donated, written, grad, lr, *shared, size, root)
    return p, steps, *slots, *((grad,) if largest is None else ())


def nadam_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    product: Any,
    mean: Any,
    square: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``nadam_step``."""
    if not _alike((lr, steps, product), p, grad, mean, square):
        return NotImplemented
    shared = (*map(float, betas), float(eps), float(weight_decay), decoupled_weight_decay, maximize)
    steps, product, here, ahead, share = _numbers(
        "nadam",
        "R product, float64 beta1, float64 beta2, float64 momentum_decay",
        "R new_product, float64 here, float64 ahead, float64 share",
        "const double now = beta1 * (1 - 0.5 * pow(0.96, t * momentum_decay));"
        "const double then = beta1 * (1 - 0.5 * pow(0.96, (t + 1) * momentum_decay)), all = product * now;"
        "new_product = all; here = lr * (1 - now) / (1 - all); ahead = lr * then / (1 - all * then);"
        "share = 1 / (1 - pow(beta2, t));",
    )(lr, steps, product, *shared[:2], float(momentum_decay))
    kernel = _step(
        "nadam",
        "mean square",
        f"{ADAM}, float64 here, float64 ahead, float64 share",
        f"{DECAYED} {AVERAGES} new_p = T(x - (A(here) * g + A(ahead) * m) / (sqrt(v * A(share)) + A(eps)));",
    )
    p, mean, square = _run(kernel, donated, (p, mean, square), grad, lr, *shared, here, ahead, share)
    return p, steps, product, mean, square


def radam_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``radam_step``."""
    if not _alike((lr, steps), p, grad, mean, square):
        return NotImplemented
    shared = (*map(float, betas), float(eps), float(weight_decay), decoupled_weight_decay, maximize)
    steps, size, root = _numbers(
        "radam",
        "float64 beta1, float64 beta2",
        "float64 size, float64 root",  # root is 0 where the average is too short
        "const double longest = 2 / (1 - beta2) - 1, rest = 1 - pow(beta2, t);"
        "const double length = longest - 2 * t * (1 - rest) / rest;"
        "size = lr / (1 - pow(beta1, t));"
        "root = length > 5 ? sqrt(rest * (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) : 0;",
    )(lr, steps, *shared[:2])
    kernel = _step(
        "radam",
        "mean square",
        f"{ADAM}, float64 size, float64 root",
        f"{DECAYED} {AVERAGES} new_p = T(x - A(size) * m * (root > 0 ? A(root) / (sqrt(v) + A(eps)) : A(1)));",
    )
    p, mean, square = _run(kernel, donated, (p, mean, square), grad, lr, *shared, size, root)
    return p, steps, mean, square


def adamax_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    largest: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``adamax_step``."""
    if not _alike((lr, steps), p, grad, mean, largest):
        return NotImplemented
    beta1, beta2 = map(float, betas)
    steps, size = _numbers("adamax", "float64 beta1", "float64 size", "size = lr / (1 - pow(beta1, t));")(
        lr, steps, beta1
    )
    kernel = _step(
        "adamax",
        "mean largest",
        "float64 beta1, float64 beta2, float64 eps, float64 weight_decay, bool maximize, float64 size",
        f"{DOWNHILL} const A m = A(mean) + A(1 - beta1) * (g - A(mean));"
        "const A l = A(beta2) * A(largest), s = (g < A(0) ? -g : g) + A(eps), top = l > s || l != l ? l : s;"
        "new_mean = T(m); new_largest = T(top); new_p = T(x - A(size) * m / top);",
    )
    numbers = (beta1, beta2, float(eps), float(weight_decay), maximize, size)
    p, mean, largest = _run(kernel, donated, (p, mean, largest), grad, *numbers)
    return p, steps, mean, largest


def lamb_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    mean: Any,
    square: Any,
    /,
    *,
    betas: Betas = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 1e-2,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``lamb_step``."""
    if not _alike((lr, steps), p, grad, mean, square):
        return NotImplemented
    beta1, beta2 = map(float, betas)
    steps, share1, share2 = _numbers(
        "lamb",
        "float64 beta1, float64 beta2",
        "float64 share1, float64 share2",
        "share1 = 1 / (1 - pow(beta1, t)); share2 = 1 / (1 - pow(beta2, t));",
    )(lr, steps, beta1, beta2)
    kernel = _step(
        "lamb_moves",  # its new p is how p moves
        "mean square",
        "float64 beta1, float64 beta2, float64 eps, float64 weight_decay, bool maximize, float64 share1, float64 share2",
        f"const A g = A(maximize ? -1 : 1) * A(grad); {AVERAGES}"
        "new_p = T(m * A(share1) / (sqrt(v * A(share2)) + A(eps)) + A(weight_decay) * A(p));",
    )
    numbers = (beta1, beta2, float(eps), float(weight_decay), maximize, share1, share2)
    moves, mean, square = _run(kernel, donated, (p, mean, square), grad, *numbers, out=cp.empty(p.shape, p.dtype))
    rate = _rate()(lr, _squares()(p), _squares()(moves))
    kernel = _step("lamb", "", "float64 rate", "new_p = T(A(p) - A(rate) * A(grad));")
    (p,) = _run(kernel, donated, (p,), moves, rate)
    return p, steps, mean, square


# -- squares ------------------------------------------------------------------------------------------------------------


def adagrad_step(
    p: Any,
    grad: Any,
    lr: Any,
    steps: Any,
    total: Any,
    /,
    *,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``adagrad_step``."""
    if not _alike((lr, steps), p, grad, total):
        return NotImplemented
    steps, rate = _numbers(
        "adagrad", "float64 lr_decay", "float64 rate", "rate = lr / (1 + double(steps) * lr_decay);"
    )(lr, steps, float(lr_decay))
    kernel = _step(
        "adagrad",
        "total",
        "float64 weight_decay, float64 eps, bool maximize, float64 rate",
        f"{DOWNHILL} const A s = A(total) + g * g;new_total = T(s); new_p = T(x - A(rate) * g / (sqrt(s) + A(eps)));",
    )
    p, total = _run(kernel, donated, (p, total), grad, float(weight_decay), float(eps), maximize, rate)
    return p, steps, total


def rmsprop_step(
    p: Any,
    grad: Any,
    lr: Any,
    square: Any,
    mean: Any = None,
    velocity: Any = None,
    /,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``rmsprop_step``."""
    if not _alike((lr,), p, grad, square, mean, velocity):
        return NotImplemented
    body = f"{DOWNHILL} const A v = A(alpha) * A(square) + A(1 - alpha) * (g * g); new_square = T(v);"
    if mean is None:
        body += "const A spread = v;"
    else:  # a variance near 0 may round below it
        body += (
            "const A m = A(mean) + A(1 - alpha) * (g - A(mean)), s = v - m * m, spread = s < A(0) ? A(0) : s;"
            "new_mean = T(m);"
        )
    body += "A moves = g / (sqrt(spread) + A(eps));"
    if velocity is not None:
        body += "moves += A(momentum) * A(velocity); new_velocity = T(moves);"
    names = {"square": square, "mean": mean, "velocity": velocity}
    there = {n: a for n, a in names.items() if a is not None}
    kernel = _step(
        "_".join(("rmsprop", *there)),
        " ".join(there),
        "L lr, float64 alpha, float64 eps, float64 weight_decay, float64 momentum, bool maximize",
        f"{body} new_p = T(x - A(lr) * moves);",
    )
    numbers = (float(alpha), float(eps), float(weight_decay), float(momentum), maximize)
    p, *made = _run(kernel, donated, (p, *there.values()), grad, lr, *numbers)
    new = dict(zip(there, made, strict=True))
    return p, *(new.get(n, grad) for n in names)


def adadelta_step(
    p: Any,
    grad: Any,
    lr: Any,
    square: Any,
    change: Any,
    /,
    *,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
    donated: bool = False,
) -> Any:
    """The op ``adadelta_step``."""
    if not _alike((lr,), p, grad, square, change):
        return NotImplemented
    kernel = _step(
        "adadelta",
        "square change",
        "L lr, float64 rho, float64 eps, float64 weight_decay, bool maximize",
        f"{DOWNHILL} const A v = A(rho) * A(square) + A(1 - rho) * (g * g), c = A(change);"
        "const A moves = sqrt(c + A(eps)) / sqrt(v + A(eps)) * g;"
        "new_square = T(v); new_change = T(A(rho) * c + A(1 - rho) * (moves * moves)); new_p = T(x - A(lr) * moves);",
    )
    numbers = (lr, float(rho), float(eps), float(weight_decay), maximize)
    return _run(kernel, donated, (p, square, change), grad, *numbers)
