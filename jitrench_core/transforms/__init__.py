"""Functions of functions: gradients, forward-mode derivatives, batching. They nest in any order."""

from .batching import vmap
from .forward import jvp
from .reverse import grad, value_and_grad

__all__ = ["grad", "jvp", "value_and_grad", "vmap"]
