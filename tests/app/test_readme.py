"""What the README tells a newcomer to type, typed."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.app.commands import ROOT, command, environment, run_well

README = (ROOT / "README.md").read_text()
# the README's trainings, cut to a few steps
SHORT = ["trainer.steps=4", "trainer.evaluate_every=4"]
CUT = {
    "scripts/train.py": SHORT,
    "scripts/compare.py": [*SHORT, "seeds=1", "models=[ctm,transformer]", "jobs=2"],
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(program: str) -> list[list[str]]:
    lines = "\n".join(blocks("bash")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]


def test_readme_commands_work_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    typed = commands("python")
    assert [words[1] for words in typed] == [
        "scripts/train.py", "scripts/evaluate.py", "scripts/think.py", "scripts/train.py",
        "scripts/compare.py", "scripts/think.py", "scripts/evaluate.py", "scripts/export.py",
    ]  # fmt: skip
    for _, script, *arguments in typed:
        more = CUT.get(script, [])
        assert run_well(Path(script).name, *arguments, *more, cwd=tmp_path, apart=True)
    (piped,) = commands("echo")
    assert "answer" in json.loads(through_a_pipe(piped, tmp_path))
    monkeypatch.chdir(tmp_path)
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), {})


def through_a_pipe(words: list[str], cwd: Path) -> str:
    """What `echo text | python scripts/think.py ...` prints."""
    _, text, _, _, script, *arguments = words
    done = subprocess.run(
        command(Path(script).name, *arguments),
        input=text,
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_readme_and_makefile_name_the_same_targets() -> None:
    for words in commands("make"):
        done = subprocess.run(
            ["make", "-n", "-C", ROOT, *words[1:]], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_readme_lists_every_experiment_with_its_parameters() -> None:
    from ctm.app.compose import compose, experiments
    from ctm.models.build import build_model

    rows = dict(re.findall(r"^\| `(\S+/\S+)` \|.*\| ([\d,]+) \|$", README, flags=re.MULTILINE))
    assert sorted(rows) == experiments()
    for name, parameters in rows.items():
        experiment = compose([f"experiment={name}"])
        model = build_model(experiment.model, experiment.task.spec, device="meta")
        assert sum(weight.numel() for weight in model.parameters()) == int(
            parameters.replace(",", "")
        )


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
