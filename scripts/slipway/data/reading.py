"""Open a dataset as a polars LazyFrame: a file, a folder or a glob of parquet, CSV, Arrow or JSON lines."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from slipway.data.types import Types
from slipway.runner.errors import InputError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
TYPED = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
"""Formats that carry types. They also keep columns apart, so that some can be read without the others."""

TEXTS = (pl.String, pl.Categorical, pl.Enum)
"""Types whose values are texts in a CSV."""

NO_TYPES = Types()

ROWS_TO_INFER = 10_000
"""Rows of a text file from which its types are guessed at first."""

FOLDER_FIX = "Give the folder files of one format, or a glob that names some of them: `data/*.parquet`."


def scan(path: str | Path, *, text_columns: Collection[str] = (), types: Types = NO_TYPES) -> pl.LazyFrame:
    """The dataset at `path`, files in order of their names.

    CSV and JSON lines carry no types: they are inferred, in CSV dates included, and a column in which some value is not
    of its type is text. `text_columns`, and what is text in `types`, are read as text whatever they look like (codes
    with leading zeros). A column without any value is of the type that `types` has for it, or else of none (Null). Such
    files are read through once, so that what is returned can be read; parquet and Arrow are only opened.

    Raises InputError where there is nothing, nothing readable, no row, or files that do not belong together.
    """
    files = find_files(path)
    for file in files:
        if not file.stat().st_size:
            raise InputError(f"The data file {file} is empty (0 bytes).", fix="Check the step that writes it.")
    frames = []
    for file in files:
        with unreadable(file):
            frames.append(_scan_file(file, text_columns, types))
    if _format(files[0]) == "csv" and (mixed := _of_several_kinds(frames)):
        # Typed file by file, `00123` would be 123 here, and text beside `A12` there.
        frames = [_scan_file(file, {*text_columns, *mixed}, types) for file in files]
    frame = _together(files, frames)
    with unreadable(path):
        schema = frame.collect_schema()
        _refuse_patterns(schema)
        if _format(files[0]) in ("csv", "ndjson"):
            empty = {name: types.of(name) for name, dtype in schema.items() if dtype == pl.Null}
            frame = frame.with_columns(pl.col(name).cast(dtype) for name, dtype in empty.items() if dtype is not None)
        rows = frame.select(pl.len()).collect(engine="streaming").item()
    if not rows:
        raise InputError(f"The dataset {path} has no rows.", fix="Check the query or the step that writes it.")
    return frame


def find_files(path: str | Path) -> list[Path]:
    """The data files at `path` in order of their names; hidden files and marks like `_SUCCESS` are none."""
    text = str(path)
    if "://" in text:
        raise InputError(
            f"The dataset {text} is not on this machine.",
            fix="Name a path; let DVC or an earlier step of the job bring the data there.",
        )
    place = Path(text)
    if place.is_file():
        files = [place]
    else:
        found = place.rglob("*") if place.is_dir() else _glob(place)
        files = sorted(each for each in found if each.is_file() and _is_data(each, place))
    if not files:
        why = "The folder holds no data file." if place.is_dir() else ""
        raise InputError(
            f"There are no data at {text}.",
            why=why,
            fix="Check the path (it is relative to the repository's root); data that DVC tracks need `dvc pull`.",
        )
    formats = {_format(file) for file in files}
    if len(formats) > 1:
        raise InputError(f"The dataset {text} mixes {' and '.join(sorted(formats))} files.", fix=FOLDER_FIX)
    return files


def codes(path: str | Path) -> set[str]:
    """Columns of CSV files that look like whole numbers and are none: some value has a zero before other digits.

    Every file is read through twice. Raises InputError as `scan` does.
    """
    files = find_files(path)
    if _format(files[0]) != "csv":
        return set()
    whole = [name for name, dtype in scan(path).collect_schema().items() if dtype.is_integer()]
    found: set[str] = set()
    for file in files if whole else ():
        with unreadable(file):
            padded = pl.col(whole).str.contains(r"^\s*[+-]?0\d").any()
            row = pl.scan_csv(file, glob=False, infer_schema=False).select(padded).collect(engine="streaming")
            found |= {name for name in whole if row[name][0]}
    return found


def carries_types(path: str | Path) -> bool:
    """Whether the files say of what type their columns are; then some can also be read without the others.

    Raises InputError where there are none.
    """
    return all(file.name.lower().endswith(TYPED) for file in find_files(path))


def first_line(error: BaseException) -> str:
    """What an exception says, without the query plan that polars adds to it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def unreadable(path: str | Path) -> Iterator[None]:
    """Turn what polars raises on a damaged file into an InputError that names `path`."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeDecodeError) as error:
        why = first_line(error)
        fix = "Write the file again; a transfer or a program may have stopped half-way."
        if "utf-8" in why.lower():
            fix = "Save the file as UTF-8: for example `iconv -f latin1 -t utf-8`."
        elif "more fields" in why:
            fix = "Quote the values that hold the separator, or repair the row that has too many fields."
        raise InputError(f"The data at {path} cannot be read.", why=why, fix=fix) from error


def _glob(pattern: Path) -> Iterator[Path]:
    folder = Path(pattern.anchor)
    return folder.glob(str(pattern.relative_to(folder)))


def _is_data(file: Path, place: Path) -> bool:
    inside = file.relative_to(place) if place.is_dir() else Path(file.name)
    return not any(part.startswith(("_", ".")) for part in inside.parts)


def _format(file: Path) -> str:
    for ending, kind in FORMATS.items():
        if file.name.lower().endswith(ending):
            return kind
    raise InputError(
        f"The data file {file} has an extension that Slipway does not read.",
        fix=f"Known are {', '.join(FORMATS)}. " + FOLDER_FIX,
    )


def _scan_file(file: Path, text_columns: Collection[str], types: Types) -> pl.LazyFrame:
    kind = _format(file)
    if kind == "parquet":
        # Folders called `day=2026-01-31` carry a column in their name.
        frame = pl.scan_parquet(file, glob=False, hive_partitioning=any("=" in part for part in file.parent.parts))
    elif kind == "ipc":
        frame = pl.scan_ipc(file, glob=False)
    elif kind == "csv":
        return _scan_csv(file, text_columns, types)
    else:
        return _readable(lambda infer: pl.scan_ndjson(glob.escape(str(file)), infer_schema_length=infer))
    frame.collect_schema()
    return frame


def _scan_csv(file: Path, text_columns: Collection[str], types: Types) -> pl.LazyFrame:
    header = pl.scan_csv(file, glob=False, has_header=False, n_rows=1, infer_schema=False).collect().row(0)
    if twice := [str(each) for each, times in Counter(header).items() if times > 1]:
        name = min(twice)
        raise InputError(f"The data file {file} has two columns called `{name}`.", fix="Rename one of them.")
    as_text: dict[str, Any] = {
        name: pl.String for name in header if name in text_columns or isinstance(types.of(str(name)), TEXTS)
    }
    options: dict[str, Any] = {"infer_schema_length": ROWS_TO_INFER, "try_parse_dates": True}
    frame = pl.scan_csv(file, glob=False, schema_overrides=as_text, **options)
    try:
        rows, nulls = _read_through(frame)
        if _begins_empty(frame, as_text, rows, nulls):
            options["infer_schema_length"] = None
            frame = pl.scan_csv(file, glob=False, schema_overrides=as_text, **options)
            rows, nulls = _read_through(frame)
    except pl.exceptions.ComputeError:
        # The types were guessed from the first rows. What fits them becomes null here, and is not null as text.
        lenient = pl.scan_csv(file, glob=False, schema_overrides=as_text, ignore_errors=True, **options)
        _, fitting = _read_through(lenient)
        _, text = _read_through(pl.scan_csv(file, glob=False, infer_schema=False))
        as_text |= {name: pl.String for name in header if fitting[name] != text[name]}
        frame = pl.scan_csv(file, glob=False, schema_overrides=as_text, **options)
        rows, nulls = _read_through(frame)
    untyped = [name for name, dtype in frame.collect_schema().items() if nulls[name] == rows and name not in as_text]
    return frame.with_columns(pl.col(untyped).cast(pl.Null)) if untyped else frame


def _begins_empty(frame: pl.LazyFrame, as_text: Collection[str], rows: int, nulls: Mapping[str, int]) -> bool:
    """Whether a column has no value in the rows from which its type was guessed, and some in later ones."""
    late = [
        name
        for name, dtype in frame.collect_schema().items()
        if dtype == pl.String and name not in as_text and ROWS_TO_INFER <= nulls[name] < rows
    ]
    first, missing = _read_through(frame.select(late).head(ROWS_TO_INFER)) if late else (0, {})
    return any(missing[name] == first for name in late)


def _of_several_kinds(frames: list[pl.LazyFrame]) -> set[str]:
    """Columns that are of several kinds in the files: text and numbers, or times with and without a zone."""
    kinds: dict[str, set[object]] = {}
    for frame in frames:
        for name, dtype in frame.collect_schema().items():
            kind = "number" if dtype.is_numeric() else pl.Datetime("us") if dtype == pl.Date else dtype
            kinds.setdefault(name, set()).add(kind)
    return {name for name, found in kinds.items() if len(found - {pl.Null()}) > 1}


def _refuse_patterns(names: Iterable[str]) -> None:
    if patterns := [name for name in names if name.startswith("^") and name.endswith("$")]:
        raise InputError(
            f"The data have a column called `{patterns[0]}`.",
            why="Between ^ and $ it is a pattern to polars and pandera: other columns would be read in its place.",
            fix="Rename the column.",
        )


def _readable(open_with: Callable[[int | None], pl.LazyFrame]) -> pl.LazyFrame:
    """The frame with types from its first rows, or else from all rows."""
    frame = open_with(ROWS_TO_INFER)
    try:
        _read_through(frame)
    except pl.exceptions.ComputeError:
        frame = open_with(None)
        _read_through(frame)
    return frame


def _read_through(frame: pl.LazyFrame) -> tuple[int, dict[str, int]]:
    """Rows, and missing values by column; every row is parsed for it."""
    names = frame.collect_schema().names()
    _refuse_patterns(names)
    counts = [pl.len().alias("rows"), *(pl.col(name).null_count().alias(f"of {name}") for name in names)]
    rows, *nulls = frame.select(counts).collect(engine="streaming").row(0)
    return rows, dict(zip(names, nulls, strict=True))


def _together(files: list[Path], frames: list[pl.LazyFrame]) -> pl.LazyFrame:
    """One frame from all files, which must have the same columns; those of typed formats also the same types."""
    first = frames[0].collect_schema()
    for file, frame in zip(files[1:], frames[1:], strict=True):
        schema = frame.collect_schema()
        if set(schema) != set(first):
            only_first, only_here = sorted(set(first) - set(schema)), sorted(set(schema) - set(first))
            lacks = f"{file} lacks {', '.join(only_first)}. " if only_first else ""
            adds = f"{file} has {', '.join(only_here)} besides." if only_here else ""
            raise InputError(f"{files[0]} and {file} do not have the same columns.", why=lacks + adds, fix=FOLDER_FIX)
        differing = [name for name in first if schema[name] != first[name]]
        if differing and _format(file) in ("parquet", "ipc"):
            name = differing[0]
            why = f"`{name}` is {first[name]} in the one and {schema[name]} in the other."
            raise InputError(f"{files[0]} and {file} do not have the same types.", why=why, fix=FOLDER_FIX)
    if len(frames) == 1:
        return frames[0]
    return pl.concat([frame.select(list(first)) for frame in frames], how="vertical_relaxed")
