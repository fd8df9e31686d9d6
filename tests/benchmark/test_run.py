"""The command on the tiny row, what it leaves, and what it refuses."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ctm.benchmark.memory import Memory
from ctm.benchmark.report import BEGIN, END, figure, markdown, write_between_markers
from ctm.benchmark.results import MemoryPoint, Results
from ctm.benchmark.run import Benchmark, Settings
from ctm.benchmark.speed import Speed
from ctm.errors import UserError
from tests.app.commands import ROOT, complaint

WHERE: dict[str, Any] = {
    "date": "2026-01-02T03:04:05+00:00",
    "commit": "0123456789+changes",
    "hardware": {"cpu": "A processor", "cores": 2, "gpus": []},
    "versions": {"python": "3.11", "torch": "2.13"},
}
HOW = {"device": "cpu", "threads": 1, "repeats": 3}


def benchmark(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ROOT / "scripts" / "benchmark.py"
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")


def test_a_benchmark_of_the_tiny_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ctm.benchmark.curves.DOUBLINGS", 1)
    document = tmp_path / "performance.md"
    document.write_text(f"# Title\n{BEGIN}\nold\n{END}\nafter\n")
    benchmark(
        "--rows", "tiny", "--curves-row", "tiny", "--sections", "speed", "curves", "profile",
        "--contenders", "textbook", "eager", "fast", "--repeats", "2",
        "--out", str(tmp_path / "out"), "--write", str(document), monkeypatch=monkeypatch,
    )  # fmt: skip
    printed, progress = capfd.readouterr()
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["benchmark.json", "benchmark.md", "cost_curves.png"]
    tables = (tmp_path / "out" / "benchmark.md").read_text()
    assert printed == tables
    assert document.read_text() == f"# Title\n{BEGIN}\n{tables.strip()}\n{END}\nafter\n"
    assert "tiny, textbook: inference" in progress

    results = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert {"date", "commit", "hardware", "versions"} <= set(results["provenance"])
    assert results["settings"]["threads"] == 1
    assert results["settings"]["rows"] == ["tiny"]
    speed = results["speed"]["tiny"]
    assert speed["batch"] == 4
    for mode in ("inference", "training"):
        assert set(speed[mode]) == {"textbook", "eager", "fast"}
        assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in speed[mode].values())
    assert list(speed["gflops"]) == ["float32"]
    assert len(speed["copy_gb"]) == len(speed["gflops"]["float32"]) == 2
    assert results["equality"]["tiny"]["fast"]["logits"] < 1e-5
    assert len(results["curves"]) == 6
    assert results["profiles"][0]["operators"]


def test_memory_is_measured_of_rows_and_against_ticks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(row: Any, contender: str, device: str) -> Memory:
        if contender == "textbook" and row.config.ticks == 8:
            raise torch.OutOfMemoryError
        return Memory(peak=(1 + row.config.ticks) * 10**6, before=10**6)

    monkeypatch.setattr("ctm.benchmark.run.measure_memory", measured)
    settings = Settings(
        tmp_path, sections=["memory"], rows=["tiny"], contenders=["textbook", "fast"],
        memory_row="tiny", memory_ticks=[2, 8],
    )  # fmt: skip
    said: list[str] = []
    results = Benchmark(settings, WHERE, said.append).run()
    assert results.memory["tiny"]["fast"].step == 4 * 10**6
    assert results.memory_against_ticks[1] == MemoryPoint(8, {"fast": Memory(9 * 10**6, 10**6)})
    assert "tiny, textbook, 8 ticks: does not fit" in said
    assert (tmp_path / "memory.png").stat().st_size > 0
    tables = (tmp_path / "benchmark.md").read_text()
    assert "| 2 | 2.00 | 2.00 |\n| 8 | - | 8.00 |" in tables


def test_a_table_compares_with_the_textbook() -> None:
    speed = Speed(
        "tiny", batch=10, parameters=7, flops={"inference": 10**9, "training": 3 * 10**9},
        inference={"textbook": [0.2, 0.3, 0.1], "fast": [0.1, 0.1, 0.05]},
        training={"textbook": [1.0, 2.0, 3.0], "fast": [0.5, 0.5, 0.5]},
        gflops={"float32": [30.0]}, copy_gb=[5.0],
    )  # fmt: skip
    memory = {"textbook": Memory(5 * 10**6, 10**6), "fast": Memory(2 * 10**6, 10**6)}
    text = markdown(Results(WHERE, HOW, speed={"tiny": speed}, memory={"tiny": memory}))
    assert "2026-01-02, commit 0123456+changes. A processor, 2 cores, torch threads: 1" in text
    textbook = "| textbook | 200 (100 to 300) | 1.00 | 2,000 (1,000 to 3,000) | 1.00 | 5.00 |"
    assert f"{textbook} 5.0 % | 4.00 | 100.0 % |\n" in text
    assert "| fast | 100 (50.0 to 100) | 2.00 | 500 (500 to 500) | 4.00 | 20.0 | 20.0 % |" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (1, "1.00"), (12.34, "12.3"), (99.96, "100"), (12345.6, "12,346")],
)
def test_figures_have_three_digits_that_count(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_its_markers_is_left_alone(text: str, tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(text)
    with pytest.raises(UserError, match=r"document.md: want one line `<!-- benchmark: begin -->`"):
        write_between_markers(document, "tables")
    assert document.read_text() == text


def test_tables_may_be_replaced_again(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"a\n{BEGIN}{END}\nb")
    for tables in ("one\n", "two\n"):
        write_between_markers(document, tables)
    assert document.read_text() == f"a\n{BEGIN}\ntwo\n{END}\nb"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rows", "nothing"], "invalid choice: 'nothing'"),
        (["--repeats", "0"], "0: want 1 or more"),
        (["--write", "missing.md"], "missing.md: can't be read"),
        (["--out", "file"], "--out file: File exists; want a folder"),
        (["--out", "file/below"], "--out file/below: Not a directory; want a folder"),
        (["--sections", "speed", "--bad"], "unrecognized arguments: --bad"),
    ],
)
def test_a_bad_argument_is_answered_by_a_line(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    assert said in complaint("benchmark.py", *arguments, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
