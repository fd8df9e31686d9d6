"""All that a benchmark has measured so far, and its file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ctm.benchmark.curves import Curve
from ctm.benchmark.equality import Equality
from ctm.benchmark.memory import Memory
from ctm.benchmark.profile import Profile
from ctm.benchmark.speed import Speed


@dataclass
class MemoryPoint:
    """Memory of some contenders, by name, at a number of ticks."""

    ticks: int
    contenders: dict[str, Memory]


@dataclass
class Results:
    """What was measured, where and how; empty where a section was left out.

    Args:
        provenance: date, commit, hardware and versions.
        settings: of this benchmark and of torch.
        speed, equality, memory: by the row's name; the last two then by the contender's.
        memory_row: of what row `memory_against_ticks` is.
        curves_row: of what row `curves` are.
    """

    provenance: dict[str, Any]
    settings: dict[str, Any]
    speed: dict[str, Speed] = field(default_factory=dict)
    equality: dict[str, dict[str, Equality]] = field(default_factory=dict)
    memory: dict[str, dict[str, Memory]] = field(default_factory=dict)
    memory_row: str = ""
    memory_against_ticks: list[MemoryPoint] = field(default_factory=list)
    curves_row: str = ""
    curves: list[Curve] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
