"""Picture files, opened or refused in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from ctm.errors import UserError, first_line

# what Pillow raises for files that are no pictures, are cut off, or unpack to something huge
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@contextmanager
def opened(
    path: Path | str, *, prefix: str = "", want: str = "a picture", todo: str = ""
) -> Iterator[Image.Image]:
    """A picture file, of which all within the `with` may read.

    Args:
        prefix: what an error says before the file's name.
        want: what should have been there.
        todo: what to do about a file that can't be read.

    Raises:
        UserError: no such file, or not a picture.
    """
    name = f"{prefix}{printable(path)}"
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise UserError(f"{name}: no such file; want {want}") from None
    except UserError:  # of what is in the picture; it is a ValueError too
        raise
    except UNREADABLE as error:
        reason = f"({first_line(error)}){todo and '; '}{todo}"
        raise UserError(f"{name}: not a picture that can be read {reason}") from None


def on_white(image: Image.Image) -> Image.Image:
    """A picture in RGB; see-through parts are white."""
    coloured = image.convert("RGBA")
    ground = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(ground, coloured).convert("RGB")


def printable(name: Path | str) -> str:
    """A file's name on one line, whatever it holds."""
    return repr(str(name))[1:-1]
