"""A CSV file that says which picture is of which class: the columns ``path`` and ``class``, and where wished ``part``.

Paths are from the file's folder on; further columns are passed over. Without a part a share of each class is held out.
"""

import codecs
import csv
import io
from pathlib import Path

from transfercli.pictures.sources import labels
from transfercli.pictures.sources.folders import TRAIN, VALIDATION
from transfercli.pictures.sources.listed import Found, Links
from transfercli.pictures.sources.source import ENDINGS
from transfercli.system.errors import TransferError

ENDING = ".csv"
COLUMNS = ("path", "class")
SEPARATORS = ",;\t"  # of which the header tells one


def read(root: Path) -> Links | None:
    """The pictures of the one CSV file with these columns in a folder; None where there is none. Raises as `of_file` does."""
    files = [file for file in sorted(root.glob(f"*{ENDING}")) if not file.name.startswith(".") and _is_table(file)]
    if len(files) > 1:
        raise TransferError(
            f"{len(files)} tables of pictures in {root}: {', '.join(file.name for file in files)}. Name one of them"
        )
    return of_file(files[0]) if files else None


def of_file(file: Path) -> Links:
    """The pictures that a CSV file lists. Raises TransferError where it is no such table, and OSError."""
    text = _text(file)
    try:
        header = _header(text)
    except csv.Error as error:
        raise TransferError(f"{file} is not CSV, line 1: {error}. Mend that line") from None
    if wrong := [column for column in COLUMNS if header.count(column) != 1]:
        raise TransferError(
            f"{file} begins with {','.join(header)!r}, without {' and '.join(wrong)}. Make it path,class or path,class,part"
        )
    pictures: list[Found] = []
    reader = csv.DictReader(io.StringIO(text, newline=""), header, delimiter=_separator(text), strict=True)
    try:
        _, *rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise TransferError(f"{file} is not CSV, line {reader.line_num + 1}: {error}. Mend that line") from None
    parts = {(row.get("part") or "train").strip().lower() for _, row in rows}
    validation = next((name for name in VALIDATION if name in parts), None)
    for line, row in rows:
        path, name = ((row[column] or "").strip() for column in COLUMNS)
        part = (row.get("part") or "train").strip().lower()
        if not path or not name or None in row or "\0" in path:
            raise TransferError(f"{file}, line {line}: expected {','.join(header)}. Mend that line")
        if part not in (*TRAIN, *VALIDATION):
            raise TransferError(f"{file}, line {line}: {part!r} is no part. Write train, or one of {', '.join(VALIDATION)}")
        if not path.lower().endswith(ENDINGS):
            raise TransferError(f"{file}, line {line}: {path} has no picture's ending ({' '.join(ENDINGS)}). Mend that line")
        if part in TRAIN or part == validation:
            path = path if "/" in path else path.replace("\\", "/")
            pictures.append(Found("train" if part in TRAIN else "val", labels.as_folder(name), path))
    if not pictures:
        raise TransferError(f"{file} lists no pictures. Give each a line: {','.join(header)}")
    return Links(file.parent, pictures, f"the table {file.name}")


def _text(file: Path) -> str:
    """A file of UTF-8, or of UTF-16 as spreadsheets write it."""
    data = file.read_bytes()
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise TransferError(f"{file} is not UTF-8 text. Save it as UTF-8") from None


def _separator(text: str) -> str:
    header = text.partition("\n")[0]
    return max(SEPARATORS, key=header.count)


def _header(text: str) -> list[str]:
    columns: list[str] = next(csv.reader([text.partition("\n")[0].strip()], delimiter=_separator(text)), [])
    return [column.strip() for column in columns]


def _is_table(file: Path) -> bool:
    try:
        return {*COLUMNS} <= {*_header(_text(file))}
    except (TransferError, csv.Error):  # another file, of whatever
        return False
