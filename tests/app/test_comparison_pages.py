"""The comparisons in docs/ say what their records say."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from ctm.app.compare import SPEED
from ctm.app.compare.arguments import READERS, parsed
from ctm.app.compare.comparison import Comparison
from ctm.app.compare.outcomes import finished, underway
from ctm.app.compare.plan import contestants, runs
from ctm.app.compare.records import RECORDS, Records
from ctm.app.compare.report import write_report
from ctm.app.compare.training import unfinished
from ctm.app.compare.tuning import results, trials, tuned
from ctm.app.result import read_json
from tests.app.commands import ROOT

PAGES = sorted(path.parent for path in ROOT.glob(f"docs/comparison/*/{RECORDS}"))
OVERVIEW = ROOT / "docs" / "comparison.md"


@pytest.mark.parametrize("folder", PAGES, ids=lambda path: path.name)
def test_a_page_is_written_again_from_its_records(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (folder / "report.md").read_text()
    (command,) = re.findall(r"`python scripts/compare\.py (.*)`", page)
    arguments = parsed([*shlex.split(command), "out=there"])
    arguments.out.mkdir()
    shutil.copy(folder / RECORDS, arguments.out)
    found, records = contestants(arguments), Records(arguments.out)
    tried = results(finished(list(trials(arguments, found)), records))
    found = [tuned(contestant, tried) for contestant in found]
    planned = list(runs(arguments, found))
    comparison = Comparison(
        arguments,
        found,
        finished(planned, records),
        unfinished(planned, records),
        underway(planned, records),
        read_json(folder / SPEED),
        f"python scripts/compare.py {command}",
        tried,
    )
    assert write_report(comparison).read_text() == page
    assert (arguments.out / "runs.csv").read_text() == (folder / "runs.csv").read_text()


def test_every_accuracy_of_the_overview_stands_where_it_was_measured() -> None:
    pages = [*ROOT.glob("docs/comparison/*/report.md"), ROOT / "docs" / "results.md"]
    measured = {found for page in pages for found in accuracies(page)}
    assert accuracies(OVERVIEW) <= measured


def accuracies(page: Path) -> set[str]:
    """All that stand there with their deviation."""
    return set(re.findall(r"\d+\.\d\d ± \d+\.\d\d", page.read_text()))


def test_the_overview_names_every_word_of_the_command() -> None:
    for word in READERS:
        assert f"`{word}=" in OVERVIEW.read_text(), word
