"""A whole benchmark: its sections one after the other, and what they leave in a folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ctm.allocator import keep_freed_memory
from ctm.benchmark.contenders import CONTENDERS
from ctm.benchmark.curves import measure_curves
from ctm.benchmark.equality import measure_equality
from ctm.benchmark.figures import curves_figure, memory_figure
from ctm.benchmark.memory import MEGA, Memory, measure_memory
from ctm.benchmark.profile import measure_profile
from ctm.benchmark.report import markdown, read_marked, write_between_markers
from ctm.benchmark.results import MemoryPoint, Results
from ctm.benchmark.rows import ROWS, USUAL_ROWS, Row
from ctm.benchmark.speed import Say, measure_speed
from ctm.benchmark.timing import free
from ctm.errors import UserError

SECTIONS = ("speed", "memory", "curves", "profile")
AGAINST_TICKS = ("textbook", "fast", "lean", "checkpointed")


@dataclass(frozen=True)
class Settings:
    """What to measure and how.

    Args:
        repeats: rounds.
        out: folder of what is left.
        write: a document whose tables are replaced.
        batch, checkpoint_ticks: other than the rows' own.
        memory_row: whose memory is measured against ticks.
        memory_ticks: at how many ticks.
        curves_row: around which the cost curves are drawn.
    """

    out: Path
    write: Path | None = None
    sections: Sequence[str] = SECTIONS
    rows: Sequence[str] = USUAL_ROWS
    contenders: Sequence[str] = tuple(CONTENDERS)
    device: str = "cpu"
    repeats: int = 5
    batch: int | None = None
    checkpoint_ticks: int | None = None
    memory_row: str = "parity"
    memory_ticks: Sequence[int] = (15, 30, 60, 120)
    curves_row: str = "medium"

    def __post_init__(self) -> None:
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"--device {self.device}: torch sees no GPU here; want cpu")

    def row(self, name: str) -> Row:
        row = ROWS[name]
        if self.checkpoint_ticks is not None:
            row = row.chunked(self.checkpoint_ticks)
        return row if self.batch is None else row.resized(batch=self.batch)


def run(settings: Settings, provenance: dict[str, Any], say: Say) -> Results:
    """Measures and writes; what is done is kept when a later section fails or is stopped.

    Args:
        provenance: date, commit, hardware and versions, to stand beside the figures.
        say: takes a line for every finished measurement.
    """
    keep_freed_memory()  # as training does, for what is measured in this process
    if settings.write is not None:
        read_marked(settings.write)  # a complaint now rather than after all measurements
    return Benchmark(settings, provenance, say).run()


class Benchmark:
    """One benchmark while it runs."""

    def __init__(self, settings: Settings, provenance: dict[str, Any], say: Say) -> None:
        self.settings, self.tell = settings, say
        self.rows = [settings.row(name) for name in settings.rows]
        self.contenders = [CONTENDERS[name] for name in settings.contenders]
        how = {
            **asdict(settings),
            "out": str(settings.out),
            "write": None if settings.write is None else str(settings.write),
            "threads": torch.get_num_threads(),
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        }
        self.results = Results(provenance, how)
        try:
            settings.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--out {settings.out}: {error.strerror}; want a folder") from None

    def say(self, line: str) -> None:
        """Says what was measured, and keeps it."""
        self.tell(line)
        self.results.save(self.settings.out / "benchmark.json")

    def run(self) -> Results:
        sections = {
            "speed": self.speed,
            "memory": self.memory,
            "curves": self.curves,
            "profile": self.profile,
        }
        for name, section in sections.items():
            if name in self.settings.sections:
                section()
        self.write()
        return self.results

    def speed(self) -> None:
        """Times, then equality."""
        settings = self.settings
        for number, row in enumerate(self.rows):
            speed = measure_speed(row, self.contenders, settings.repeats, settings.device, self.say)
            self.results.speed[row.name] = speed
            free(settings.device)
            # the batch that fitted, for the other sections too
            self.rows[number] = row = row.resized(batch=speed.batch)
            equality = measure_equality(row, self.contenders, settings.device)
            self.results.equality[row.name] = equality
            for name, found in equality.items():
                self.say(f"{row.name}, {name}: logits differ by {found.logits:.1e}")
            free(settings.device)

    def memory(self) -> None:
        names = self.settings.contenders
        for row in self.rows:
            used = self.results.memory.setdefault(row.name, {})
            for name in names:
                self.add_memory(row, name, used)
        row = self.settings.row(self.settings.memory_row)
        self.results.memory_row = row.name
        for ticks in self.settings.memory_ticks:
            point = MemoryPoint(ticks, {})
            for name in AGAINST_TICKS:
                if name in names:
                    self.add_memory(row.resized(ticks=ticks), name, point.contenders)
            if point.contenders:
                self.results.memory_against_ticks.append(point)

    def add_memory(self, row: Row, name: str, used: dict[str, Memory]) -> None:
        what = f"{row.name}, {name}, {row.config.ticks} ticks"
        try:
            used[name] = measure_memory(row, name, self.settings.device)
        except torch.OutOfMemoryError:
            self.say(f"{what}: does not fit")
        else:
            self.say(f"{what}: {used[name].step / MEGA:.4g} MB")

    def curves(self) -> None:
        row = self.settings.row(self.settings.curves_row)
        self.results.curves_row = row.name
        self.results.curves = measure_curves(
            row, self.settings.repeats, self.settings.device, self.say
        )

    def profile(self) -> None:
        for row in self.rows:
            self.results.profiles.append(measure_profile(row, self.settings.device))
            self.say(f"{row.name}: profiled")

    def write(self) -> None:
        out, results = self.settings.out, self.results
        results.save(out / "benchmark.json")
        text = markdown(results)
        (out / "benchmark.md").write_text(text)
        if results.curves:
            curves_figure(results.curves, out / "cost_curves.png")
        if results.memory_against_ticks:
            memory_figure(results.memory_against_ticks, out / "memory.png")
        if self.settings.write is not None:
            write_between_markers(self.settings.write, text)
