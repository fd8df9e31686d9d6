"""Settings of every test run.

The shapes that signatures promise are checked at run time, by jaxtyping and beartype.
`torch.compile` can't see through those checks: tests with `compile` in their name run without them,
in a process of their own where need be. `CTM_SHAPE_CHECKS=0` switches them off.
"""

import os
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from jaxtyping import install_import_hook

from tests import shapes

COMPILE_ONLY = ("-k", "compile") in pairwise(sys.argv)
SHAPE_CHECKS = os.environ.get("CTM_SHAPE_CHECKS", "0" if COMPILE_ONLY else "1") != "0"

# before anything imports ctm
if SHAPE_CHECKS:
    install_import_hook("ctm", f"{shapes.__name__}.check")

torch.set_num_threads(1)


def pytest_report_header() -> str:
    return f"run-time shape checks: {'on' if SHAPE_CHECKS else 'off'}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Hands a compile test to a process without shape checks when this one has them."""
    if not SHAPE_CHECKS or "compile" not in pyfuncitem.nodeid:
        return None
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env={**os.environ, "CTM_SHAPE_CHECKS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"without shape checks:\n{done.stdout}{done.stderr}", pytrace=False)
    return True
