"""Settings of the loop: every wrong one is refused by its name, with what is wanted."""

from typing import Any

import pytest

from ctm.errors import ConfigError
from ctm.training.settings import PRECISIONS, TrainerConfig

COUNTS = ("steps", "batch_size", "accumulate", "clip_window", "log_every", "evaluate_every",
          "checkpoint_every", "evaluation_batch_size", "keep_every")  # fmt: skip

WRONG: list[tuple[str, Any, str]] = [
    *((name, value, "1 or more") for name in COUNTS for value in (0, -3)),
    ("workers", -1, "0 or more"),
    ("clip_norm", 0.0, "more than 0, or null"),
    ("clip_norm", float("nan"), "more than 0, or null"),
    ("clip_quantile", 0.0, "0 < quantile <= 1, or null"),
    ("clip_quantile", 1.5, "0 < quantile <= 1, or null"),
    ("precision", "16", "one of 32, bf16-mixed, 16-mixed"),
    ("accelerator", "gpu", "one of auto, cpu, cuda"),
]


@pytest.mark.parametrize(("name", "value", "want"), WRONG)
def test_a_wrong_setting_is_refused(name: str, value: Any, want: str) -> None:
    with pytest.raises(ConfigError, match=rf"\Atrainer\.{name}={value}: want .*\Z") as refused:
        TrainerConfig(**{name: value})
    assert want in str(refused.value)


def test_both_ways_to_clip_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\Atrainer\.clip_quantile=0\.9: want null .*\Z"):
        TrainerConfig(clip_norm=1.0, clip_quantile=0.9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        dict.fromkeys(COUNTS, 1),
        {"clip_norm": 1e-9},
        {"clip_quantile": 1.0},
        *({"precision": name} for name in PRECISIONS),
        *({"accelerator": name} for name in ("auto", "cpu", "cuda")),
    ],
)
def test_the_outermost_right_settings_are_taken(settings: dict[str, Any]) -> None:
    built = TrainerConfig(**settings)
    assert {name: getattr(built, name) for name in settings} == settings
