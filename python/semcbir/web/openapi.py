# SPDX-License-Identifier: MIT
"""The API's description in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from semcbir._core import __version__
from semcbir.web.asked import MAX_HITS, MAX_QUERIES
from semcbir.web.uploads import MAX_BYTES

_TEXT, _NUMBER, _INTEGER, _BOOLEAN = ({"type": name} for name in ("string", "number", "integer", "boolean"))
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_SEARCH: dict[str, tuple[dict[str, Any], str]] = {
    "q": (
        {"type": "array", "items": _TEXT, "maxItems": MAX_QUERIES},
        "a photo: an image's id or an upload's key; `:WEIGHT` after it, below 0 for what to be unlike",
    ),
    "only": (_TEXT, "classes or groups that are compared alone, joined by commas; =NAME is the class alone"),
    "without": (_TEXT, "classes that hits must not show"),
    "weights": (_TEXT, "how much classes count: horse=2,sky=0"),
    "region": (_TEXT, "X,Y: the class at that pixel; X0,Y0,X1,Y1: a part of the photo"),
    "where": ({"type": "array", "items": _TEXT}, "folder:PATH, name:PATTERN, date:FROM..TO or ids:LIST"),
    "epsilon": (_TEXT, "the filter's bound, from 0 to 2, none or auto"),
    "keep": (_INTEGER | {"minimum": 1}, "how many photos pass the filter, in the place of epsilon"),
    "penalized": ({"enum": ["last", "drop"]}, "what becomes of photos that do not pass"),
    "feature": (_TEXT, "the feature to compare by"),
    "smooth": (_INTEGER | {"minimum": 1}, "compare averages with so many nearest"),
    "expand": (_INTEGER | {"minimum": 0}, "average the query with so many nearest, and search again"),
    "k": (_INTEGER | {"minimum": 1, "maximum": MAX_HITS}, "how many hits"),
    "min_share": (_SHARE, "the least of a photo that classes of only are"),
    "max_share": (_SHARE, "the most of a photo that a class of without is"),
}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_IMAGE = _object(id=_INTEGER, path=_TEXT, name=_TEXT, size=_or_null(_INTEGER), version=_TEXT, thumbnail=_TEXT)
_TOTALS = _array(_object(name=_TEXT, share=_SHARE, images=_INTEGER))


def _more(**properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an image of which more is said."""
    return {"allOf": [{"$ref": "#/components/schemas/Image"}, _object(**properties)]}


_SCHEMAS: dict[str, dict[str, Any]] = {
    "Image": _IMAGE,
    "Error": _object(error=_TEXT),
    "Info": {
        "type": "object",
        "properties": {
            "version": _TEXT,
            "collection": _TEXT,
            "ready": _BOOLEAN,
            "running": _BOOLEAN,
            "done": _INTEGER,
            "total": _INTEGER,
            "skipped": _INTEGER,
            "trouble": _TEXT,
            "images": _INTEGER,
            "features": _array(_TEXT),
            "classes": _array(_TEXT),
        },
        "required": ["version", "collection", "ready", "running", "done", "total", "skipped", "trouble"],
    },
    "Images": _object(total=_INTEGER, offset=_INTEGER, images=_array({"$ref": "#/components/schemas/Image"})),
    "Hits": _object(
        query=_array(_array(_TEXT)),
        kept=_INTEGER,
        epsilon=_or_null(_NUMBER),
        images=_INTEGER,
        hits=_array(_more(rank=_INTEGER, distance=_NUMBER, histogram_distance=_NUMBER, penalized=_BOOLEAN)),
    ),
    "Found": _object(
        total=_INTEGER,
        page=_INTEGER,
        pages=_INTEGER,
        images=_array(_more(rank=_INTEGER, shares={"type": "object", "additionalProperties": _SHARE})),
    ),
    "Segments": _object(
        width=_INTEGER,
        height=_INTEGER,
        classes=_array(_object(label=_INTEGER, name=_TEXT, term=_TEXT, share=_SHARE, colour=_TEXT)),
    ),
    "Explanation": _object(
        distance=_NUMBER,
        histogram_distance=_NUMBER,
        rows=_array(
            _object(
                label=_INTEGER,
                name=_TEXT,
                query_share=_SHARE,
                hit_share=_SHARE,
                squared_distance=_NUMBER,
                share=_SHARE,
                weight=_NUMBER,
                shared=_BOOLEAN,
            )
        ),
    ),
    "Contents": _object(images=_INTEGER, classes=_TOTALS, groups=_TOTALS),
    "Duplicates": _object(groups=_array(_array(_more(distance=_NUMBER, changed=_BOOLEAN)))),
    "Skipped": _object(skipped=_array(_object(path=_TEXT, reason=_TEXT))),
    "Upload": _object(key=_TEXT),
    "Copies": _object(
        folder=_TEXT, copied=_INTEGER, already=_INTEGER, skipped=_array(_object(path=_TEXT, reason=_TEXT))
    ),
}


def description() -> dict[str, Any]:
    """Return the description as values that JSON can hold."""
    key = _parameter("key", _TEXT, "the id of an image, or the key of an upload", place="path")
    search = [_parameter(name, schema, words) for name, (schema, words) in _SEARCH.items()]
    page = [
        _parameter("page", _INTEGER, "which page, from 1 on"),
        _parameter("k", _INTEGER, "photos of a page"),
    ]
    return {
        "openapi": "3.1.0",
        "info": {"title": "semcbir", "version": __version__, "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": {
            "/api/v1/info": {"get": _answers("info", "Info", "What the index is, and how far a run is")},
            "/api/v1/images": {
                "get": _answers(
                    "images",
                    "Images",
                    "A part of the collection",
                    [
                        _parameter("order", {"enum": ["folder", "date", "random"]}, "the order"),
                        _parameter("seed", _INTEGER, "of a random order"),
                        _parameter("offset", _INTEGER, "how many images come before"),
                        _parameter("limit", _INTEGER, "how many images"),
                    ],
                )
            },
            "/api/v1/images/{key}": {"get": _answers("image", "Image", "What is known of an image", [key])},
            "/api/v1/images/{key}/photo": {
                "get": _gives("photo", "image/webp", "A photo, decoded anew", key)
            },
            "/api/v1/images/{key}/segments": {
                "get": _answers(
                    "segments",
                    "Segments",
                    "The classes that a photo shows",
                    [key, _parameter("beside", _TEXT, "a photo that has the same colours")],
                )
            },
            "/api/v1/images/{key}/labels": {
                "get": _gives("labels", "image/png", "The label map: red + 256 green is the label", key)
            },
            "/api/v1/images/{key}/open": {
                "post": _operation(
                    "openFolder",
                    "Open the photo's folder on the machine that serves",
                    [key],
                    {"204": {"description": "it is opened"}},
                )
            },
            "/api/v1/search": {
                "get": _answers("search", "Hits", "Search for photos", search),
                "post": _answers("searchByPhoto", "Hits", "Search for a photo that is sent", search[1:])
                | {"requestBody": _body()},
            },
            "/api/v1/find": {
                "get": _answers(
                    "find",
                    "Found",
                    "Find photos by the classes that they show",
                    [_parameter("words", _TEXT, "sea sky:40% -person", required=True), *page],
                )
            },
            "/api/v1/explain": {
                "get": _answers(
                    "explain",
                    "Explanation",
                    "Why an image is as far from a photo as it is",
                    [_parameter("hit", _INTEGER, "the image's id", required=True), *search],
                )
            },
            "/api/v1/contents": {"get": _answers("contents", "Contents", "Which classes the photos show")},
            "/api/v1/duplicates": {
                "get": _answers(
                    "duplicates",
                    "Duplicates",
                    "Groups of near-duplicates",
                    [_parameter("distance", _NUMBER, "the largest distance of a pair")],
                )
            },
            "/api/v1/skipped": {
                "get": _answers("skipped", "Skipped", "Files that could not be read, and why")
            },
            "/api/v1/uploads": {
                "post": _answers("upload", "Upload", "Hold a photo to search with", status="201")
                | {"requestBody": _body()}
            },
            "/api/v1/copies": {
                "post": _answers("copy", "Copies", "Copy photos into the folder of --copy")
                | {"requestBody": _ids()}
            },
        },
        "components": {"schemas": _SCHEMAS},
    }


def _parameter(
    name: str, schema: dict[str, Any], words: str, *, place: str = "query", required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "schema": schema,
        "description": words,
    }


def _answers(
    name: str, schema: str, words: str, parameters: list[dict[str, Any]] | None = None, status: str = "200"
) -> dict[str, Any]:
    found = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return _operation(name, words, parameters or [], {status: {"description": words, "content": found}})


def _gives(name: str, kind: str, words: str, key: dict[str, Any]) -> dict[str, Any]:
    return _operation(name, words, [key], {"200": {"description": words, "content": {kind: {}}}})


def _operation(
    name: str, words: str, parameters: list[dict[str, Any]], answers: dict[str, Any]
) -> dict[str, Any]:
    wrong = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refused = {"description": "what was wrong", "content": wrong}
    return {
        "operationId": name,
        "summary": words,
        "parameters": parameters,
        "responses": answers | {"4XX": refused, "503": refused},
    }


def _ids() -> dict[str, Any]:
    form = _object(id=_array(_INTEGER))
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}}


def _body() -> dict[str, Any]:
    photo = {"type": "string", "format": "binary", "maxLength": MAX_BYTES}
    form = {"type": "object", "properties": {"image": photo}, "required": ["image"]}
    return {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": photo}},
    }
