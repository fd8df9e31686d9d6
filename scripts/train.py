"""Train a model: `python scripts/train.py experiment=digits/quick`.

The same command goes on with a run that was stopped. `describe=true` shows what would be trained.
"""

from ctm.app.command import hydra_command
from ctm.app.train import train

main = hydra_command(train)

if __name__ == "__main__":
    main()
