"""``python -m jitrench_nn train run.toml``: train what a configuration file says; ``check`` only reads it."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jitrench_core import JITrenchError

from .config import ConfigError, from_config
from .weights import save


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 where a file cannot be run, or 130 where Ctrl-C ended it."""
    parser = argparse.ArgumentParser("python -m jitrench_nn", description="Train what a configuration file says.")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    for name, help in (
        ("train", "train, and print the last epoch"),
        ("check", "say what is wrong with the file, and no more"),
    ):
        command = commands.add_parser(name, help=help, description=help)
        command.add_argument("file", help="a .toml or .json file")
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="SECTION.KEY=VALUE",
            help="another value, as TOML writes it; repeat it",
        )
        if name == "train":
            command.add_argument(
                "--save", type=Path, metavar="FILE", help="where the weights go, a .safetensors or .npz file"
            )
    args = parser.parse_args(argv)
    try:
        run = from_config(args.file, dict(map(_change, args.set)))
        if args.command == "train" and args.save is not None and not args.save.absolute().parent.is_dir():
            raise ConfigError(
                f"--save {args.save}: the folder {str(args.save.parent)!r} does not exist; create it first"
            )
        if args.command == "check":
            print(f"{args.file} can be run")
            return 0
        history = run.fit()
        print(
            ", ".join(f"{name} {value:.6g}" for name, value in history[-1].items() if isinstance(value, (int, float)))
        )
        if args.save is not None:
            save(run.trainer.model, args.save)
    except (JITrenchError, OSError) as e:
        print(e, file=sys.stderr)
        return 1
    except KeyboardInterrupt as e:  # the trainer says what it has saved
        print(e or "interrupted", file=sys.stderr)
        return 130
    return 0


def _change(text: str) -> tuple[str, Any]:
    """``optimizer.lr=0.1``: the place and the value; what is no TOML is a text."""
    place, equals, value = text.partition("=")
    if not equals or "." not in place:
        raise ConfigError(f"--set {text}: expected SECTION.KEY=VALUE, such as optimizer.lr=0.1")
    try:
        found = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        found = {"value": value.strip()}
    if len(found) > 1:
        raise ConfigError(f"--set {text}: expected one value")
    return place.strip(), found["value"]


if __name__ == "__main__":
    raise SystemExit(main())
