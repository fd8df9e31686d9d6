"""Measure speed, memory and equality: `python scripts/benchmark.py --out FOLDER`.

`--rows tiny --curves-row tiny --memory-row tiny` is a trial: minutes on any machine.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ctm.app.command import OneLineParser, one_line_errors
from ctm.app.provenance import provenance
from ctm.benchmark.contenders import CONTENDERS
from ctm.benchmark.rows import ROWS, USUAL_ROWS
from ctm.benchmark.run import SECTIONS, Settings, run


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: want 1 or more")
    return number


def settings(arguments: Sequence[str] | None = None) -> Settings:
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/benchmark"), help="folder of tables and figures")
    add("--write", type=Path, help="Markdown document whose tables are replaced")
    add("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION",
        help=f"of {', '.join(SECTIONS)}; default: all")  # fmt: skip
    add("--rows", nargs="+", choices=ROWS, default=USUAL_ROWS, metavar="ROW",
        help=f"of {', '.join(ROWS)}; default: {', '.join(USUAL_ROWS)}")  # fmt: skip
    add("--contenders", nargs="+", choices=CONTENDERS, default=tuple(CONTENDERS),
        metavar="CONTENDER", help=f"of {', '.join(CONTENDERS)}; default: all")  # fmt: skip
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--repeats", type=count, default=5, help="rounds, after one to warm up")
    add("--batch", type=count, help="examples of a call, instead of the rows' own")
    add("--checkpoint-ticks", type=count, help="ticks of a chunk, instead of the rows' own")
    add("--memory-row", choices=ROWS, default="parity", help="memory against ticks: of this row")
    add("--memory-ticks", type=count, nargs="*", default=(15, 30, 60, 120), metavar="TICKS")
    add("--curves-row", choices=ROWS, default="medium", help="cost curves: around this row")
    return Settings(**vars(parser.parse_args(arguments)))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    with one_line_errors():
        chosen = settings()
        run(chosen, provenance(), say)
        print((chosen.out / "benchmark.md").read_text(), end="")


if __name__ == "__main__":
    main()
