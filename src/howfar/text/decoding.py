"""Bytes of files to text: UTF-8, or refused with the command that makes it UTF-8."""

from __future__ import annotations

import shlex
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path, PurePath

from howfar.errors import CorpusError, HowFarError
from howfar.text.classes import is_chinese_character


def decode(data: bytes, where: str | Path, *, first_line: int = 1, error: type[HowFarError] = CorpusError) -> str:
    """Decode UTF-8; a byte order mark, which is no part of the text, is left out.

    Args:
        data: A file's bytes, or some of its lines.
        where: The file, for what is said.
        first_line: The number in it of the first of the lines.
        error: What is raised.

    Raises:
        HowFarError: They are not UTF-8.
    """
    try:
        return data.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as found:
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
    """Guess what bytes that are not UTF-8 are, by the name that `iconv` knows it by."""
    sample = data[:4096]
    if sample.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "UTF-16"
    if sample.count(0) > len(sample) // 4:
        return "UTF-16LE" if sample[1::2].count(0) > sample[::2].count(0) else "UTF-16BE"
    beyond_ascii = sum(byte > 0x7F for byte in sample)
    chinese = sum(map(is_chinese_character, sample.decode("gb18030", "ignore")))
    return "GB18030" if 4 <= beyond_ascii <= 2.5 * chinese else "WINDOWS-1252"
