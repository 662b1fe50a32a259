"""Functions of functions: derivatives, batching, and what controls them. They nest in any order."""

from .batching import vmap
from .checkpointing import checkpoint
from .custom import custom_gradient, stop_gradient
from .derivatives import hessian, hvp, jacobian
from .forward import jvp
from .linear import linearize, vjp
from .reverse import grad, value_and_grad

__all__ = [
    "checkpoint",
    "custom_gradient",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
