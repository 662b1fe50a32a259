"""Run the Array API standard's own test suite on jitrench_core: ``python tests/array_api_suite.py PATH [pytest's arguments]``.

PATH is a checkout of data-apis/array-api-tests with its submodule; without it the environment variable ARRAY_API_TESTS says
where one is. ``ARRAY_API_TESTS_MODULE=numpy`` runs another namespace, for comparison.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED_FAILURES = Path(__file__).parent / "expected_failures" / "array_api_tests.txt"


def main(arguments: list[str]) -> int:
    path = arguments.pop(0) if arguments and not arguments[0].startswith("-") else os.environ.get("ARRAY_API_TESTS", "")
    if not Path(path, "array_api_tests").is_dir() or not path:
        print(f"{path or 'no path'}: expected a checkout of data-apis/array-api-tests; {__doc__}", file=sys.stderr)
        return 2
    if not any(Path(path, "array-api", "src").glob("array_api_stubs/*")):
        print(f"{path}/array-api is empty: git submodule update --init, in the checkout", file=sys.stderr)
        return 2
    environment = {"ARRAY_API_TESTS_MODULE": "jitrench_core", "ARRAY_API_TESTS_VERSION": "2025.12"} | os.environ
    command = [sys.executable, "-m", "pytest", "array_api_tests", "-p", "no:cacheprovider", "--disable-deadline"]
    with tempfile.TemporaryDirectory() as folder:
        xfails = Path(folder, "xfails.txt")  # the suite knows no comment after an id
        lines = EXPECTED_FAILURES.read_text(encoding="utf-8").splitlines()
        xfails.write_text("\n".join(line.partition(" # ")[0] for line in lines if not line.startswith("#")) + "\n")
        if environment["ARRAY_API_TESTS_MODULE"] == "jitrench_core":
            command.append(f"--xfails-file={xfails}")
        return subprocess.run([*command, *arguments], cwd=path, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
