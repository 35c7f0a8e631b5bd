"""Serves one MLflow model over HTTP. This file goes into the image; it imports nothing of Slipway.

MLflow's own scoring server (`/invocations`, `/ping`, `/health`, `/version`), and beside it the Open Inference Protocol
2, which KServe and its clients speak: https://github.com/kserve/open-inference-protocol. Both read rows in the same
way and ask the same loaded model. The model is loaded before the port opens, so that whoever is answered is served.

    SLIPWAY_MODEL_NAME, SLIPWAY_MODEL_VERSION   as the image was built for
    SLIPWAY_HOST, PORT                          0.0.0.0 and 8080 by default
"""

from __future__ import annotations

import json
import os
import site
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GRACE_SECONDS = 25
"""What a request may take after SIGTERM; Kubernetes kills after 30 s by default."""

NUMPY_TYPES = {
    **{"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64"},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}
"""Data types of the protocol by numpy's; everything else travels as BYTES, which JSON writes as text."""

SCHEMA_TYPES = {
    **{"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"},
    **{"string": "BYTES", "binary": "BYTES", "datetime": "BYTES"},
}


class RequestError(Exception):
    """The request cannot be answered; the message says why."""


def main() -> None:
    """Load the model, then answer until SIGTERM, after which requests that have begun are finished."""
    import mlflow.pyfunc
    import uvicorn

    model = mlflow.pyfunc.load_model(str(HERE / "model"))
    uvicorn.run(
        application(model, os.environ["SLIPWAY_MODEL_NAME"], os.environ["SLIPWAY_MODEL_VERSION"]),
        host=os.environ.get("SLIPWAY_HOST", "0.0.0.0"),  # noqa: S104 - a container's own network
        port=int(os.environ.get("PORT", "8080")),
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_level="warning",
    )


def application(model: Any, name: str, version: str) -> Any:
    """MLflow's application with the routes of the Open Inference Protocol."""
    import asyncio

    from fastapi import Request
    from fastapi.responses import JSONResponse
    from mlflow import __version__ as mlflow_version
    from mlflow.pyfunc import scoring_server

    app = scoring_server.init(model)

    async def server() -> Any:
        return JSONResponse({"name": "slipway", "version": mlflow_version, "extensions": []})

    async def live() -> Any:
        return JSONResponse({"live": True})

    async def ready() -> Any:
        return JSONResponse({"ready": True})

    def unknown(asked: str, asked_version: str) -> Any:
        if asked == name and asked_version in ("", version):
            return None
        return JSONResponse({"error": f"There is no model {asked} {asked_version} here."[:300]}, status_code=404)

    async def model_ready(model_name: str, model_version: str = "") -> Any:
        return unknown(model_name, model_version) or JSONResponse({"name": name, "ready": True})

    async def metadata(model_name: str, model_version: str = "") -> Any:
        return unknown(model_name, model_version) or JSONResponse(described(model, name, version))

    async def infer(request: Request, model_name: str, model_version: str = "") -> Any:
        if refused := unknown(model_name, model_version):
            return refused
        body = await request.body()
        code, said = await asyncio.to_thread(answered, model, body)
        return JSONResponse({"model_name": name, "model_version": version, **said} if code == 200 else said, code)

    # FastAPI looks a route's annotations up in the module, where its own classes are not: see the late import above.
    infer.__annotations__["request"] = Request
    app.get("/v2")(server)
    app.get("/v2/health/live")(live)
    app.get("/v2/health/ready")(ready)
    for base in ("/v2/models/{model_name}", "/v2/models/{model_name}/versions/{model_version}"):
        app.get(base)(metadata)
        app.get(f"{base}/ready")(model_ready)
        app.post(f"{base}/infer")(infer)
    return app


def answered(model: Any, body: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body for one inference request."""
    try:
        request = json.loads(body)
        rows = rows_of(request, model.metadata.get_input_schema())
    except (RequestError, ValueError, TypeError, LookupError) as error:
        return 400, {"error": f"The request cannot be read: {str(error)[:500]}"}
    except Exception as error:  # MLflow says by its own exception that rows do not fit the model's signature
        return 400, {"error": f"The rows do not fit the model: {str(error)[:500]}"}
    try:
        outputs = outputs_of(model.predict(rows))
    except Exception as error:
        code = 400 if type(error).__name__ == "MlflowException" else 500
        return code, {"error": f"The model cannot predict these rows: {type(error).__name__}: {str(error)[:500]}"}
    identity = request.get("id")
    return 200, {**({"id": identity} if isinstance(identity, str) else {}), "outputs": outputs}


def rows_of(request: Any, schema: Any) -> Any:
    """What the model is given: a column for each named input, or one array for a single input of a model of arrays."""
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    inputs = request["inputs"]
    if not isinstance(inputs, list) or not inputs:
        raise RequestError("`inputs` must be a list of tensors")
    tensors = {str(each["name"]): tensor(each) for each in inputs}
    if len(tensors) != len(inputs):
        raise RequestError("two inputs have the same name")
    named = schema is None or schema.has_input_names()
    of_arrays = schema is not None and schema.is_tensor_spec()
    if of_arrays and not named:
        (values,) = tensors.values()
        return infer_and_parse_data({"inputs": values}, schema)
    if of_arrays:
        return infer_and_parse_data({"inputs": tensors}, schema)
    if len(tensors) == 1 and schema is None:
        (values,) = tensors.values()
        if values and isinstance(values[0], list) and len(values[0]) != 1:
            import numpy as np

            return np.asarray(values)
    columns = {name: [value[0] if isinstance(value, list) else value for value in of] for name, of in tensors.items()}
    if len({len(values) for values in columns.values()}) > 1:
        raise RequestError("the inputs have different numbers of rows")
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return infer_and_parse_data({"dataframe_split": {"columns": list(columns), "data": rows}}, schema)


def tensor(said: Any) -> list[Any]:
    """The values of one tensor, nested as its shape says; the protocol allows them flat, too. The first axis: rows."""
    shape, values = said["shape"], said["data"]
    whole = isinstance(shape, list) and shape and all(type(each) is int and each >= 0 for each in shape)
    if not whole or not isinstance(values, list):
        raise RequestError("a tensor needs `shape` and `data`; binary data are not known here")
    flat = flattened(values)
    count = 1
    for each in shape:
        count *= each
    if len(flat) != count:
        raise RequestError(f"{len(flat)} values do not fill the shape {shape}")
    for size in reversed(shape[1:]):
        flat = [flat[place : place + size] for place in range(0, len(flat), size)] if size else []
    return flat


def flattened(values: list[Any]) -> list[Any]:
    """Without the nesting."""
    while any(isinstance(each, list) for each in values):
        values = [inner for each in values for inner in (each if isinstance(each, list) else [each])]
    return values


def outputs_of(answer: Any) -> list[dict[str, Any]]:
    """The model's answer as tensors: one for each column or name, or a single one called `output-0`."""
    import numpy as np

    if hasattr(answer, "columns"):
        return [output(str(name), answer[name].to_numpy()) for name in answer.columns]
    if isinstance(answer, dict):
        return [output(str(name), np.asarray(values)) for name, values in answer.items()]
    return [output("output-0", answer.to_numpy() if hasattr(answer, "to_numpy") else np.asarray(answer))]


def output(name: str, values: Any) -> dict[str, Any]:
    """One tensor, row by row."""
    kind = NUMPY_TYPES.get(str(values.dtype), "BYTES")
    data = values.reshape(-1).tolist()
    if kind == "BYTES":
        data = [each if each is None or isinstance(each, str) else str(each) for each in data]
    return {"name": name, "datatype": kind, "shape": list(values.shape), "data": data}


def described(model: Any, name: str, version: str) -> dict[str, Any]:
    """The model's metadata: inputs and outputs as far as its signature names them."""

    def told(schema: Any, prefix: str) -> list[dict[str, Any]]:
        found = []
        for place, spec in enumerate(schema.inputs if schema is not None else []):
            shape = list(getattr(spec, "shape", (-1,)))
            kind = getattr(spec.type, "name", "")
            datatype = SCHEMA_TYPES.get(kind) or NUMPY_TYPES.get(str(spec.type), "BYTES")
            found.append({"name": str(spec.name or f"{prefix}-{place}"), "datatype": datatype, "shape": shape})
        return found

    inputs, outputs = model.metadata.get_input_schema(), model.metadata.get_output_schema()
    said = {"inputs": told(inputs, "input"), "outputs": told(outputs, "output")}
    return {"name": name, "versions": [version], "platform": "mlflow_pyfunc", **said}


if __name__ == "__main__":
    # It is on the path already; this reads the `.pth` files of packages, as site-packages would.
    site.addsitedir(str(HERE / "site"))
    main()
