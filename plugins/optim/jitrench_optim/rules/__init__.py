"""Update rules, a file a family: each is one op, and the optimizer that checks its options and makes its slots."""

from __future__ import annotations

from .adagrad import Adadelta, Adagrad, RMSprop, adadelta_step, adagrad_step, rmsprop_step
from .adam import (
    LAMB,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    NAdam,
    RAdam,
    adam_step,
    adamax_step,
    lamb_step,
    nadam_step,
    radam_step,
)
from .matrices import Adafactor, Muon, adafactor_step, muon_step
from .momentum import SGD, Lion, lion_step, sgd_step

OPTIMIZERS = (SGD, Adam, AdamW, AMSGrad, NAdam, RAdam, Adamax, LAMB, RMSprop, Adagrad, Adadelta, Lion, Muon, Adafactor)
STEPS = (
    sgd_step, adam_step, nadam_step, radam_step, adamax_step, lamb_step, rmsprop_step, adagrad_step, adadelta_step,
    lion_step, muon_step, adafactor_step,
)  # fmt: skip

__all__ = [
    "LAMB",
    "OPTIMIZERS",
    "SGD",
    "STEPS",
    "AMSGrad",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
]
