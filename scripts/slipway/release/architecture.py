"""What kind of model a version is, read from its files: no code of the model runs, and nothing is unpickled."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from slipway.release.differences import OPAQUE, columns
from slipway.runner.errors import InputError

LARGEST = 64 * 1024 * 1024
"""Bytes of a description that are read; a model may hold anything."""

KEPT = ("loader_module", "model_class", "model_type", "serialization_format")
"""What a flavour says of the kind of model, and not of versions or places."""

WEIGHTS = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".pt", ".pth", ".onnx", ".ubj", ".xgb", ".lgb", ".txt", ".bin")
WEIGHTS_OF_TENSORS = ".safetensors"
NOT_OF_THE_MODEL = ("numpy", "builtins", "scipy", "functools", "collections", "pandas")


def mlmodel(folder: Path) -> dict[str, Any]:
    """The file MLmodel. InputError where there is none that can be read."""
    try:
        said = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            "The version has no file MLmodel that can be read.", why=" ".join(str(error).split())
        ) from error
    if not isinstance(said, dict) or not isinstance(said.get("flavors"), dict):
        raise InputError("The version's file MLmodel names no flavors.", fix="Register an MLflow model.")
    return said


def signature(said: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs and outputs: name and type of each column."""
    kept = said.get("signature")
    kept = kept if isinstance(kept, dict) else {}
    return columns(kept.get("inputs")), columns(kept.get("outputs"))


def describe(folder: Path, said: dict[str, Any]) -> dict[str, str]:
    """Flavours, estimators and tensors by name. A file that says nothing of itself is named `opaque <file>`."""
    found: dict[str, str] = {}
    for flavour, values in said["flavors"].items():
        kept = {key: values[key] for key in KEPT if isinstance(values, dict) and isinstance(values.get(key), str)}
        found[f"flavour {flavour}"] = ", ".join(f"{key} {value}" for key, value in sorted(kept.items())) or "yes"
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.is_symlink():
            continue
        name = file.relative_to(folder).as_posix()
        try:
            if file.suffix == ".skops":
                found |= {f"{name}: {path}": kind for path, kind in _skops(file)}
            elif file.suffix == WEIGHTS_OF_TENSORS:
                found |= {f"{name}: {tensor}": shape for tensor, shape in _safetensors(file)}
            elif file.suffix in WEIGHTS and file.name not in ("requirements.txt", "conda.yaml"):
                found[f"{OPAQUE} {name}"] = "only loading it would tell"
        except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile, RecursionError):
            found[f"{OPAQUE} {name}"] = "only loading it would tell"
    return found


def _skops(file: Path) -> Iterator[tuple[str, str]]:
    """Types of the estimators by where they lie. Trees of a forest share one place: their number is a parameter."""
    with zipfile.ZipFile(file) as archive, archive.open("schema.json") as kept:
        said = json.loads(kept.read(LARGEST))
    seen: dict[str, set[str]] = {}
    for path, kind in _types(said, ""):
        seen.setdefault(path, set()).add(kind)
    for path, kinds in seen.items():
        yield path or "model", ", ".join(sorted(kinds))


def _types(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(node, dict):
        return
    module, kind = str(node.get("__module__", "")), str(node.get("__class__", ""))
    if kind and module.split(".", maxsplit=1)[0] not in NOT_OF_THE_MODEL:
        yield path, f"{module}.{kind}"
    content = node.get("content")
    if isinstance(content, dict):
        inner = content if "__class__" in content else None
        if inner is not None:
            yield from _types(inner, path)
        else:
            for name, each in content.items():
                yield from _types(each, f"{path}.{name}".strip("."))
    elif isinstance(content, list):
        for each in content:
            yield from _types(each, f"{path}[]")


def _safetensors(file: Path) -> Iterator[tuple[str, str]]:
    """Type and shape of each tensor: https://huggingface.co/docs/safetensors (header: length, then JSON)."""
    with file.open("rb") as kept:
        length = int.from_bytes(kept.read(8), "little")
        if length > LARGEST:
            raise ValueError("the header is larger than any model's")
        header = json.loads(kept.read(length))
    for tensor, each in sorted(header.items()):
        if tensor != "__metadata__":
            yield tensor, f"{each['dtype']} {each['shape']}"
