"""Results as Markdown, and where they stand in a document."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ctm.benchmark.contenders import CONTENDERS
from ctm.benchmark.curves import Curve
from ctm.benchmark.memory import MEGA, Memory
from ctm.benchmark.profile import Profile
from ctm.benchmark.results import Results
from ctm.benchmark.speed import Speed
from ctm.benchmark.timing import median
from ctm.errors import UserError

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
MISSING = "-"
TEXTBOOK = "textbook"
SPEED_HEADER = (
    "contender", "inference ms (spread)", "times faster", "training ms (spread)", "times faster",
    "examples/s (training)", "share of matmul peak", "peak memory MB", "of the textbook's",
)  # fmt: skip
LEGEND = (
    "Medians, in brackets the fastest and the slowest round; the contenders, each in a process of "
    "its own, take turns within a round. Times faster: the textbook's median over its own. Share "
    "of matmul peak: operations of the eager engine's training step a second over those of a big "
    "matrix product in the same precision and rounds. Peak memory: of a training step, each in a "
    "process of its own, above what it held before the first."
)


def markdown(results: Results) -> str:
    """All tables of what was measured."""
    parts = [setting(results)]
    rows = [*results.speed, *(row for row in results.memory if row not in results.speed)]
    if rows:
        parts.append(LEGEND)
    for row in rows:
        parts.append(speed_table(row, results.speed.get(row), results.memory.get(row, {})))
        if row in results.equality:
            parts.append(equality_table(results, row))
    if results.memory_against_ticks:
        parts.append(memory_table(results))
    if results.curves:
        parts.append(curves_table(results.curves_row, results.curves))
    parts += map(profile_table, results.profiles)
    return "\n\n".join(parts) + "\n"


def write_between_markers(path: Path, text: str) -> None:
    """Replaces what a document says between the two markers.

    Raises:
        UserError: no such file, or not both markers, once each and in order.
    """
    document = read_marked(path)
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{text.strip()}\n{END}{after}")


def read_marked(path: Path) -> str:
    """A document with both markers."""
    try:
        document = path.read_text()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); want a Markdown file") from None
    once = document.count(BEGIN) == document.count(END) == 1
    if not once or document.index(BEGIN) > document.index(END):
        raise UserError(f"{path}: want one line `{BEGIN}` and below it one line `{END}`")
    return document


# -- tables ------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Names to the left, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def setting(results: Results) -> str:
    """One paragraph: date, machine, versions, how it was measured."""
    where, how = results.provenance, results.settings
    hardware, versions = where["hardware"], where["versions"]
    commit, plus, changes = where["commit"].partition("+")
    gpus = f"{', '.join(hardware['gpus'])}; " if how["device"] != "cpu" else ""
    return (
        f"{where['date'][:10]}, commit {commit[:7]}{plus}{changes}. {gpus}{hardware['cpu']}, "
        f"{hardware['cores']} cores, torch threads: {how['threads']}; "
        f"Python {versions['python']}, torch {versions['torch']}. Rounds: {how['repeats']}."
    )


def speed_table(row: str, speed: Speed | None, memory: dict[str, Memory]) -> str:
    names = [name for name in CONTENDERS if name in memory or (speed and name in speed.training)]
    inference = speed.inference if speed else {}
    training = speed.training if speed else {}
    lines = []
    for name in names:
        share = speed.share_of_peak(name) if speed else None
        lines.append([
            CONTENDERS[name].title,
            spread(inference.get(name)),
            times_faster(inference, name),
            spread(training.get(name)),
            times_faster(training, name),
            figure(speed.batch / median(training[name])) if speed and name in training else MISSING,
            MISSING if share is None else percent(share),
            megabytes(memory.get(name)),
            part_of_textbook(memory, name),
        ])  # fmt: skip
    title = f"**{row}**"
    if speed:
        peaks = ", ".join(f"{median(g):,.0f} GFLOP/s in {p}" for p, g in speed.gflops.items())
        title += (
            f": batch {speed.batch}, {speed.parameters:,} parameters, "
            f"{speed.flops['inference'] / 1e9:,.4g} GFLOP of inference and "
            f"{speed.flops['training'] / 1e9:,.4g} of training a call. The machine: {peaks}; "
            f"copies of {median(speed.copy_gb):,.3g} GB/s."
        )
    return f"{title}\n\n{table(SPEED_HEADER, lines)}"


def equality_table(results: Results, row: str) -> str:
    header = ("contender", "logits: largest difference to the textbook's",
              "gradients: largest relative difference to eager's", "in")  # fmt: skip
    lines = [
        [
            CONTENDERS[name].title,
            f"{found.logits:.1e}",
            MISSING if found.gradients is None else f"{found.gradients:.1e}",
            f"`{found.parameter}`" if found.parameter else MISSING,
        ]
        for name, found in results.equality[row].items()
    ]
    largest = max(found.largest for found in results.equality[row].values())
    title = f"Equality, {row}, without dropout; the textbook's largest logit is {largest:.2g}:"
    return f"{title}\n\n{table(header, lines)}"


def memory_table(results: Results) -> str:
    points = results.memory_against_ticks
    names = list(dict.fromkeys(name for point in points for name in point.contenders))
    lines = [
        [str(point.ticks), *(megabytes(point.contenders.get(name)) for name in names)]
        for point in points
    ]
    titles = [f"{CONTENDERS[name].title}, MB" for name in names]
    title = f"**Peak memory of a training step against ticks** ({results.memory_row}):"
    return f"{title}\n\n{table(['ticks', *titles], lines)}"


def curves_table(row: str, curves: Sequence[Curve]) -> str:
    header = ("against", "contender", "inference ms", "exponent", "last doubling",
              "training ms", "exponent", "last doubling")  # fmt: skip
    lines = []
    for curve in curves:
        for name in curve.training:
            line = [
                f"{curve.size}, {curve.values[0]} to {curve.values[-1]}",
                CONTENDERS[name].title,
            ]
            for mode in ("inference", "training"):
                medians = curve.medians(mode, name)
                line += [
                    f"{figure(1e3 * medians[0])} to {figure(1e3 * medians[-1])}",
                    f"{curve.slope(mode, name):.2f}",
                    f"{curve.last_slope(mode, name):.2f}",
                ]
            lines.append(line)
    title = (
        f"**Cost curves** around `{row}`: time = c * size ^ exponent, by least squares through the "
        "logarithms of the medians:"
    )
    return f"{title}\n\n{table(header, lines)}"


def profile_table(profile: Profile) -> str:
    lines = [
        [f"`{operator.name}`", str(operator.calls), figure(operator.milliseconds),
         percent(operator.share)]
        for operator in profile.operators
    ]  # fmt: skip
    title = (
        f"**Where a training step goes**, {profile.row}, {CONTENDERS[profile.contender].title}: "
        f"operators' own time, {figure(profile.busy)} of {figure(profile.wall)} ms:"
    )
    return f"{title}\n\n{table(('operator', 'calls', 'ms', 'share'), lines)}"


# -- figures -----------------------------------------------------------------------------------


def spread(times: Sequence[float] | None) -> str:
    """Milliseconds: the median (fastest to slowest)."""
    if not times:
        return MISSING
    least, most = (figure(1e3 * value) for value in (min(times), max(times)))
    return f"{figure(1e3 * median(times))} ({least} to {most})"


def times_faster(times: dict[str, list[float]], name: str) -> str:
    if name not in times or TEXTBOOK not in times:
        return MISSING
    return f"{median(times[TEXTBOOK]) / median(times[name]):.2f}"


def part_of_textbook(memory: dict[str, Memory], name: str) -> str:
    if name not in memory or TEXTBOOK not in memory:
        return MISSING
    return percent(memory[name].step / memory[TEXTBOOK].step)


def megabytes(memory: Memory | None) -> str:
    return MISSING if memory is None else figure(memory.step / MEGA)


def figure(value: float) -> str:
    """Three digits that count: 0.123, 12.3, 1,234."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
