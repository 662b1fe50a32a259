"""Training: the loop, what watches it, and what it writes.

>>> import jitrench_core as jt
>>> import jitrench_nn as nn
>>> import jitrench_optim as optim
>>> x = jt.linspace(-1, 1, 128)[:, None]
>>> def model(x):
...     return nn.Linear(1)(x)
>>> trainer = nn.Trainer(model, nn.mse_loss, lambda params: optim.SGD(params, lr=0.1), progress=False)
>>> history = trainer.fit((x, 2 * x + 1), epochs=20)
>>> round(history[-1]["loss"], 3)
0.0
>>> [round(p.item(), 1) for p in trainer.params["Linear_1"].values()]
[2.0, 1.0]
"""

from .callbacks import Callback, Checkpoint, EarlyStopping, LambdaCallback
from .errors import NonFiniteError, TrainingError
from .history import History
from .loggers import CSVLogger, JSONLLogger, TensorBoardLogger
from .pictures import LearningGIF, plot_history
from .trainer import Trainer, fit

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "JSONLLogger",
    "LambdaCallback",
    "LearningGIF",
    "NonFiniteError",
    "TensorBoardLogger",
    "Trainer",
    "TrainingError",
    "fit",
    "plot_history",
]
