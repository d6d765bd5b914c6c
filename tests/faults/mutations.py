# SPDX-License-Identifier: LGPL-3.0-or-later
"""Ways to damage what a user writes: JSON values, JSON files and data folders."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hypothesis.strategies import DataObject

KeyPath = tuple[str | int, ...]

SCALARS = [None, True, False, 0, 1, -1, 2, 7, 0.5, 1.5, -0.5, 1e-30, 1e30, 2**31, 2**63, 10**40]
SCALARS += [float("nan"), float("inf"), float("-inf")]
TEXTS = ["", " ", "x", "Mo", "auto", "1", "-1", "nan", "null", "..", "/", "~", "*", "[", "data/train", "param.json"]
TEXTS += [
    "ä µ 中",
    "a\nb",
    "a\x00b",
    "\ud800",
    "x" * 5000,
    "$(touch canary)",
    "`touch canary`",
    "a b;c",
    '"',
    "'",
    "-x",
]
CONTAINERS = [[], {}, [[]], [{}], {"": 1}, [None], ["x"], [0], [1, 2, 3], {"type": "lammps"}, [[[[1]]]]]
REPLACEMENTS = [*SCALARS, *TEXTS, *CONTAINERS]


def places(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def mutate_json(draw: DataObject, value: Any) -> str:
    """Damage one place of a JSON value in place; returns what was done, in words."""
    path = draw.draw(st.sampled_from(list(places(value))), "place")
    parent = value
    for part in path[:-1]:
        parent = parent[part]
    key = path[-1]
    old = parent[key]
    operations = ["drop", "replace", "replace", "replace", "wrap", "nest", "text", "move"]
    operations += ["rename", "case"] if isinstance(key, str) else ["repeat"]
    operations += ["negate", "scale"] if isinstance(old, (int, float)) and not isinstance(old, bool) else []
    operations += ["shorten", "reverse", "swap"] if isinstance(old, (list, str)) and old else []
    operation = draw.draw(st.sampled_from(operations), "operation")
    new: Any = None
    if operation == "drop":
        del parent[key]
    elif operation == "replace":
        new = parent[key] = json.loads(json.dumps(draw.draw(st.sampled_from(REPLACEMENTS), "new")))
    elif operation == "wrap":
        parent[key] = [old]
    elif operation == "nest":
        parent[key] = {str(key): old}
    elif operation == "text":
        parent[key] = json.dumps(old)
    elif operation == "move":
        targets = [
            place for place in places(value) if isinstance(_at(value, place), dict) and place[: len(path)] != path
        ]
        if targets:
            del parent[key]
            new = draw.draw(st.sampled_from(targets), "target")
            if isinstance(_at(value, new, default=None), dict):
                _at(value, new)[str(key)] = old
    elif operation == "rename":
        del parent[key]
        new = draw.draw(st.sampled_from([key + "s", key[:-1], key[1:], "_" + key, key.replace("_", "-"), "ä"]), "name")
        parent[new] = old
    elif operation == "case":
        del parent[key]
        parent[key.upper()] = old
    elif operation == "repeat":
        parent.insert(key, old)
    elif operation == "negate":
        parent[key] = -old
    elif operation == "scale":
        parent[key] = old * draw.draw(st.sampled_from([0, 1e6, 10**12, 1e-6, 1.5]), "factor")
    elif operation == "shorten":
        parent[key] = old[:-1]
    elif operation == "reverse":
        parent[key] = old[::-1]
    elif operation == "swap":
        parent[key] = old + old
    return f"{operation} {path} {str(new)[:60]!r}"


def _at(value: Any, path: KeyPath, **default: Any) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            if not default:
                raise
            return default["default"]
    return value


def mutate_text(draw: DataObject, path: Path) -> str:
    """Damage a JSON file as a file; returns what was done, in words."""
    raw = path.read_bytes()
    at = draw.draw(st.integers(0, len(raw) - 1), "at")
    operation = draw.draw(st.sampled_from(list(TEXT_OPERATIONS)), "operation")
    result = TEXT_OPERATIONS[operation](raw, at)
    path.unlink()
    if result is DIRECTORY:
        path.mkdir()
    elif result is DANGLING:
        path.symlink_to("nowhere.json")
    elif result is not None:
        path.write_bytes(result)
    return f"{operation} {path.name} at {at}"


DIRECTORY, DANGLING = object(), object()
TEXT_OPERATIONS: dict[str, Any] = {
    "remove": lambda raw, at: None,
    "directory": lambda raw, at: DIRECTORY,
    "dangling link": lambda raw, at: DANGLING,
    "empty": lambda raw, at: b"",
    "truncate": lambda raw, at: raw[:at],
    "delete a byte": lambda raw, at: raw[:at] + raw[at + 1 :],
    "no UTF-8": lambda raw, at: raw[:at] + b"\xff\xfe" + raw[at:],
    "null byte": lambda raw, at: raw[:at] + b"\x00" + raw[at:],
    "byte order mark": lambda raw, at: b"\xef\xbb\xbf" + raw,
    "UTF-16": lambda raw, at: raw.decode().encode("utf-16"),
    "Windows lines": lambda raw, at: raw.replace(b"\n", b"\r\n"),
    "twice": lambda raw, at: raw + raw,
    "a list": lambda raw, at: b"[" + raw + b"]",
    "null": lambda raw, at: b"null",
    "number": lambda raw, at: b"1",
    "comment": lambda raw, at: b"// mine\n" + raw,
    "deep": lambda raw, at: b'{"ipip": ' + b"[" * 100000 + b"]" * 100000 + b"}",
    "rather deep": lambda raw, at: raw.rstrip()[:-1] + b', "_x": ' + b"[" * 400 + b"]" * 400 + b"}",
    "duplicate keys": lambda raw, at: raw.replace(b"{", b'{"type": "a", "type": "b", ', 1),
    "duplicate section": lambda raw, at: raw.rstrip()[:-1] + b', "train": {}, "numb_models": 3}',
    "single quotes": lambda raw, at: raw.replace(b'"', b"'"),
    "random byte": lambda raw, at: raw[:at] + bytes([(at * 7919) % 256]) + raw[at + 1 :],
}


def mutate_data(draw: DataObject, folder: Path) -> str:
    """Damage one file below a data folder; returns what was done, in words."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.name.startswith("set."))
    path = draw.draw(st.sampled_from(files), "file")
    operations = dict(FILE_OPERATIONS)
    if path.suffix == ".npy":
        operations.update(ARRAY_OPERATIONS)
    elif path.suffix == ".raw":
        operations.update(RAW_OPERATIONS)
    if path.is_dir():
        operations = FOLDER_OPERATIONS
    operation = draw.draw(st.sampled_from(list(operations)), "operation")
    operations[operation](path)
    return f"{operation}: {path.relative_to(folder)}"


def _as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_link(target: str) -> Any:
    def apply(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return apply


FILE_OPERATIONS: dict[str, Any] = {
    "remove": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncate": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "append": lambda path: path.write_bytes(path.read_bytes() + b"\xff junk"),
    "directory": _as_directory,
    "dangling link": _as_link("nowhere"),
    "link to itself": lambda path: _as_link(path.name)(path),
    "link to a device": _as_link("/dev/null"),
}
FOLDER_OPERATIONS: dict[str, Any] = {
    "remove": lambda path: shutil.rmtree(path),
    "rename": lambda path: path.rename(path.with_name("sets.000")),
    "file": lambda path: (shutil.rmtree(path), path.write_text("x")),
    "twice": lambda path: shutil.copytree(path, path.with_name("set.001")),
    "empty": lambda path: (shutil.rmtree(path), path.mkdir()),
    "no boundaries": lambda path: (path.parent / "nopbc").write_text(""),
    "mixed": lambda path: np.save(path / "real_atom_types.npy", np.zeros((24, 27), dtype=int)),
    "odd virials": lambda path: np.save(path / "virial.npy", np.zeros((24, 8))),
    "few virials": lambda path: np.save(path / "virial.npy", np.zeros((3, 9))),
}


def _changed(change: Any) -> Any:
    def apply(path: Path) -> None:
        array = np.load(path)
        with path.open("wb") as file:
            np.save(file, change(array), allow_pickle=True)

    return apply


def _filled(value: float) -> Any:
    def change(array: np.ndarray) -> np.ndarray:
        array.reshape(len(array), -1)[0] = value
        return array

    return _changed(change)


ARRAY_OPERATIONS: dict[str, Any] = {
    "fewer frames": _changed(lambda a: a[1:]),
    "no frames": _changed(lambda a: a[:0]),
    "fewer atoms": _changed(lambda a: a.reshape(len(a), -1)[:, 3:]),
    "flat": _changed(lambda a: a.ravel()),
    "cubic": _changed(lambda a: a.reshape(len(a), -1, 1)),
    "transposed": _changed(lambda a: a.T),
    "one number": _changed(lambda a: np.array(1.0)),
    "strings": _changed(lambda a: a.astype(str)),
    "objects": _changed(lambda a: a.astype(object)),
    "complex": _changed(lambda a: a.astype(complex)),
    "booleans": _changed(lambda a: a.astype(bool)),
    "half precision": _changed(lambda a: a.astype(np.float32)),
    "big endian": _changed(lambda a: a.astype(">f8")),
    "Fortran order": _changed(np.asfortranarray),
    "records": _changed(lambda a: np.zeros(len(a), dtype=[("x", float)])),
    "dates": _changed(lambda a: np.zeros(a.shape, dtype="M8[s]")),
    "NaN": _filled(np.nan),
    "infinity": _filled(-np.inf),
    "zero": _filled(0.0),
    "huge": _filled(1e300),
}
RAW_OPERATIONS: dict[str, Any] = {
    "swap": lambda path: path.write_text("\n".join(path.read_text().split()[::-1])),
    "words": lambda path: path.write_text("one two three"),
    "negative": lambda path: path.write_text(path.read_text().replace("0", "-1", 1)),
    "large": lambda path: path.write_text(path.read_text().replace("0", "99", 1)),
    "fractions": lambda path: path.write_text(path.read_text().replace("0", "0.5")),
    "fewer": lambda path: path.write_text("\n".join(path.read_text().split()[:-1])),
    "more": lambda path: path.write_text(path.read_text() + "\n0\n"),
    "other elements": lambda path: path.write_text("Xx\nYy\n"),
    "one line": lambda path: path.write_text(" ".join(path.read_text().split())),
}
