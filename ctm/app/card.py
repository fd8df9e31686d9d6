"""The model card of an exported folder."""

from typing import Any

from ctm.app.describe import count
from ctm.interface import Readout
from ctm.metrics.evaluation import by
from ctm.models.pretrained import Pretrained
from ctm.tasks import Task

PAPER = "https://arxiv.org/abs/2505.05522"


def card(found: Pretrained, task: Task, result: dict[str, Any]) -> str:
    """Markdown: what the model is, how good, what it reads and how to load it.

    Args:
        result: of its run; empty where there is none, and then there are no numbers.
    """
    model, config = found.model, found.config
    about = task.about_inputs()
    kind = f"kind `{config.kind}`, {count(model):,} parameters, {model.ticks} internal ticks"
    reads = "\n".join(f"- {name}: `{value}`" for name, value in about.items())
    labels = ", ".join(task.labels[:20]) + (", ..." if len(task.labels) > 20 else "")
    return f"""---
library_name: pytorch
tags:
- continuous-thought-machine
- {task.kind}
---

# {config.kind} for {task.kind}

A model of the Continuous Thought Machine's code base ([paper]({PAPER})): {kind}.
It answers by the readout `{config.readout}`.

## Load it

```python
import ctm

model = ctm.load("this folder, or its id on the hub")
found = model.think(inputs, stop_at=0.9)  # found.logits, found.ticks, found.certainty
```

## What it reads

{reads}

Classes: {labels}. All of this stands in `config.json`, too.

{numbers(result)}
"""


def numbers(result: dict[str, Any]) -> str:
    """What its run came to."""
    match result:
        case {"readout": str() as readout, "test": {"accuracy": dict() as accuracy, **test}}:
            pass
        case _:
            return "It came without the numbers of a test."
    rows = [("test accuracy", f"{by(Readout(readout), accuracy):.2%}")]
    if "calibration_error" in test:
        rows.append(("calibration error", f"{by(Readout(readout), test['calibration_error']):.3f}"))
    rows.append(("test examples", f"{test['examples']:,}"))
    rows += [(name, str(result[name])) for name in ("experiment", "seed", "steps", "date", "commit")
             if name in result]  # fmt: skip
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"## What it came to\n\n| | |\n|---|---|\n{table}"
