"""A small GPT that writes like Python's documentation, letter by letter, and a picture of what it looks at.

The text is what ``help()`` shows on a language topic; it comes with Python. Run ``python examples/char_gpt.py --out pictures``, and with
``--steps 100`` for a first look. It needs matplotlib and tqdm.
"""

from __future__ import annotations

import argparse
import lzma
import math
import pydoc_data.topics
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from options import number, rate, require

import jitrench_core as jt
import jitrench_nn as nn
import jitrench_optim as optim

HELD_OUT = 0.1  # of the text, its end
ROUNDS = 20  # each ends with a look at the text held out, at so many pieces of it
GLANCE = 128
BITS = math.log2(math.e)  # in a nat
PROMPT = "The statement "


class Result(NamedTuple):
    bits: float
    lzma: tuple[float, float]
    sample: str
    files: list[Path]


class GPT(nn.Module):
    """Scores of the next letter at each position of ``codes`` (n, length)."""

    def __init__(self, letters: int, layers: int, width: int, heads: int, length: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(letters, width, weight_init=nn.normal(std=0.02))
        self.positions = nn.LearnedEncoding(length, batch_first=True)
        block = nn.TransformerEncoderLayer(
            heads, dim_feedforward=4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm())
        self.scores = nn.Linear(letters)

    def forward(self, codes: jt.Tensor) -> jt.Tensor:
        return self.scores(self.blocks(self.positions(self.letters(codes)), is_causal=True))

    def attention(self, codes: jt.Tensor, layer: int) -> jt.Tensor:
        """The weights of all heads of a layer: (n, heads, length, length)."""
        x = self.positions(self.letters(codes))
        for block in self.blocks.layers[:layer]:
            x = block(x, is_causal=True)
        block = self.blocks.layers[layer]
        return block.self_attn(block.norm1(x), is_causal=True, average_attn_weights=False)[1]


def pieces(codes: jt.Tensor, length: int) -> Any:
    """For a loader: as many pieces of a text as the batch is long, from anywhere, and the letters that follow each of theirs."""

    def cut(batch: jt.Tensor, generator: Any) -> tuple[jt.Tensor, jt.Tensor]:
        starts = generator.integers(0, codes.shape[0] - length, (batch.shape[0], 1))
        found = codes[starts + jt.arange(length + 1)]
        return found[:, :-1], found[:, 1:]

    return cut


def load_text() -> str:
    """Python's language topics, one after another, in ASCII, without tables and rulers, and each paragraph once."""
    topics = pydoc_data.topics.topics
    text = "\n\n".join(topics[name].strip() for name in sorted(topics)).encode("ascii", "ignore").decode()
    lines = [line.rstrip() for line in text.splitlines() if line.lstrip()[:1] not in ("|", "+")]
    paragraphs = re.split(r"\n{2,}", re.sub(r"[*=~^-]{4,}", "", "\n".join(lines)))
    return "\n\n".join({" ".join(p.split()): p for p in paragraphs}.values())


def lzma_bits(before: str, text: str) -> float:
    """How many bits a letter of ``text`` takes, packed after what comes before it."""
    sizes = [len(lzma.compress(part.encode(), preset=9)) for part in (before, before + text)]
    return 8 * (sizes[1] - sizes[0]) / len(text)


def next_letter(scores: jt.Tensor, target: jt.Tensor) -> jt.Tensor:
    """Cross-entropy over all positions, in nats."""
    return nn.cross_entropy(jt.reshape(scores, (-1, scores.shape[-1])), jt.reshape(target, (-1,)))


@jt.no_grad
def write(model: GPT, codes: list[int], length: int, n: int, temperature: float, generator: Any) -> list[int]:
    """``n`` more letters, each drawn by the model's probabilities; it sees the last ``length``."""
    written = list(codes)
    for _ in range(n):
        scores = model(jt.asarray([written[-length:]]))[0, -1] / temperature
        below = jt.cumulative_sum(jt.softmax(scores)) < generator.uniform(())
        written.append(min(int(jt.sum(jt.astype(below, jt.int64))), scores.shape[0] - 1))
    return written


def draw(
    history: Any,
    steps: Sequence[int],
    bits: float,
    packed: tuple[float, float],
    weights: np.ndarray,
    text: str,
    file: Path,
) -> None:
    """The loss over the steps, and where one head of each kind looks."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1))
    left.plot(steps, [BITS * loss for loss in history["loss"]], color="tab:blue", label="pieces trained on")
    found = [BITS * loss for loss in history["val_loss"]]
    left.plot(steps, found, color="tab:orange", label=f"pieces held out (all of them at the end: {bits:.2f})")
    for value, style, what in zip(packed, (":", "--"), ("by itself", "after the other"), strict=True):
        left.axhline(value, color="grey", linestyle=style, label=f"text held out, packed by lzma {what} ({value:.2f})")
    left.set(xlabel="step", ylabel="bits per letter", title="Learning")
    left.grid(alpha=0.3)
    left.legend()
    image = right.imshow(weights, cmap="viridis", vmin=0)
    letters = [c if c.isprintable() and c != " " else "·" for c in text]
    right.set_xticks(range(len(text)), letters, family="monospace", fontsize=7)
    right.set_yticks(range(len(text)), letters, family="monospace", fontsize=7)
    right.set(xlabel="looks at", ylabel="letter", title="Attention of one head")
    figure.colorbar(image, ax=right, label="weight")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def farthest_looking(weights: np.ndarray) -> int:
    """The head that looks back farthest, on average over the letters."""
    places = np.arange(weights.shape[-1])
    back = (weights * (places[:, None] - places)).sum((-2, -1))
    return int(back.argmax())


def main(argv: Sequence[str] | None = None) -> Result:
    """The bits per letter of the text held out, those of lzma without and with the other text before it, a sample, and the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    parser.add_argument("--steps", type=number(1), default=2000)
    parser.add_argument("--batch", type=number(1), default=16)
    parser.add_argument("--length", type=number(2), default=64, help="letters that it sees at once")
    parser.add_argument("--layers", type=number(1), default=4)
    parser.add_argument("--width", type=number(1), default=128)
    parser.add_argument("--heads", type=number(1), default=4)
    parser.add_argument("--lr", type=rate, default=3e-3)
    parser.add_argument("--sample", type=number(1), default=400, metavar="N", help="letters to write")
    parser.add_argument("--temperature", type=rate, default=0.8)
    parser.add_argument("--seed", type=number(0), default=0)
    options = parser.parse_args(argv)
    if options.width % options.heads:
        parser.error(f"argument --heads: {options.heads} heads cannot divide a width of {options.width}")
    require(matplotlib="matplotlib", tqdm="tqdm")
    options.out.mkdir(parents=True, exist_ok=True)

    text = load_text()
    letters = sorted(set(text))
    codes = jt.asarray(np.array([letters.index(c) for c in text]))
    cut = round(len(text) * (1 - HELD_OUT))
    if len(text) - cut <= options.length:
        parser.error(
            f"argument --length: there are {len(text) - cut} letters held out, too few for pieces of {options.length}"
        )
    packed = lzma_bits("", text[cut:]), lzma_bits(text[:cut], text[cut:])
    length = options.length
    rounds = min(options.steps, ROUNDS)
    per_round = options.steps // rounds
    train = nn.data.DataLoader(
        range(per_round * options.batch), options.batch, seed=options.seed, transform=pieces(codes[:cut], length)
    )
    rest = codes[cut:][: (len(text) - cut - 1) // length * length + 1]
    held_out = nn.data.ArrayDataset(*(jt.reshape(x, (-1, length)) for x in (rest[:-1], rest[1:])))

    jt.random.seed(options.seed)
    model = GPT(len(letters), options.layers, options.width, options.heads, length).to(dtype=jt.float32)
    trainer = nn.Trainer(
        model,
        next_letter,
        lambda params: optim.AdamW(params, lr=options.lr, weight_decay=0.05),
        schedule=lambda optimizer: optim.WarmupCosineLR(optimizer, rounds * per_round // 20, rounds * per_round),
        schedule_per="step",
        clip=1.0,
        seed=options.seed,
    )
    print(f"{len(text):,} letters, {len(letters)} different ones; the last {len(text) - cut:,} are held out")
    glance = nn.data.Subset(held_out, np.linspace(0, len(held_out) - 1, GLANCE).astype(int))
    history = trainer.fit(train, epochs=rounds, validation=nn.data.DataLoader(glance, 64))
    bits = BITS * trainer.evaluate(nn.data.DataLoader(held_out, 64))["loss"]
    print(f"{sum(p.size for p in model.parameters()):,} parameters: {bits:.3f} bits per letter held out")
    print(f"lzma packs these letters to {packed[0]:.3f} by themselves, to {packed[1]:.3f} after the text trained on")

    start = [letters.index(c) for c in PROMPT]
    generator = jt.random.Generator(options.seed)
    written = write(model.eval(), start, length, options.sample, options.temperature, generator)
    sample = "".join(letters[i] for i in written)
    print(f"a sample:\n\n{sample}\n")

    seen = text[cut:][: min(length, 48)].replace("\n", " ")
    with jt.no_grad():
        weights = model.attention(jt.asarray([[letters.index(c) for c in seen]]), options.layers // 2)[0].numpy()
    picture = options.out / "char_gpt.png"
    steps = [per_round * (i + 1) for i in range(rounds)]
    draw(history, steps, bits, packed, weights[farthest_looking(weights)], seen, picture)
    print(f"picture:  {picture.resolve()}")
    return Result(bits, packed, sample, [picture])


if __name__ == "__main__":
    main()
