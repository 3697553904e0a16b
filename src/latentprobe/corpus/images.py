"""Image files as pixels, with a defined fate for every odd one. Knows nothing of labels, folders or models.

animated                    its first frame
transparent                 composited on white
rotated by its EXIF data    turned the way it is meant to be seen
CMYK, grey, palette, ...    converted to RGB; colour profiles are not applied
16 bits a channel           the upper 8 of them
empty, cut short, damaged, not an image, of more than ``MAX_PIXELS``     refused, naming the file
"""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from latentprobe.corpus.wording import counted, listed
from latentprobe.errors import CorpusError, MissingExtraError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "MAX_PIXELS", "ImageFile", "check_images", "notes_on", "pixels", "require_pillow"]

#: Width times height of an image, at most; as RGB it takes 192 MB. A small file may unpack to any size.
MAX_PIXELS = 64_000_000

#: Only these decoders are ever run, whatever the file says it is: others call outside programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

#: What decoders raise on damaged files.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, TypeError, struct.error, zlib.error)

#: What was done to an image, as a note says it.
_CHANGES = {
    "animated": "of several frames or pages, of which the first is read",
    "deep": "of 16 bits a channel, of which the upper 8 are read",
    "rotated": "turned as the EXIF data say",
    "transparent": "transparent, and are composited on white",
    "converted": "of another colour mode, and are converted to RGB",
}


@dataclass(frozen=True)
class ImageFile:
    """An image that has been read whole once: a file, or a cell of a table."""

    path: Path
    """Where the file is; of an image in a table, what to call it."""
    sha256: str
    """Of the bytes of the file."""
    changes: tuple[str, ...] = ()
    """What its pixels went through: animated, deep, rotated, transparent, converted."""
    pixels_sha256: str = ""
    """Of its size and its pixels as they are seen: the same for copies in whatever format."""
    content: bytes | None = field(default=None, repr=False)
    """The file's bytes, where it is no file but a cell of a table."""

    @property
    def name(self) -> str:
        """Its file, with the folder it is in."""
        return "/".join(self.path.parts[-2:])


def check_images(paths: Sequence[Path], contents: Sequence[bytes | None] | None = None) -> list[ImageFile]:
    """Read every file once, so that what cannot be used is refused before anything is computed.

    Args:
        paths: of the files.
        contents: where given, of each the bytes themselves, or None where they are in the file.

    Raises:
        CorpusError: naming the first file that cannot be read as an image.
        MissingExtraError: pillow is not installed.
    """
    require_pillow()
    with warnings.catch_warnings():  # Pillow warns of what is refused or put right here
        warnings.filterwarnings("ignore", module="PIL")
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(_checked, paths, [None] * len(paths) if contents is None else contents))


def pixels(image: ImageFile) -> Image.Image:
    """The image as RGB, upright, without transparency.

    Raises:
        CorpusError: the file is gone, or is not the one that was checked.
    """
    content = _content(image.path) if image.content is None else image.content
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise CorpusError(
            "an image must not change while it is worked on",
            got=f"other bytes in {image.path}",
            fix="run again: the image is then read as it is now",
        )
    return _decoded(content, image.path)[0]


def notes_on(images: Iterable[ImageFile], ids: Sequence[str]) -> list[str]:
    """Sentences on what was done to which images."""
    changed: dict[str, list[str]] = {change: [] for change in _CHANGES}
    for row, image in zip(ids, images, strict=True):
        for change in image.changes:
            changed[change].append(row)
    return [
        f"{counted(len(rows), 'image')} {_CHANGES[change]}: {listed(rows)}." for change, rows in changed.items() if rows
    ]


def require_pillow() -> None:
    """Refuse to go on without the package that reads images, naming the extra."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("vision", needed_for="reading images", missing="pillow") from error


def _checked(path: Path, given: bytes | None) -> ImageFile:
    content = _content(path, given)
    picture, changes = _decoded(content, path)
    seen = hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()
    return ImageFile(path, hashlib.sha256(content).hexdigest(), changes, seen, given)


def _content(path: Path, given: bytes | None = None) -> bytes:
    try:
        content = path.read_bytes() if given is None else given
    except OSError as error:
        raise CorpusError(
            "the image cannot be read", got=f"{path}: {error.strerror or error}", fix="check the path, or leave it out"
        ) from error
    if not content:
        raise CorpusError("an image holds something", got=f"an empty file, {path}", fix="get it again, or leave it out")
    return content


def _decoded(content: bytes, path: Path) -> tuple[Image.Image, tuple[str, ...]]:
    """The RGB image in some bytes, and what was done to get it."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                image.load()
                return _upright_rgb(image)
            size = f"{image.width} x {image.height}"
    except UnidentifiedImageError as error:
        raise CorpusError(
            f"an image was expected: {', '.join(FORMATS)}",
            got=f"something else in {path}",
            fix="convert the file, or take it out of the data",
        ) from error
    except Image.DecompressionBombError:
        size = "far more"
    except _DAMAGED as error:
        raise CorpusError(
            "the image is damaged or cut short", got=f"{path}: {error}", fix="get the file again, or leave it out"
        ) from error
    raise CorpusError(
        f"an image has at most {MAX_PIXELS:,} pixels", got=f"{size} in {path}", fix="scale it down, or leave it out"
    )


def _upright_rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """The first frame as RGB, turned as EXIF says, on white where it is transparent."""
    from PIL import Image, ImageOps

    changes = ["animated"] * bool(getattr(image, "is_animated", False))
    orientation = image.getexif().get(0x0112, 1)
    if orientation in range(2, 9):
        changes.append("rotated")
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        changes.append("deep")
        image = _eight_bits(image)
    if image.has_transparency_data:
        changes.append("transparent")
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    elif image.mode != "RGB":
        changes.append("converted")
    return image.convert("RGB"), tuple(changes)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 bits as one of 8. Pillow's own conversion clips at 255, which turns it white."""
    from PIL import Image

    values = np.asarray(image)
    if not np.issubdtype(values.dtype, np.integer) or values.min() < 0 or values.max() > 65535:
        raise ValueError("grey values are not whole numbers from 0 to 65,535")
    return Image.fromarray((values >> 8).astype(np.uint8))
