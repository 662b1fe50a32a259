"""A model is a plain function that calls layers: ``init`` makes its parameters, ``apply`` runs it on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jitrench_core as jt
from jitrench_core.dtypes import dtype as as_dtype
from jitrench_core.layer import Layer, LayerError, Scope, as_tensors, explain_input

Params = dict[str, Any]


def init(
    model: Callable[..., Any], *examples: Any, seed: int = 0, dtype: Any = None, device: Any = None, **kwargs: Any
) -> Params:
    """Run ``model`` once on examples of its inputs, and return the parameters that it needs.

    An example is a shape, in which None stands for a length that does not matter, ``(None, 784)``; or a Tensor or an
    array. Shapes of parameters follow from it. They take the dtype and device of the first floating-point Tensor or array,
    else float64 on the default device; ``dtype`` and ``device`` say otherwise. Other keywords go to the model as they are. The result is a dict in the order of use,
    ``{"Linear_1": {"weight": Tensor, "bias": Tensor}, "Linear_2": ...}``, of leaf Tensors named ``"Linear_1.weight"``; where the model is
    itself a layer, its own parameters and the layers in its attributes stand at the top. One
    ``seed`` gives the same numbers on every backend.

    Raises ``LayerError`` for an example that is neither, for a model that cannot be called, and whatever the model raises on inputs of these shapes.

    >>> import jitrench_nn as nn
    >>> params = nn.init(lambda x: nn.Linear(2)(x), (None, 3), seed=0)
    >>> {name: tensor.shape for name, tensor in params["Linear_1"].items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    _check_model("init(model, *examples)", model)
    arrays = [jt.asarray(e) for e in (*examples, *kwargs.values()) if hasattr(e, "shape")]
    if dtype is None:
        dtype = next((a.dtype for a in arrays if a.dtype.kind == "f"), jt.float64)
    if device is None and arrays:
        device = arrays[0].device
    inputs = [as_input(e, i, dtype, device) for i, e in enumerate(examples)]
    if not inputs and not kwargs:
        raise LayerError("init() needs an example of the model's input: nn.init(model, (None, 784)), or a Tensor")
    tree: Params = {}
    generator = jt.random.Generator(seed, device=device)
    scope = Scope(tree, generator=generator, dtype=as_dtype(dtype), device=device, model=_root(model))
    with jt.no_grad(), scope:
        model(*inputs, **_named(kwargs))
    return tree


def _named(inputs: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments, with Tensors in the places of arrays."""
    return dict(zip(inputs, as_tensors(tuple(inputs.values())), strict=True))


def _root(model: Any) -> Layer | None:
    """The layer that owns the whole tree, where the model is one."""
    return model if isinstance(model, Layer) else None


def as_input(example: Any, i: int, dtype: Any, device: Any) -> jt.Tensor:
    """An input of the model: the example itself, or zeros of its shape; where that says None, of length 1."""
    if hasattr(example, "shape"):
        x = jt.asarray(example, device=device)
        return x.astype(dtype) if x.dtype.kind == "f" else x
    if isinstance(example, (tuple, list)) and all(
        n is None or (isinstance(n, int) and not isinstance(n, bool) and n >= 0) for n in example
    ):
        return jt.zeros(tuple(1 if n is None else n for n in example), dtype=dtype, device=device)
    if example is None or (isinstance(example, int) and not isinstance(example, bool)):
        hint = ". A shape is one tuple" + (f", such as (None, {example})" if example else "")
    elif isinstance(example, list):
        hint = ". Of data make a Tensor, jt.tensor(...)"
    else:
        hint = ""
    raise LayerError(
        f"init(): example {i} must be a shape such as (None, 784), a Tensor or an array; got {type(example).__name__} "
        f"{example!r:.60}{hint}"
    )


def _check_model(who: str, model: Any) -> None:
    """A model is a function or a layer."""
    if isinstance(model, type) and issubclass(model, Layer):
        raise LayerError(f"{who}: the model is the class {model.__name__}; make a layer of it, {model.__name__}(...)")
    if not callable(model):
        raise LayerError(f"{who}: the model comes first, a function or a layer; got {type(model).__name__}")


def apply(
    model: Callable[..., Any],
    params: Mapping[str, Any],
    *inputs: Any,
    train: bool = False,
    rng: jt.random.Generator | int | None = None,
    **kwargs: Any,
) -> Any:
    """Run ``model`` with ``params`` on ``inputs``; arrays become Tensors, without a copy. Returns what the model returns.

    ``train`` lets dropout drop and running statistics, which are in ``params``, run. ``rng`` is the generator of the random draws, or its
    seed: an int gives the same draws at each call.

    Raises ``NotFoundError`` for a parameter that is missing, ``LayerError`` for one that no layer asks for, ``ShapeError``
    and ``DTypeError`` where inputs do not fit the parameters; each names the layer. ``LayerError`` also says where an input is
    used as a Tensor and is none (lists and numbers are passed to the model as they are), and where a layer draws and ``rng`` is None.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> model = lambda x: nn.Linear(1, bias=False)(x)
    >>> nn.apply(model, {"Linear_1": {"weight": jt.tensor([[1.0, 2.0]])}}, jt.tensor([[3.0, 4.0]]))
    Tensor([[11.]])
    """
    _check_model("apply(model, params, x)", model)
    if type(params) is not dict and not isinstance(params, Mapping):
        raise LayerError(
            f"apply(model, params, x): params must be the dict that nn.init returned; got {type(params).__name__}"
        )
    inputs = as_tensors(inputs)
    with Scope(params, model=_root(model), train=train, rng=_generator(rng, inputs)):
        try:
            return model(*inputs, **_named(kwargs))
        except AttributeError as e:
            explain_input(e, inputs, "apply(model, params, x)")
            raise


def _generator(rng: Any, inputs: tuple[Any, ...]) -> jt.random.Generator | None:
    """The generator of random draws; one of a seed draws where the first input is."""
    if rng is None or isinstance(rng, jt.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int):
        raise LayerError(f"apply(rng=): expected a jt.random.Generator or a seed; got {type(rng).__name__} {rng!r:.60}")
    return jt.random.Generator(rng, device=next((x.device for x in inputs if isinstance(x, jt.Tensor)), None))


def partition(params: Mapping[str, Any]) -> tuple[Params, Params]:
    """Two trees of ``params``: the tensors that require a gradient, and the others, such as running statistics.

    ``jt.grad`` takes the first, and the second stays outside, where training updates it: ``merge`` puts both together.

    >>> import jitrench_core as jt
    >>> import jitrench_nn as nn
    >>> model = nn.Sequential(nn.Linear(2), nn.BatchNorm1d())
    >>> x = jt.random.Generator(0).normal((8, 3))
    >>> weights, running = nn.partition(nn.init(model, x))
    >>> grads = jt.grad(lambda w: nn.apply(model, nn.merge(w, running), x, train=True).sum())(weights)
    >>> list(grads["1"]), list(running["1"]), running["1"]["num_batches_tracked"].item()
    (['weight', 'bias'], ['running_mean', 'running_var', 'num_batches_tracked'], 1)
    """
    return _chosen(params, True), _chosen(params, False)


def _chosen(tree: Mapping[str, Any], trained: bool) -> Params:
    """What requires a gradient, or what does not."""
    parts = {k: _chosen(v, trained) if isinstance(v, Mapping) else v for k, v in tree.items()}
    return {k: v for k, v in parts.items() if (v if isinstance(v, dict) else v.requires_grad is trained)}


def merge(*trees: Mapping[str, Any]) -> Params:
    """One tree of the Tensors of several, such as ``partition`` made. A name in two of them is an error, ``LayerError``."""
    merged: Params = {}
    for tree in trees:
        for key, value in tree.items():
            if key in merged and not (isinstance(value, Mapping) and isinstance(merged[key], Mapping)):
                raise LayerError(f"merge(): two trees have {key!r}; the trees of nn.partition have each name once")
            merged[key] = merge(merged.get(key, {}), value) if isinstance(value, Mapping) else value
    return merged
