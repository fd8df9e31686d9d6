"""PyTorch's pickled files, read without running anything that they name.

A pickle may name any function for its reader to call. Torch's own restricted reader calls those
alone that make tensors and plain containers; admitted beside them is what the published training
checkpoints hold: the arguments of a command, and the state of NumPy's random numbers.
"""

import argparse
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ctm.errors import CheckpointError, first_line

REBUILD = np._core.multiarray._reconstruct  # pyright: ignore[reportAttributeAccessIssue]
ADMITTED = [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    np.dtypes.UInt32DType,
    (REBUILD, "numpy._core.multiarray._reconstruct"),
    (REBUILD, "numpy.core.multiarray._reconstruct"),  # by NumPy 1
]


def read_pickle(file: Path) -> Any:
    """What `torch.save` wrote, on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or names what it must not.
    """
    check_archive(file)
    try:
        with torch.serialization.safe_globals(ADMITTED):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in as many ways as there are
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is not None:
            raise CheckpointError(
                f"{file}: its pickle asks for {named[1]}, which is neither weights nor plain data; "
                "nothing of it was run"
            ) from None
        raise CheckpointError(f"{file}: damaged ({first_line(error)})") from None


def check_archive(file: Path) -> None:
    """Every byte of the archive is as it was written.

    Torch does not compare the sums that the archive holds.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            packed = [entry for entry in archive.infolist() if entry.compress_type]
            broken = archive.testzip() if not packed else None
    except FileNotFoundError:
        raise CheckpointError(f"{file}: no such file") from None
    except Exception as error:  # as above
        raise CheckpointError(
            f"{file}: not a whole file of torch.save ({first_line(error)})"
        ) from None
    if packed:
        raise CheckpointError(f"{file}: compressed, which torch.save never does")
    if broken is not None:
        raise CheckpointError(f"{file}: damaged in {broken}: its sum is not the one written down")
