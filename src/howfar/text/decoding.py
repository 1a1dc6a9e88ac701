"""Decode files as UTF-8, or refuse them and name the command that converts them."""

from __future__ import annotations

import shlex
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from pathlib import Path, PurePath

from howfar.errors import CorpusError, HowFarError
from howfar.text.classes import is_chinese_character

_PACKED = {b"\x1f\x8b": "gunzip -k", b"BZh91AY": "bunzip2 -k", b"\xfd7zXZ": "unxz -k", b"\x28\xb5\x2f\xfd": "unzstd"}
_OTHER = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\xff\xd8\xff": "a picture",
    b"GIF87a": "a picture",
    b"GIF89a": "a picture",
    b"{\\rtf": "an office document",
    b"%!PS": "a page for a printer",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"%PDF-": "a PDF",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"\x89PNG": "a picture",
    b"SQLite format 3\0": "a database",
}
_SAMPLE = 4096
_CONTROLS = bytes({*range(32), 127} - {*b"\t\n\v\f\r\x1b"})


def refuse_other_than_text(beginning: bytes, where: str | Path, *, error: type[HowFarError] = CorpusError) -> None:
    """Refuse a file whose first bytes show that it is not text.

    Args:
        beginning: Its first bytes.
        where: The file, for messages.
        error: The exception to raise.

    Raises:
        HowFarError: It is compressed, or a file of another program.
    """
    for magic, command in _PACKED.items():
        if beginning.startswith(magic):
            raise error(f"{where} is compressed; unpack it first: {command} {shlex.quote(str(where))}")
    for magic, what in _OTHER.items():
        if beginning.startswith(magic):
            raise error(f"{where} is {what}, not text; save its text as a .txt file and name that")


def decode(data: bytes, where: str | Path, *, first_line: int = 1, error: type[HowFarError] = CorpusError) -> str:
    """Decode UTF-8, drop a byte order mark, and end every line in a line feed, as Python does in files of text.

    Args:
        data: A file's bytes, or some of its lines.
        where: The file, for messages.
        first_line: Number of the first of these lines in the file.
        error: The exception to raise.

    Raises:
        HowFarError: They are not UTF-8 or not text.
    """
    if first_line == 1 and data.startswith(tuple(_OTHER)):  # a PDF, for example, may also be UTF-8
        refuse_other_than_text(data, where, error=error)
    try:
        if _has_zeros(data):  # ASCII as UTF-16 is valid UTF-8
            raise UnicodeDecodeError("utf-8", data[:_SAMPLE], data.index(0), data.index(0) + 1, "zero bytes")
        return without_mark(data).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as found:
        if first_line == 1:
            refuse_other_than_text(data, where, error=error)
        if _is_binary(data):
            raise error(f"{where} holds binary data, not text; name a file of text") from None
        start = found.start + (len(BOM_UTF8) if data.startswith(BOM_UTF8) else 0)
        line, column = first_line + data.count(b"\n", 0, start), start - data.rfind(b"\n", 0, start) - 1
        name = PurePath(where)
        command = f"iconv -f {likely_encoding(data)} -t UTF-8 {shlex.quote(str(where))}"
        if isinstance(where, Path):
            command += f" > {shlex.quote(str(name.with_name(f'{name.stem}.utf8{name.suffix}')))}"
        raise error(
            f"{where} is not UTF-8 (byte 0x{data[start]:02x} at {column:,} in line {line}); if that is its encoding, "
            f"convert it: {command}"
        ) from None


def likely_encoding(data: bytes) -> str:
    """Guess the encoding of bytes that are not UTF-8, by its name in `iconv`."""
    sample = data[:_SAMPLE]
    if wide := _wide_encoding(sample):
        return wide
    beyond_ascii = sum(byte > 0x7F for byte in sample)
    chinese = sum(map(is_chinese_character, sample.decode("gb18030", "ignore")))
    return "GB18030" if 4 <= beyond_ascii <= 2.5 * chinese else "WINDOWS-1252"


def without_mark(data: bytes) -> bytes:
    """A file's bytes without a byte order mark of UTF-8."""
    return data.removeprefix(BOM_UTF8)


def _has_zeros(data: bytes) -> bool:
    """Whether more than a quarter of the bytes are zero, as in UTF-16 and UTF-32 but not in UTF-8."""
    sample = data[:_SAMPLE]
    return len(sample) >= 8 and sample.count(0) > len(sample) // 4


def _wide_encoding(sample: bytes) -> str | None:
    """The encoding of bytes that begin with its mark, or are zero where its characters have a zero byte."""
    if sample.startswith((BOM_UTF32_LE, BOM_UTF32_BE)):
        return "UTF-32"
    if sample.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "UTF-16"
    if not _has_zeros(sample):
        return None
    are_often_zero = "".join("01"[sample[place::4].count(0) > len(sample) // 10] for place in range(4))
    return {"0101": "UTF-16LE", "1010": "UTF-16BE", "0111": "UTF-32LE", "1110": "UTF-32BE"}.get(are_often_zero)


def _is_binary(data: bytes) -> bool:
    """Whether control characters are common at the beginning, as in no encoding of text."""
    sample = data[:_SAMPLE]
    if _wide_encoding(sample):
        return False
    return len(sample) - len(sample.translate(None, _CONTROLS)) > len(sample) // 50
