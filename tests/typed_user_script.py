"""A script as a user writes it: ``mypy --strict`` accepts it, and the tests run it."""

from __future__ import annotations

import jitrench_core as jt
from jitrench_core import Tensor


def model(w: Tensor, x: Tensor) -> Tensor:
    hidden = jt.tanh(x @ w + 1.0)
    return jt.mean(hidden**2, axis=0)


@jt.op(elementwise=True, vjp={"x": lambda g, x: g / (1 + abs(x)) ** 2})
def softsign(xp: jt.Namespace, x: jt.ArrayLike, /) -> jt.ArrayLike:
    """x / (1 + |x|), elementwise."""
    return x / (1 + xp.abs(x))


def main() -> float:
    w = jt.tensor([[0.5, -0.5], [1.0, 2.0]], requires_grad=True, name="w")
    x = jt.asarray([[1.0, 2.0], [3.0, 4.0]])
    loss: Tensor = (2.0 * model(w, x) - softsign(x)[0]).sum()
    loss.backward()
    gradient: Tensor | None = w.grad
    assert gradient is not None
    with jt.no_grad():
        w -= 0.1 * gradient
    second: Tensor = jt.grad(jt.grad(lambda t: t**3))(2.0)
    value, slope = jt.jvp(jt.sin, (0.0,), (1.0,))
    rows: Tensor = jt.vmap(lambda row: jt.sum(row, keepdims=True))(x)
    kept: Tensor = jt.clip(jt.concat([x, x], axis=1), min=0.0).reshape(-1)
    scale: Tensor = jt.linalg.svd(x, full_matrices=False).S * jt.max(kept, axis=0)
    print(scale, w.shape, w.dtype, w.device, float(second), value, slope, rows[0, 0].item())
    return float(loss)


if __name__ == "__main__":
    main()
