"""Torchvision can be imported beside a CPU-only torch only after `ctm`."""

import ctm as ctm
