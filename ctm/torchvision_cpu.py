"""Lets torchvision's published wheel be imported beside a CPU-only torch.

The wheel on PyPI is built for CUDA. Where its extension can't load, importing torchvision fails as
soon as it describes two operators that the extension would have declared. Declaring their schemas
is enough for models, transforms and data sets. To be imported before torchvision, and before what
imports it (torchmetrics, lightning); `import ctm` does so.
"""

import importlib.util
from pathlib import Path

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def extension_loads() -> bool:
    """Whether torchvision's own operators can be had (loading them twice does no harm)."""
    spec = importlib.util.find_spec("torchvision")
    folders = (spec.submodule_search_locations if spec else None) or []
    try:
        for library in (file for folder in folders for file in Path(folder).glob("_C*.so")):
            torch.ops.load_library(library)
    except OSError:
        return False
    return True


# The schemas live as long as this object.
_library = None if extension_loads() else torch.library.Library("torchvision", "FRAGMENT")
if _library is not None:
    for _schema in SCHEMAS:
        _library.define(_schema)
