"""Ways in which files get damaged: bytes, text, and what an HDF5 file says about itself."""

from __future__ import annotations

import random
import re
from pathlib import Path

import h5py
import numpy as np

TEXT = (".mtx", ".tsv", ".csv", ".json", ".zarray", ".zattrs", ".zgroup")


def flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 4, 64])):
        data[rng.randrange(len(data))] = rng.randrange(256)


def truncated(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def zeroed(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice([16, 512, 4096]))
    data[start:stop] = bytes(stop - start)


def swapped(data: bytearray, rng: random.Random) -> None:
    size = min(len(data) // 2, rng.choice([16, 512, 4096]))
    one, two = sorted(rng.randrange(len(data) - size + 1) for _ in range(2))
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]


def inserted(data: bytearray, rng: random.Random) -> None:
    place = rng.randrange(len(data))
    data[place:place] = rng.randbytes(rng.choice([1, 64, 4096]))


BYTES = (flipped, truncated, zeroed, swapped, inserted)
ODD = ("-1", "999999999999", "1e400", "nan", "", "x" * 10_000, "\x00", "0", "2.5", "\n\n", '"')


def edited_text(data: bytearray, rng: random.Random) -> None:
    """Replace a number or name by an odd one, or lose, repeat or move a line."""
    text = data.decode("latin-1")
    if rng.random() < 0.6:
        words = list(re.finditer(r"[^\s,:\[\]{}\"]+", text))
        word = rng.choice(words[:20] if rng.random() < 0.4 else words)
        text = text[: word.start()] + rng.choice(ODD) + text[word.end() :]
    else:
        lines = text.splitlines(keepends=True)
        line = lines.pop(rng.randrange(len(lines)))
        for _ in range(rng.choice([0, 1, 2])):
            lines.insert(rng.randrange(len(lines) + 1), line)
    data[:] = text.encode("latin-1")


def edited_hdf5(path: Path, rng: random.Random) -> None:
    """Change an attribute, a value, a length or a type, or lose a part."""
    with h5py.File(path, "a") as handle:
        names: list[str] = []
        handle.visit(names.append)
        pointers = [
            name for name in names if name.rsplit("/")[-1] in ("indptr", "indices", "codes")
        ]
        items = {name: handle[name] for name in names}
        arrays = [name for name, item in items.items() if isinstance(item, h5py.Dataset)]
        change = rng.choice([_attribute, _value, _value, _length, _type, _loss])
        if change in (_attribute, _loss):
            arrays = names
        elif change is _value and pointers and rng.random() < 0.5:
            arrays = pointers
        change(handle, rng.choice(arrays), rng)


def _attribute(handle: h5py.File, name: str, rng: random.Random) -> None:
    attributes = handle[name].attrs
    known = [*attributes, "shape", "encoding-type", "_index"]
    attributes[rng.choice(known)] = rng.choice(
        [-1, 1 << 40, "nonsense", "csr_matrix", "categorical", [1, 2, 3], [1 << 40, 1 << 40], 0.5]
    )


def _value(handle: h5py.File, name: str, rng: random.Random) -> None:
    item = handle[name]
    if not item.shape or not item.size:
        return
    place = tuple(rng.randrange(length) for length in item.shape)
    if item.dtype.kind in "iub":
        limits = np.iinfo(item.dtype) if item.dtype.kind != "b" else np.iinfo("u1")
        item[place] = rng.choice([int(limits.max), int(limits.min), int(limits.max) // 2, 0, 1])
    elif item.dtype.kind == "f":
        item[place] = rng.choice([np.nan, np.inf, -1.0, 1e30, 0.5])
    else:
        item[place] = rng.choice(["", "\udcff".encode("utf8", "surrogateescape"), "x" * 10_000])


def _replace(handle: h5py.File, name: str, data: np.ndarray) -> None:
    kept = dict(handle[name].attrs)
    del handle[name]
    handle[name] = data
    handle[name].attrs.update(kept)


def _length(handle: h5py.File, name: str, rng: random.Random) -> None:
    data = np.atleast_1d(handle[name][()])
    size = rng.choice([0, 1, max(0, len(data) - 1), len(data) + 1, 3 * len(data)])
    _replace(handle, name, np.resize(data, (size, *data.shape[1:])) if len(data) else data)


def _type(handle: h5py.File, name: str, rng: random.Random) -> None:
    data = np.atleast_1d(handle[name][()])
    kind = rng.choice(["S8", "f4", "i8", "u1", "c8"])
    try:
        data = data.astype(kind)
    except (ValueError, TypeError):
        data = np.zeros(data.shape, kind)
    _replace(handle, name, data)


def _loss(handle: h5py.File, name: str, rng: random.Random) -> None:
    del handle[name]


def damage(path: Path, rng: random.Random) -> str:
    """Damage one file, or one of a folder's, and say how."""
    file = path
    if path.is_dir():
        file = rng.choice(sorted(part for part in path.rglob("*") if part.is_file()))
        if rng.random() < 0.05:
            file.unlink()
            return "lost file"
    if file.suffix in (".h5ad", ".h5") and rng.random() < 0.5:
        edited_hdf5(file, rng)
        return "edited"
    data = bytearray(file.read_bytes())
    text = file.suffix in TEXT
    change = edited_text if text and rng.random() < 0.5 else rng.choice(BYTES)
    if data:
        change(data, rng)
    file.write_bytes(data)
    return change.__name__.split("_")[0]
