"""What an argument is called here: for the error about one that is not there alone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from jitrench_core import JITrenchError
from jitrench_core.errors import suggest

F = TypeVar("F", bound=Callable[..., Any])

# What PyTorch, Lightning and Keras call it -> what to write here.
HINTS = {
    "lr": "the optimizer has it, optimizer=lambda params: optim.Adam(params, lr=0.01)",
    "learning_rate": "the optimizer has it, optimizer=lambda params: optim.Adam(params, lr=0.01)",
    "weight_decay": "the optimizer has it, optimizer=lambda params: optim.AdamW(params, weight_decay=0.01)",
    "criterion": "loss=",
    "loss_fn": "loss=",
    "max_epochs": "epochs=, of fit()",
    "validation_data": "validation=",
    "validation_split": "validation=, with the parts of nn.data.random_split(dataset, [0.8, 0.2])",
    "val_data": "validation=",
    "val_loader": "validation=",
    "scheduler": "schedule=",
    "lr_scheduler": "schedule=",
    "gradient_clip_val": "clip=",
    "clip_grad_norm": "clip=",
    "accumulate_grad_batches": "accumulate=",
    "verbose": "progress= of the Trainer: True, 'lines' or False",
    "early_stopping": "callbacks=[nn.EarlyStopping()]",
    "logger": "loggers=",
    "random_state": "seed=",
    "generator": "seed=, which also takes a Generator",
    "num_workers": "prefetch=n, which prepares up to n batches ahead in a thread",
    "prefetch_factor": "prefetch=n, which prepares up to n batches ahead in a thread",
    "persistent_workers": "prefetch=n, which prepares up to n batches ahead in a thread",
    "pin_memory": "device=, where batches go",
    "collate_fn": "collate=",
    "sampler": "nn.data.Subset(dataset, indices)",
    "batch_sampler": "a loader of your own: whatever gives batches each time it is iterated",
    "worker_init_fn": "not needed, draws from jt.random go by the loader's seed",
    "save_best_only": "best=, a file of its own",
    "restore_best_weights": "restore_best=",
}


class ArgumentError(JITrenchError, TypeError):
    """A call with an argument by a name that there is not."""


def named(who: str, *others: Callable[..., Any]) -> Callable[[F], F]:
    """A decorator: keywords that neither the function nor ``others``, to which it hands them on, have are explained."""

    def decorate(function: F) -> F:
        known = {
            p.name
            for f in (function, *others)
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"
        }

        @functools.wraps(function)
        def checked(*args: Any, **options: Any) -> Any:
            for name in options:
                if name not in known:
                    raise ArgumentError(explained(who, name, known))
            return function(*args, **options)

        return checked  # type: ignore[return-value]

    return decorate


def explained(who: str, name: str, known: set[str]) -> str:
    """The message, with what to write instead."""
    told = f" Here: {HINTS[name]}" if name in HINTS else suggest(name, known)
    return f"{who} has no argument {name!r}.{told or ' It has ' + ', '.join(sorted(known))}"
