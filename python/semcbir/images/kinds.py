# SPDX-License-Identifier: MIT
"""Kinds of image files: how their names end, how their contents begin, who decodes them."""

from __future__ import annotations

READ_SUFFIXES: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
    "JPEG 2000": (".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    "PNM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TGA": (".tga",),
}
"""The endings of the names of image files that are read, in lower case, by kind."""

_UNREAD = """
3fr ari arw bay cr2 cr3 crw dcr dcs dng erf fff gpr iiq k25 kdc mdc mef mos mrw nef nrw orf pef ptx r3d raf
raw rw2 rwl sr2 srf srw x3f
jxl jxr wdp hdp bpg flif qoi pam pfm hdr exr psd psb xcf kra dds pcx sgi ras
ico icns
"""
UNREAD_SUFFIXES: dict[str, str] = {f".{ending}": ending.upper() for ending in _UNREAD.split()}
"""Endings of files that look like pictures and are not read, in lower case, with a name for each.

They are raw files of cameras, formats without a decoder here, working files of editors, and icons.
"""

DECODERS: dict[str, tuple[str, str]] = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "DIB": ("PIL.BmpImagePlugin", "DibImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "TGA": ("PIL.TgaImagePlugin", "TgaImageFile"),
}
"""The module and class that open a kind."""

READ_WHOLE = frozenset(("WebP", "AVIF", "HEIC"))
"""Kinds whose decoder takes the whole file into memory."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    *((start, "TIFF") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((bytes([size, 0, 0, 0]), "DIB") for size in (12, 40, 52, 56, 64, 108, 124)),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    *((b"P%d%c" % (number, space), "PNM") for number in range(1, 7) for space in b"\t\n\r #"),
)
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
_AVIF_BRANDS = (b"avif", b"avis")
_SHARED_BRANDS = (b"mif1", b"msf1")  # they name the container; HEVC or AV1 may be inside

HEAD_BYTES = 18
"""How many bytes ``kinds_of`` needs."""


def kinds_of(head: bytes) -> list[str]:
    """Return the kinds that a file may be of, by its first HEAD_BYTES bytes; most likely first."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ["WebP"]
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return ["HEIC"] * (brand in _HEIC_BRANDS + _SHARED_BRANDS) + ["AVIF"] * (
            brand in _AVIF_BRANDS + _SHARED_BRANDS
        )
    found = [kind for magic, kind in _MAGIC if head.startswith(magic)]
    return found or ["TGA"] * _may_be_tga(head)


def _may_be_tga(head: bytes) -> bool:
    """Return whether these can be the first 18 bytes of a TGA, which has no magic number."""
    if len(head) < 18:
        return False
    has_map, kind, bits, flags = head[1], head[2], head[16], head[17]
    size = any(head[12:14]) and any(head[14:16])
    if kind in (1, 9):
        colours = has_map == 1 and head[7] in (15, 16, 24, 32) and bits == 8
    else:
        depths = {2: (15, 16, 24, 32), 10: (15, 16, 24, 32), 3: (8, 16), 11: (8, 16)}
        colours = has_map == 0 and not any(head[3:8]) and bits in depths.get(kind, ())
    return colours and size and not flags & 0xC0
