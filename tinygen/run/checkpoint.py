"""Checkpoints: safetensors files, written atomically, in which a single flipped bit is detected.

The bytes are written here, not by the safetensors package, because its header comes out in random order.  Ours
has only one possible form, so a reader can rebuild it from the contents and compare.  Reading uses the package,
which checks the format.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from tinygen.run import files
from tinygen.run.files import replace_file

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
CODES = {np.dtype(kind): code for code, kind in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format
NOT_SAFETENSORS = {b"\x80": "a Python pickle", b"PK\x03\x04": "a zip archive, as from torch.save or np.savez"}


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or trusted: the file, what was found, what was expected."""


def write(path, arrays: dict, meta: dict) -> None:
    """Write named arrays and `meta`, which must be JSON, to `path`: flushed, then renamed over the old file.

    Raises CheckpointError if that fails; the old file is then unchanged.
    """
    arrays = {name: _plain(name, value) for name, value in arrays.items()}
    metadata = {"format": "pt", "tinygen": json.dumps(meta)}
    metadata["sha256"] = _digest(arrays, metadata)
    try:
        replace_file(path, [_header(arrays, metadata), *(_bytes(arrays[name]) for name in _order(arrays))])
    except OSError as e:
        raise CheckpointError(f"{path}: cannot write the checkpoint: {e.strerror or e}") from e


def read(path) -> tuple[dict, dict]:
    """Read a file written by `write` and verify every bit of it.  path -> (arrays, meta)"""
    arrays, metadata, header = _load(path)
    if "tinygen" not in metadata or "sha256" not in metadata:
        raise CheckpointError(
            f"{path}: found a safetensors file without tinygen's sha256, expected a run's checkpoint"
        )
    _verify(path, arrays, metadata, header)
    try:
        meta = json.loads(metadata["tinygen"], parse_int=_whole)
    except (ValueError, RecursionError) as e:
        raise CheckpointError(f"{path}: its metadata cannot be read: {e}") from e
    if not isinstance(meta, dict):
        raise CheckpointError(f"{path}: found metadata {meta!r:.60}, expected an object")
    return arrays, meta


def _whole(text) -> int:
    if len(text) > 20 or abs(int(text)) >= 2**64:
        raise ValueError(f"found the number {text:.25}, expected at most 64 bits")
    return int(text)


def save_state(state_dict: dict, path) -> None:
    """Write a state dict as safetensors under PyTorch's keys; `safetensors.torch.load_file` reads it."""
    write(path, state_dict, {})


def load_state(path) -> dict:
    """Read a state dict from safetensors, tinygen's (verified to the bit) or PyTorch's.

    bfloat16 becomes float32.  Raises CheckpointError.
    """
    arrays, metadata, header = _load(path)
    if "tinygen" in metadata or "sha256" in metadata:
        _verify(path, arrays, metadata, header)
    return arrays


def flatten(nested) -> tuple[dict, object]:
    """Split nested dicts, lists and tuples into arrays and JSON.

    {"a": [1, x]} -> {"a.1": x}, {"a": [1, {"$array": "a.1"}]}

    Leaves are arrays, Tensors, numpy scalars, numbers, strings, bools and None.
    """
    arrays: dict = {}
    return arrays, _flatten(nested, "", arrays)


def unflatten(arrays: dict, json_part):
    """The inverse of `flatten`, except that Tensors come back as arrays."""
    if isinstance(json_part, list):
        return [unflatten(arrays, item) for item in json_part]
    if not isinstance(json_part, dict):
        return json_part
    for tag, restore in _RESTORE.items():
        if tag in json_part:
            try:
                return restore(arrays, json_part[tag])
            except (LookupError, ValueError, TypeError) as e:
                raise ValueError(
                    f"unflatten: {tag} of {json_part[tag]!r:.60}: not what flatten writes"
                ) from e
    return {key: unflatten(arrays, value) for key, value in json_part.items()}


def first_of_another_kind(found, own, path: str = "") -> str | None:
    """Where a nested state has a value of another kind than the state it is to replace, and how; None: nowhere.

    Only entries that both have are compared; an entry that is None in `own` may become anything.
    """
    kinds = _kind(found), _kind(own)
    if own is None:
        return None
    if kinds[0] != kinds[1]:
        return f"{path or 'the state'} is {kinds[0]}, expected {kinds[1]}"
    if kinds[0] == "a dict":
        pairs = [(key, found[key], value) for key, value in own.items() if key in found]
    else:
        pairs = [(i, *both) for i, both in enumerate(zip(found, own))] if kinds[0] == "a list" else []
    wrong = (first_of_another_kind(a, b, f"{path}.{key}" if path else str(key)) for key, a, b in pairs)
    return next(filter(None, wrong), None)


def _kind(value) -> str:
    if value is None or isinstance(value, bool):
        return str(value) if value is None else "true or false"
    if getattr(value, "shape", None) == ():
        return "a number"
    kinds = {dict: "a dict", (list, tuple): "a list", str: "a word", (int, float): "a number"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "an array")


def first_non_finite(tracked: dict) -> str | None:
    """The name of the first parameter that is inf or nan, or of the first moment or buffer that is nan.

    Buffers may hold infinities on purpose, as attention masks do.
    """
    for name, part in tracked.items():
        arrays, _ = flatten(part.state_dict())
        parameters = {key for key, _ in part.named_parameters()} if hasattr(part, "named_parameters") else ()
        for key, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                if key in parameters or np.isnan(array).any():
                    return f"{name}.{key}"
    return None


_RESTORE = {
    "$array": lambda arrays, name: arrays[name],
    "$scalar": lambda arrays, name: arrays[name][()],
    "$tuple": lambda arrays, items: tuple(unflatten(arrays, item) for item in items),
    "$items": lambda arrays, items: {key: unflatten(arrays, value) for key, value in items},
}


def _flatten(value, path, arrays):
    def inside(key, item):
        return _flatten(item, f"{path}.{key}" if path else str(key), arrays)

    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: inside(key, item) for key, item in value.items()}
        if not all(isinstance(key, str | int) for key in value):
            raise TypeError(
                f"checkpoint: {path or 'the state'} has keys that are neither str nor int: {list(value)}"
            )
        return {"$items": [[key, inside(key, item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [inside(i, item) for i, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "_data"):
        while path in arrays or not path:  # {"a": {"b": x}, "a.b": y}
            path += "_"
        arrays[path] = _plain(path, value)
        return {"$scalar" if isinstance(value, np.generic) else "$array": path}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"checkpoint: {path or 'the state'} is a {type(value).__name__}, which cannot be stored")


def _plain(name, value) -> np.ndarray:
    """An array or Tensor as a contiguous little-endian numpy array."""
    value = getattr(value, "_data", value)
    array = np.asarray(value.get() if hasattr(value, "get") else value)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    if array.dtype not in CODES or name == "__metadata__":
        raise TypeError(f"checkpoint: {name} of type {array.dtype} cannot be stored in safetensors")
    return array


def _bytes(array):
    return memoryview(array.reshape(-1).view(np.uint8))


def _order(arrays):
    """The order of the arrays in the file: widest elements first, so that all are aligned; then by name."""
    return sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))


def _header(arrays, metadata) -> bytes:
    entries: dict = {"__metadata__": dict(sorted(metadata.items()))}
    at = 0
    for name in _order(arrays):
        array = arrays[name]
        offsets = [at, at := at + array.nbytes]
        entries[name] = {"dtype": CODES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _digest(arrays, metadata) -> str:
    """sha256 over the metadata without the digest itself, and over the sorted (name, dtype, shape, bytes)."""
    rest = sorted((key, value) for key, value in metadata.items() if key != "sha256")
    h = hashlib.sha256(json.dumps(rest).encode())
    for name in sorted(arrays):
        array = arrays[name]
        h.update(json.dumps([name, CODES[array.dtype], array.shape]).encode())
        h.update(_bytes(array))
    return h.hexdigest()


def _verify(path, arrays, metadata, header) -> None:
    found, expected = _digest(arrays, metadata), metadata.get("sha256")
    if found != expected:
        raise CheckpointError(f"{path}: damaged: found contents with sha256 {found}, expected {expected}")
    if _header(arrays, metadata) != header:
        raise CheckpointError(f"{path}: damaged: found a header that differs from the one its contents have")


def _load(path) -> tuple[dict, dict, bytes]:
    """Read and check the format.  path -> arrays, metadata, the bytes of the file's header"""
    import safetensors

    path = Path(path)
    try:
        with files.opened(path) as f:
            size = os.fstat(f.fileno()).st_size
            header = _read_header(path, f, size)
            entries = _parse_header(path, header, size)
            data = header + f.read(size - len(header))
    except OSError as e:
        raise CheckpointError(f"{path}: cannot read the checkpoint: {e.strerror or e}") from e
    try:
        tensors = safetensors.deserialize(data)
        arrays = {name: _array(tensor) for name, tensor in tensors}
    except (safetensors.SafetensorError, ValueError) as e:
        raise CheckpointError(f"{path}: damaged: {e}; expected a safetensors file") from e
    return arrays, entries.get("__metadata__") or {}, header


def _read_header(path, f, size) -> bytes:
    """The length (8 bytes, little-endian) and the JSON text, as in the file."""
    start = f.read(9)
    length = int.from_bytes(start[:8], "little")
    if len(start) == 9 and start[8:] == b"{" and length <= min(LONGEST_HEADER, size - 8):
        return start + f.read(length - 1)
    # before NOT_SAFETENSORS: a length may start like a pickle
    if start[8:] == b"{" and length <= LONGEST_HEADER:
        raise CheckpointError(
            f"{path}: cut short: found {size} bytes, expected a header of {length} and data"
        )
    for mark, what in NOT_SAFETENSORS.items():
        if start.startswith(mark):
            raise CheckpointError(f"{path}: found {what}, expected a safetensors file; refused, not loaded")
    if len(start) < 9:
        raise CheckpointError(f"{path}: cut short: found {size} bytes, expected a safetensors file")
    raise CheckpointError(f"{path}: found bytes {start[:8].hex()}, expected the start of a safetensors file")


def _parse_header(path, header, size) -> dict:
    try:
        entries = json.loads(header[8:])
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        expected = len(header) + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as e:
        raise CheckpointError(f"{path}: damaged: its header cannot be read ({type(e).__name__})") from e
    if size < expected:
        raise CheckpointError(f"{path}: cut short: found {size} bytes, expected {expected}")
    if size > expected:
        raise CheckpointError(f"{path}: damaged: found {size} bytes, expected {expected}")
    return entries


def _array(tensor) -> np.ndarray:
    code, data = tensor["dtype"], tensor["data"]
    if code == "BF16":  # the upper half of a float32
        array = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    elif code in DTYPES:
        array = np.frombuffer(data, DTYPES[code]).copy()
    else:
        raise ValueError(f"elements of type {code} are not supported")
    return array.reshape(tensor["shape"])
