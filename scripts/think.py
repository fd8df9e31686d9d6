"""Watch a model think: `python scripts/think.py run=runs/digits/quick/seed0 input=digit.png`."""

from ctm.app.command import key_value_command
from ctm.app.think import ThinkArguments, think

main = key_value_command(think, ThinkArguments)

if __name__ == "__main__":
    main()
