"""Compare models on equal terms: `python scripts/compare.py experiment=digits/quick seeds=3`."""

import sys

from ctm.app.command import one_line_errors
from ctm.app.compare import compare


def main() -> None:
    with one_line_errors():
        sys.exit(compare(sys.argv[1:]))


if __name__ == "__main__":
    main()
