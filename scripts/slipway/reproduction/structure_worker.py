"""Runs inside the model's own environment: loads one MLflow model and describes what it is made of.

    structure_worker.py MODEL OUTPUT   writes structure.json

Two models have the same description where they are the same objects in the same order: types, attributes, parameters,
and every number of every array. What is left out says nothing of the model: addresses in memory, and the bytes between
the fields of a structured array. Imports nothing of ours. Exit code 3 with one line on stderr where the model is at
fault.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

MODEL_AT_FAULT = 3
MOST_PARTS = 20_000
"""Parts that are named one by one; the digest of the whole covers all."""

DEEPEST = 900


class Description:
    """The walk through one object. parts: path and digest of every leaf. whole: over all paths and digests."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, str]] = []
        self.whole = hashlib.sha256()
        self.seen: dict[int, int] = {}
        self.kept: list[Any] = []  # what a walk makes by itself must not give its address to the next object

    def leaf(self, path: str, kind: str, content: bytes) -> None:
        """One value."""
        digest = hashlib.sha256(kind.encode() + b"\0" + content).hexdigest()
        self.whole.update(f"{path}\0{digest}\n".encode())
        if len(self.parts) < MOST_PARTS:
            self.parts.append((path[-300:], digest))

    def walk(self, path: str, value: Any, depth: int = 0) -> None:
        """Describe `value`, which lies at `path`."""
        kind = type(value)
        if depth > DEEPEST:
            raise RecursionError(f"the model is nested too deeply at {path[:200]}")
        if value is None or kind in (bool, int, str, bytes, bytearray, complex):
            content = value if isinstance(value, bytes | bytearray) else repr(value).encode(errors="surrogatepass")
            self.leaf(path, kind.__name__, bytes(content))
            return
        if kind is float:
            self.leaf(path, "float", struct.pack(">d", value))
            return
        if id(value) in self.seen:
            self.leaf(path, "again", str(self.seen[id(value)]).encode())
            return
        self.seen[id(value)] = len(self.seen)
        self.kept.append(value)
        if not (self.array(path, value, depth) or self.container(path, value, depth)):
            self.instance(path, value, depth)

    def array(self, path: str, value: Any, depth: int) -> bool:
        """Whether it was an array, or a tensor that becomes one."""
        if type(value).__module__.split(".")[0] in ("torch", "jaxlib") and hasattr(value, "shape"):
            self.array(path, as_numpy(value), depth)
            return True
        if isinstance(value, type) or not (
            hasattr(value, "dtype") and hasattr(value, "tobytes") and hasattr(value, "shape")
        ):
            return False
        dtype = value.dtype
        if dtype.fields:
            for name in dtype.names:
                self.walk(f"{path}[{name!r}]", value[name], depth + 1)
        elif dtype.hasobject:
            self.leaf(path, "array of objects", repr(value.shape).encode())
            for place, each in enumerate(value.ravel().tolist()):
                self.walk(f"{path}[{place}]", each, depth + 1)
        else:
            head = f"{dtype.newbyteorder('=').str} {value.shape}"
            self.leaf(path, f"array {head}", value.astype(dtype.newbyteorder("<"), copy=False).tobytes())
        return True

    def container(self, path: str, value: Any, depth: int) -> bool:
        """Whether it was a plain container."""
        kind = type(value)
        if kind in (list, tuple):
            self.leaf(path, kind.__name__, str(len(value)).encode())
            for place, each in enumerate(value):
                self.walk(f"{path}[{place}]", each, depth + 1)
        elif kind is dict:
            self.leaf(path, "dict", str(len(value)).encode())
            for key, each in value.items():
                name = repr(key) if isinstance(key, str | int | float | bool | tuple) else "?"
                if name == "?":
                    self.walk(f"{path}{{}}", key, depth + 1)
                self.walk(f"{path}[{name[:80]}]", each, depth + 1)
        elif kind in (set, frozenset):
            # A set has no order of its own.
            self.leaf(path, kind.__name__, "\0".join(sorted(digest_of(each) for each in value)).encode())
        else:
            return False
        return True

    def instance(self, path: str, value: Any, depth: int) -> None:
        """Anything else, taken apart as pickle does: what makes it, from what, and its state."""
        if isinstance(value, type) or callable(getattr(value, "__code__", None)) or hasattr(value, "__code__"):
            self.function(path, value, depth)
            return
        kind = type(value)
        self.leaf(path, "type", f"{kind.__module__}.{kind.__qualname__}".encode())
        try:
            made = value.__reduce_ex__(4)
        except Exception:  # objects refuse it with whatever they like
            self.walk(f"{path}.__dict__", getattr(value, "__dict__", repr(kind)), depth + 1)
            return
        if isinstance(made, str):
            self.leaf(path, "global", made.encode())
            return
        maker, arguments, state, items, pairs = (*made, None, None, None)[:5]
        self.walk(f"{path}()", maker, depth + 1)
        self.walk(f"{path}()", tuple(arguments), depth + 1)
        if isinstance(state, dict):
            for name in sorted(state, key=str):
                self.walk(f"{path}.{name}", state[name], depth + 1)
        elif state is not None:
            self.walk(f"{path}.state", state, depth + 1)
        for name, found in (("items", items), ("pairs", pairs)):
            if found is not None:
                self.walk(f"{path}.{name}", list(found), depth + 1)

    def function(self, path: str, value: Any, depth: int) -> None:
        """A class or function by its name; one that was written on the spot by its code, too."""
        name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        self.leaf(path, "named", name.encode())
        code = getattr(value, "__code__", None)
        if code is not None and ("<" in name or value.__module__ == "__main__"):
            self.leaf(f"{path}.code", "code", code.co_code)
            self.walk(f"{path}.constants", [each for each in code.co_consts if not hasattr(each, "co_code")], depth + 1)
            self.walk(f"{path}.defaults", value.__defaults__, depth + 1)


def as_numpy(tensor: Any) -> Any:
    """A tensor of PyTorch or JAX as an array."""
    import numpy as np

    return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)


def digest_of(value: Any) -> str:
    """Digest of one value by itself."""
    inner = Description()
    inner.walk("", value)
    return inner.whole.hexdigest()


def native(model: Any) -> Any:
    """What MLflow's wrapper holds: the estimator itself where the flavour tells, else the wrapper's own contents."""
    try:
        return model.get_raw_model()
    except Exception:  # flavours without a native model raise what they like
        return getattr(model, "_model_impl", model)


def main(model_folder: str, output: str) -> None:
    """Load, describe, write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a model prints reaches nobody
    sys.setrecursionlimit(20_000)
    try:
        import mlflow.pyfunc

        described = Description()
        described.walk("model", native(mlflow.pyfunc.load_model(model_folder)))
    except (Exception, SystemExit) as error:
        os.write(2, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}\n".encode(errors="replace"))
        sys.exit(MODEL_AT_FAULT)
    said = {"digest": described.whole.hexdigest(), "parts": described.parts}
    (Path(output) / "structure.json").write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
