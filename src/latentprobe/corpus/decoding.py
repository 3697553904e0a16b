"""From the bytes of a file to its text: UTF-8, with or without a byte-order mark. Knows nothing of rows."""

from __future__ import annotations

import codecs
import gzip
import zlib

from latentprobe.errors import CorpusError

_GZIP = b"\x1f\x8b"


def unpacked(content: bytes, source: str) -> bytes:
    """The content of a gzip file, told by its first two bytes; any other content unchanged.

    Raises:
        CorpusError: the compressed data are cut short or damaged.
    """
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(
            f"{source} cannot be unpacked", got=f"damaged gzip data ({error})", fix="fetch or compress the file again"
        ) from error


def decoded(content: bytes, source: str) -> str:
    """The text of UTF-8 bytes. No other encoding is guessed: a wrong guess changes texts without a word.

    Raises:
        CorpusError: naming the line and the byte that is not UTF-8.

    >>> decoded(b"\\xef\\xbb\\xbfcaf\\xc3\\xa9", "a.csv")
    'café'
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _not_utf8(source, got="the mark of UTF-16 at the start", encoding="UTF-16")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        place = error.start - content.rfind(b"\n", 0, error.start)
        got = f"line {line}, byte {place} of the line: 0x{content[error.start]:02x}"
        raise _not_utf8(source, got=got, encoding="LATIN1") from error


def _not_utf8(source: str, *, got: str, encoding: str) -> CorpusError:
    return CorpusError(
        f"{source} is not UTF-8",
        got=got,
        fix=f"save it as UTF-8; if it is {encoding}: iconv -f {encoding} -t UTF-8 OLD > NEW",
    )
