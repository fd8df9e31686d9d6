"""Tests here import torchvision, which a CPU-only torch can import only after `ctm`."""

import ctm as ctm
