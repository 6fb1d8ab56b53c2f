# SPDX-License-Identifier: MIT
"""Pictures in HTML, for notebooks: everything is in the text, so that it shows wherever that goes."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from PIL import Image

from semcbir._files import display_path, short_name
from semcbir.pictures.draw import placeholder, thumbnail

_BOX = (160, 120)
ALARM = "#be1e2d"
"""The colour of what is penalised."""


def photo_figure(path: Path, caption: str, *, faded: bool = False) -> str:
    """Return a thumbnail of the photo at ``path`` over ``caption``, which is HTML, and its name."""
    name = html.escape(short_name(path))
    named = f'<div style="overflow:hidden;text-overflow:ellipsis;white-space:nowrap">{name}</div>'
    return figure(
        thumbnail(path, _BOX), caption + named, alt=short_name(path), title=display_path(path), faded=faded
    )


def figure(
    picture: Image.Image | None,
    caption: str,
    *,
    alt: str = "",
    title: str = "",
    box: tuple[int, int] = _BOX,
    faded: bool = False,
) -> str:
    """Return ``picture`` (None: a placeholder) in a ``box`` over ``caption``, which is HTML.

    ``alt``, which stands for the picture, and ``title``, which the mouse shows, are plain text.
    """
    data = io.BytesIO()
    (picture or placeholder(box)).save(data, "JPEG", quality=80)
    source = base64.b64encode(data.getvalue()).decode()
    fade = "opacity:.45;" if faded else ""
    return (
        f'<figure style="margin:0;width:{box[0]}px;font-size:12px" title="{html.escape(title)}">'
        f'<div style="height:{box[1]}px;display:flex;align-items:center;justify-content:center;{fade}">'
        f'<img alt="{html.escape(alt)}" src="data:image/jpeg;base64,{source}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def row(figures: str) -> str:
    """Return ``figures`` side by side, in as many lines as they take."""
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px">{figures}</div>'
