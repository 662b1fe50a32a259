"""What type checkers are told is what is there."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import jitrench_core as jt
from jitrench_core import interop, ops

ROOT = Path(__file__).parent.parent


def declared() -> set[str]:
    """The names under TYPE_CHECKING in class Tensor."""
    tree = ast.parse(Path(jt.__file__).with_name("tensor.py").read_text(encoding="utf-8"))
    (cls,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor")
    (block,) = (n for n in cls.body if isinstance(n, ast.If))
    names = {n.target.id for n in block.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    return names | {n.name for n in block.body if isinstance(n, ast.FunctionDef)}


def test_the_operators_declared_are_the_operators_attached():
    assert declared() == {*ops.ATTACHED, *ops.METHODS, *interop.ATTACHED}
    for name in declared():
        assert name in vars(jt.Tensor), name


def test_the_operators_are_the_ops_themselves():
    assert jt.Tensor.__add__ is jt.add
    assert jt.Tensor.__mul__ is jt.multiply
    assert jt.Tensor.__neg__ is jt.negative
    assert jt.Tensor.__matmul__ is jt.matmul
    assert jt.Tensor.sum is jt.sum


def test_every_public_name_exists_and_is_documented():
    for name in jt.__all__:
        public = getattr(jt, name)
        assert public is jt.newaxis or public.__doc__, name


def test_the_typed_script_runs():
    assert runpy.run_path(str(ROOT / "tests" / "typed_user_script.py"))["main"]() != 0
