"""``python -m jitrench_core``: the same as the command ``jitrench``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
