"""Hand a trained model on: `python scripts/export.py run=runs/digits/quick/seed0 to=hub`."""

from ctm.app.command import key_value_command
from ctm.app.export import ExportArguments, export

main = key_value_command(export, ExportArguments)

if __name__ == "__main__":
    main()
