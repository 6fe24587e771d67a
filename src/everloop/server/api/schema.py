"""Our structs -> what the OpenAPI document says of them, so that the two cannot part."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from everloop.server.errors import Problem

_REF = "#/components/schemas/{name}"


def reply(kind: type[msgspec.Struct]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with `kind`, or with a sentence."""
    return {
        200: {"description": "OK", "content": {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}}},
        "4XX": {"description": "The request cannot be answered", "content": _problem()},
        "5XX": {"description": "The server cannot answer now", "content": _problem()},
    }


def describe(app: FastAPI, kinds: list[type[msgspec.Struct]]) -> None:
    """Put the structs into the app's OpenAPI document, made once."""
    _, components = msgspec.json.schema_components([*kinds, Problem], schema_hook=_anything, ref_template=_REF)

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            for path in document["paths"].values():
                for operation in path.values():
                    # We answer bad parameters with 400 and a sentence, not with FastAPI's own 422.
                    operation["responses"].pop("422", None)
            document["components"] = {"schemas": components}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi


def _anything(kind: type) -> dict[str, Any]:
    """Evidence, options and the like are whatever JSON somebody put there."""
    if kind is object:
        return {"description": "any JSON value"}
    raise NotImplementedError(f"{kind} has no JSON schema")


def _problem() -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=Problem.__name__)}}}


def answer(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
