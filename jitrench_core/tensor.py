"""``Tensor``: an array of some backend, and the node that recorded it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, final

from . import backend as backends
from . import devices, graph
from .backend import Device, dtype_of, owner
from .dtypes import DType
from .errors import DeviceMismatchError, DTypeError, GradientError, NoGradientError, OpError, ShapeError, TransformError

if TYPE_CHECKING:
    from .ops.selecting import At

# What a user may pass where an array is expected: a Tensor, a backend's array, or a Python scalar.
ArrayLike = Any
# What an op's forward gets as ``xp``: a module with the functions of the Array API standard.
Namespace = Any


@final
class Tensor:
    """An array with a derivative. Make one with ``jt.tensor`` (copies) or ``jt.asarray`` (does not when it need not).

    Two slots: ``data``, a backend's array, and ``node``, what recorded it (None when nothing is). The operators and most
    methods are the ops themselves: ``Tensor.__add__`` is ``jt.add``. Tensors compare elementwise and hash by identity.
    """

    __slots__ = ("data", "node")

    def __init__(self, data: Any, node: Any = None) -> None:
        self.data = data
        self.node = node

    __hash__ = object.__hash__

    if TYPE_CHECKING:  # attached in ops/__init__.py; tests/test_typing.py holds these lines against what is attached
        __add__: Callable[[Tensor, ArrayLike], Tensor]
        __radd__: Callable[[Tensor, ArrayLike], Tensor]
        __sub__: Callable[[Tensor, ArrayLike], Tensor]
        __rsub__: Callable[[Tensor, ArrayLike], Tensor]
        __mul__: Callable[[Tensor, ArrayLike], Tensor]
        __rmul__: Callable[[Tensor, ArrayLike], Tensor]
        __truediv__: Callable[[Tensor, ArrayLike], Tensor]
        __rtruediv__: Callable[[Tensor, ArrayLike], Tensor]
        __floordiv__: Callable[[Tensor, ArrayLike], Tensor]
        __rfloordiv__: Callable[[Tensor, ArrayLike], Tensor]
        __mod__: Callable[[Tensor, ArrayLike], Tensor]
        __rmod__: Callable[[Tensor, ArrayLike], Tensor]
        __pow__: Callable[[Tensor, ArrayLike], Tensor]
        __rpow__: Callable[[Tensor, ArrayLike], Tensor]
        __matmul__: Callable[[Tensor, ArrayLike], Tensor]
        __rmatmul__: Callable[[Tensor, ArrayLike], Tensor]
        __and__: Callable[[Tensor, ArrayLike], Tensor]
        __rand__: Callable[[Tensor, ArrayLike], Tensor]
        __or__: Callable[[Tensor, ArrayLike], Tensor]
        __ror__: Callable[[Tensor, ArrayLike], Tensor]
        __xor__: Callable[[Tensor, ArrayLike], Tensor]
        __rxor__: Callable[[Tensor, ArrayLike], Tensor]
        __lshift__: Callable[[Tensor, ArrayLike], Tensor]
        __rlshift__: Callable[[Tensor, ArrayLike], Tensor]
        __rshift__: Callable[[Tensor, ArrayLike], Tensor]
        __rrshift__: Callable[[Tensor, ArrayLike], Tensor]
        __lt__: Callable[[Tensor, ArrayLike], Tensor]
        __le__: Callable[[Tensor, ArrayLike], Tensor]
        __gt__: Callable[[Tensor, ArrayLike], Tensor]
        __ge__: Callable[[Tensor, ArrayLike], Tensor]
        __neg__: Callable[[Tensor], Tensor]
        __pos__: Callable[[Tensor], Tensor]
        __invert__: Callable[[Tensor], Tensor]

        def __abs__(self) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: ArrayLike) -> None: ...
        @property
        def at(self) -> At: ...

        __iadd__: Callable[[Tensor, ArrayLike], Tensor]
        __isub__: Callable[[Tensor, ArrayLike], Tensor]
        __imul__: Callable[[Tensor, ArrayLike], Tensor]
        __itruediv__: Callable[[Tensor, ArrayLike], Tensor]
        __ifloordiv__: Callable[[Tensor, ArrayLike], Tensor]
        __imod__: Callable[[Tensor, ArrayLike], Tensor]
        __ipow__: Callable[[Tensor, ArrayLike], Tensor]
        __imatmul__: Callable[[Tensor, ArrayLike], Tensor]
        __iand__: Callable[[Tensor, ArrayLike], Tensor]
        __ior__: Callable[[Tensor, ArrayLike], Tensor]
        __ixor__: Callable[[Tensor, ArrayLike], Tensor]
        __ilshift__: Callable[[Tensor, ArrayLike], Tensor]
        __irshift__: Callable[[Tensor, ArrayLike], Tensor]

        def sum(self, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor: ...
        def mean(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def prod(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def max(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def min(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def var(self, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def std(self, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Tensor: ...
        def argmax(self, *, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def argmin(self, *, axis: int | None = None, keepdims: bool = False) -> Tensor: ...
        def all(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def any(self, *, axis: Any = None, keepdims: bool = False) -> Tensor: ...
        def reshape(self, *shape: int | tuple[int, ...]) -> Tensor: ...
        def squeeze(self, axis: int | tuple[int, ...]) -> Tensor: ...
        def astype(self, dtype: Any, *, copy: bool = True) -> Tensor: ...
        def exp(self) -> Tensor: ...
        def log(self) -> Tensor: ...
        def sqrt(self) -> Tensor: ...

        # attached in interop.py
        def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor: ...
        def __array_namespace__(self, /, *, api_version: str | None = None) -> Any: ...
        def __array_ufunc__(self, ufunc: Any, method: str, /, *inputs: Any, **options: Any) -> Any: ...
        def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any, /) -> Any: ...
        def __dlpack__(
            self,
            /,
            *,
            stream: Any = None,
            max_version: tuple[int, int] | None = None,
            dl_device: tuple[Any, int] | None = None,
            copy: bool | None = None,
        ) -> Any: ...
        def __dlpack_device__(self, /) -> tuple[Any, int]: ...

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.data.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        n = 1
        for length in self.data.shape:
            n *= length
        return n

    @property
    def dtype(self) -> DType:
        """The data type, one of the core's own such as ``jt.float32``."""
        return dtype_of(self.data)

    @property
    def device(self) -> Device:
        """Where the array lives; equal to its spelling, ``t.device == "numpy"``."""
        return owner(type(self.data)).device_of(self.data)  # type: ignore[no-any-return]

    @property
    def T(self) -> Tensor:
        """The transpose of a 2-d tensor."""
        if self.ndim != 2:
            raise ShapeError(
                f".T needs 2 dimensions, this tensor has {self.ndim}: use .mT, or jt.permute_dims(x, axes)"
            )
        return self.mT

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return graph.ops.matrix_transpose(self)  # type: ignore[no-any-return]

    def __len__(self) -> int:
        if not self.data.shape:
            raise OpError("a 0-d tensor is no sequence, it holds one number: take .item()")
        return int(self.data.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        return map(self.__getitem__, range(len(self)))

    def __contains__(self, value: ArrayLike) -> bool:
        found: Any = self == value
        return type(found) is Tensor and bool(found.any())

    # -- the graph --------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded. Set it on a tensor that nothing recorded, to make it a leaf."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.node is None:
            made = leaf(self)
            assign(self, made)
            self.node = made.node
        elif not value and self.node is not None:
            if not self.is_leaf:
                raise GradientError("only a leaf can stop requiring a gradient; take y.detach() of a computed tensor")
            self.node = None

    @property
    def is_leaf(self) -> bool:
        """True for a tensor that no recorded operation made."""
        return self.node is None or type(self.node) in (graph.Leaf, graph.Identity)

    @property
    def name(self) -> str | None:
        """The name shown in graph pictures; only a recorded tensor can have one."""
        return getattr(self.node, "name", None)

    @name.setter
    def name(self, value: str | None) -> None:
        if self.node is None:
            raise NoGradientError("a name belongs to a tensor's graph: create it with requires_grad=True to name it")
        self.node.name = value

    @property
    def grad(self) -> Tensor | None:
        """What ``backward`` has added up here so far: None before the first. ``NoGradientError`` where none can come."""
        if self.node is None:
            raise NoGradientError(
                "this tensor has no .grad because it does not require one: create it with requires_grad=True"
            )
        if not hasattr(self.node, "grad"):
            raise NoGradientError(
                "this tensor has no .grad because it is not a leaf: call .retain_grad() on it before backward, "
                "or differentiate with respect to it by jt.grad"
            )
        return self.node.grad  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, value: Any) -> None:
        if self.node is None:
            raise NoGradientError("a tensor that does not require a gradient cannot hold one: set requires_grad first")
        if value is not None:
            mine = (self.shape, self.dtype, self.device)
            if type(value) is not Tensor or (value.shape, value.dtype, value.device) != mine:
                came = (
                    f"{value.dtype} {value.shape} on {value.device}" if type(value) is Tensor else type(value).__name__
                )
                raise ShapeError(f".grad must be None or a Tensor of {mine[1]} {mine[0]} on {mine[2]}; got {came}")
        self.node.grad = value

    def zero_grad(self) -> None:
        """Forget ``grad``: the next ``backward`` starts from nothing."""
        if hasattr(self.node, "grad"):
            self.node.grad = None

    clear_grad = zero_grad

    def retain_grad(self) -> None:
        """Keep the gradient of this computed tensor, too, in the next ``backward``."""
        if self.node is None:
            raise NoGradientError("retain_grad on a tensor that does not require a gradient")
        node: Any = self.node
        if type(node) is graph.Node:
            node.__class__ = graph.RetainedNode
        if not hasattr(node, "grad"):
            node.grad = None

    def backward(
        self, grad: ArrayLike | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf that leads to it, and free the graph.

        ``grad`` weights a non-scalar output, with its shape. ``retain_graph`` keeps the graph for another pass;
        ``create_graph`` keeps it and records the gradients themselves, for higher derivatives.

        Raises ``GradientError`` where nothing was recorded or the output is no scalar, and ``FreedGraphError`` where an
        earlier pass consumed the graph.

        >>> import jitrench_core as jt
        >>> x = jt.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        Tensor([2., 4.])
        """
        if self.node is None:
            raise GradientError(
                "backward from a tensor that nothing recorded: no input requires a gradient, or it was computed under "
                "jt.no_grad() or after detach(). Create an input with requires_grad=True."
            )
        here = self.device if isinstance(grad, (int, float, list, tuple)) else None
        seed = None if grad is None else graph.ops.asarray(grad, device=here)
        if seed is not None and (seed.dtype.kind, self.dtype.kind) == ("c", "f"):
            raise GradientError(f"an incoming gradient of {seed.dtype} came for a {self.dtype} tensor: it must be real")
        graph.backward(self, seed, retain_graph, create_graph)

    def detach(self) -> Tensor:
        """The same values with nothing recorded, and no tangent inside ``jvp``: a constant of every transform."""
        return Tensor(owner(type(self.data)).detach(self.data))

    # -- out of the tensor -------------------------------------------------------------------------------------------

    def numpy(self) -> Any:
        """A NumPy array of the values, detached and read-only, because it may share the tensor's memory: copy it to write."""
        array = owner(type(self.data)).to_numpy(self.data).view()
        array.flags.writeable = False
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self.node is not None or (owner(type(self.data)).depth and self.dtype.kind in "fc"):
            raise (GradientError if self.node is not None else TransformError)(
                f"np.asarray of a tensor that {'requires a gradient' if self.node is not None else 'is inside jvp or vmap'} would "
                "lose it: compute with jt's own functions (jt.stack, jt.where, x @ y), or leave the graph by .numpy() or .detach()"
            )
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python scalar."""
        if self.size != 1:
            raise ShapeError(f"item() needs one element, this tensor has shape {self.shape}: use .tolist()")
        return owner(type(self.data)).to_numpy(self.data).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python scalars."""
        return owner(type(self.data)).to_numpy(self.data).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"a {self.dtype} tensor cannot be an index: use an integer one, or int(x)")
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(f"the truth of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self.item())

    def to(self, device: Any) -> Tensor:
        """This tensor on another device; itself where it already is. The gradient comes back to this device."""
        target = devices.device(device)
        return self if target == self.device else graph.ops.to_device(self, device=str(target), source=str(self.device))

    # -- as an object ------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        who = owner(type(self.data))
        parts = [who.format(self.data) if who.depth else _format(who.to_numpy(self.data))]
        if not who.depth:
            if self.size == 0:
                parts.append(f"shape={self.shape}")
            if self.dtype.name not in ("float64", "int64", "bool", "complex128") or self.size == 0:
                parts.append(f"dtype={self.dtype}")
            if str(self.device) != "numpy":
                parts.append(f"device={str(self.device)!r}")
        if self.name is not None:
            parts.append(f"name={self.name!r}")
        if self.node is not None:
            parts.append("requires_grad=True")
        return f"Tensor({', '.join(parts)})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        rebuild, state = self.__reduce__()
        memo[id(self)] = copied = rebuild(*state)
        return copied

    def __reduce__(self) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
        if not (self.node is None or type(self.node) is graph.Leaf) or owner(type(self.data)).depth:
            raise GradientError(
                "a computed tensor, or a value inside a transform, cannot be copied or pickled with its graph: take .detach() "
                "of it first, or keep the graph by jt.asarray(x, copy=True)"
            )
        host = owner(type(self.data)).to_numpy(self.data).copy()
        grad = getattr(self.node, "grad", None)
        return _rebuild, (
            host,
            str(self.device),
            self.node is not None,
            self.name,
            None if grad is None else grad.detach(),
        )


def _rebuild(host: Any, device: str, requires_grad: bool, name: str | None, grad: Tensor | None) -> Tensor:
    made = graph.ops.asarray(host, device=device, copy=True)
    made = leaf(made, name) if requires_grad else made
    if grad is not None:
        made.grad = grad
    return made


def _format(host: Any) -> str:
    """The values as NumPy prints them, with commas; large arrays are shortened."""
    return str(host.__array_namespace__().array2string(host, separator=", ", prefix="Tensor(", threshold=200))


def leaf(x: Tensor, name: str | None = None, *, identity: bool = False) -> Tensor:
    """``x``, detached, as a leaf; inside ``jvp`` or ``vmap`` it is first lifted into the innermost one.

    With ``identity`` the graph goes on from the leaf to ``x``: that is how a transform takes its arguments.
    """
    if x.dtype.kind not in "fc":
        raise GradientError(
            f"a tensor of {x.dtype} cannot require a gradient: only floating-point and complex numbers have one. Convert it, "
            f"such as by dtype=jt.float64."
        )
    levels = backends.active.get()
    data = x.data
    parents: tuple[Any, ...] = ()
    if levels and owner(type(data)) is not levels[-1]:
        data = levels[-1].lift(x if identity else Tensor(data))
    elif identity and x.node is not None:
        parents = (x.node,)
    return Tensor(data, graph.Identity(data, parents) if identity else graph.Leaf(data, x.device, name))


def assign(target: Tensor, value: Tensor) -> None:
    """Make ``target`` hold ``value``: the one place that writes a Tensor's data.

    While recording, the target takes the value's node, too, and a leaf that requires a gradient refuses. Under ``no_grad`` it keeps
    its node. The value must have the target's shape, dtype and device.
    """
    old, new = target.data, value.data
    like = old.dtype is new.dtype or target.dtype == value.dtype
    if not like or tuple(old.shape) != tuple(new.shape):
        raise (ShapeError if like else DTypeError)(
            f"in-place update of a {target.dtype} tensor of shape {target.shape} by a {value.dtype} value of shape "
            f"{value.shape}: it must keep shape and dtype; write x = x + y for a new tensor"
        )
    if type(new) is not type(old) and owner(type(new)).depth > owner(type(old)).depth:
        raise TransformError(
            "in-place update of a tensor from outside jvp or vmap (or of a constant made inside) by a value of that "
            "transform: start from jt.zeros_like of such a value, or return the new value instead"
        )
    if old is not new and (here := target.device) is not (there := value.device) and here != there:
        raise DeviceMismatchError(
            f"in-place update of a tensor on {target.device} by a value on {value.device}: move it first, by .to(...)"
        )
    if graph.recording():
        if type(target.node) is graph.Leaf and target.node is not value.node:
            raise GradientError(
                "in-place update of a leaf that requires a gradient, while recording: do it under jt.no_grad(), "
                "or make a new tensor (x = x + y)"
            )
        target.node = value.node
    elif type(target.node) is graph.Leaf:
        target.node.value = None
    target.data = new
