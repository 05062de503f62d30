"""SVG as PNG, by cairosvg (the extra `png`)."""

from __future__ import annotations

from collections.abc import Callable

#: Pixels for one unit of a drawing.
SCALE = 2.0


class PngMissing(RuntimeError):
    """PNG cannot be made here."""


def renderer() -> Callable[[str], bytes]:
    """What makes a PNG of an SVG text. Raises PngMissing."""
    try:
        import cairosvg
    except ModuleNotFoundError:
        raise PngMissing("cairosvg is not installed: pip install 'nasdsl[png]'") from None
    except OSError as error:  # it finds the library as it is imported
        raise PngMissing(f"cairosvg finds no cairo library ({_first(error)})") from None

    def png(svg: str) -> bytes:
        made: bytes = cairosvg.svg2png(bytestring=svg.encode(), scale=SCALE)
        return made

    return png


def _first(error: OSError) -> str:
    return str(error).partition("\n")[0]
