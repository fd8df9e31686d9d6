"""Evaluate a trained model: `python scripts/evaluate.py run=runs/digits/quick/seed0`."""

from ctm.app.command import key_value_command
from ctm.app.evaluate import EvaluateArguments, evaluate

main = key_value_command(evaluate, EvaluateArguments)

if __name__ == "__main__":
    main()
