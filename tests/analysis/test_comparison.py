"""The curves of several models in one picture."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from ctm.analysis.comparison import LOOKS, Line, Panel, comparison_figure


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_a_legend_of_all_models_stays_within_the_picture(panels: int, tmp_path: Path) -> None:
    lines = {name: [Line(range(8), [1.0] * 8)] for name in LOOKS}
    panel = Panel("test", "symbols", lines, names=[str(size) for size in range(8)])
    comparison_figure([panel] * panels, tmp_path / "sizes.png")
    picture = imread(tmp_path / "sizes.png")[..., :3]
    legend = picture[int(0.85 * len(picture)) :]
    assert (legend < 0.9).any()
    background = picture[0, 0]
    assert (legend[:, -4:] == background).all()
