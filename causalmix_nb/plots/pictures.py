"""Names, numbers and figures as they may stand on a page: clean text, units, and figures as SVG, PNG or an image with a text.

A figure is drawn with ink of a grey that reads on white and on dark pages; as SVG its ink is the colour of the page's own text.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#777777"  # 4.5 : 1 on white, 4.2 : 1 on #111111: no grey does better on both
LONGEST = 26  # characters of a name that are drawn


def clean(name: object) -> str:
    """A name on one line, without control characters, marks that change the direction of writing, or lone surrogates.

    >>> clean("a\\nb\\x1b[31m")
    'a b[31m'
    """
    text = str(name).encode("utf-8", "replace").decode("utf-8")
    text = re.sub(r"[\t\r\n\v\f\u0085\u2028\u2029]+", " ", text)
    return "".join(
        c for c in text if unicodedata.category(c) != "Cc" and unicodedata.bidirectional(c) not in _MARKS
    ).translate(_NON_CHARACTERS)


_MARKS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_NON_CHARACTERS = dict.fromkeys([0xFFFE, 0xFFFF])


def short(name: object, longest: int = LONGEST) -> str:
    """A clean name of at most ``longest`` characters."""
    text = clean(name)
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def unit(outcome: str) -> str:
    """The unit of an outcome: bits per byte for ``bpb`` and ``bpb.<domain>``, else its name."""
    return "bits per byte" if outcome == "bpb" or outcome.startswith(("bpb.", "bpb_")) else short(outcome)


def percent(share: float) -> str:
    """A share in per cent: whole numbers, but never 0% for a little, nor 100% for a little less.

    >>> percent(0.324), percent(0.004), percent(0.0), percent(0.9996)
    ('32%', '0.4%', '0%', '>99.9%')
    """
    value = 100 * share
    if 0 < value < 0.05:
        return "<0.1%"
    if 99.95 <= value < 100:
        return ">99.9%"
    return f"{value:.1f}%" if (0 < value < 1 or 99 < value < 100) else f"{value:.0f}%"


def to_svg(figure: Figure) -> str:
    """One ``<svg>`` element for a page: text as text in the page's colour, an ``aria-label``, no ids and no style sheet.

    matplotlib's own SVG defines shapes by id and styles every element of the page it is put into; here each
    shape stands where it is used, so that any number of figures can share a page.
    """
    import xml.etree.ElementTree as ET

    from matplotlib import rc_context

    out = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "causalmix"}):
        figure.savefig(
            out, format="svg", transparent=True,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )  # fmt: skip
    root = ET.fromstring(out.getvalue())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    shapes = {e.get("id", ""): e for defs in root.iter("defs") for e in defs if e.tag == "path"}
    drawn = _drawn(root, shapes)
    _, _, width, height = (float(part) for part in root.get("viewBox", "0 0 1 1").split())
    drawn.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width:g} {height:g}",
        "width": f"{width * 4 / 3:.0f}",
        "role": "img",
        "aria-label": getattr(figure, "alt", "") or "figure",
        "style": "max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt",
    }
    return ET.tostring(drawn, encoding="unicode")


def to_png(figure: Figure, dpi: int = 96) -> bytes:
    """A figure as a PNG of some ten kilobytes, transparent, in at most 64 colours: for what shows neither HTML nor SVG."""
    from PIL import Image

    out, small = io.BytesIO(), io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, transparent=True)
    Image.open(out).quantize(64, method=Image.Quantize.FASTOCTREE).save(small, format="png", optimize=True)
    return small.getvalue()


def picture(svg: str) -> str:
    """An SVG as an ``<img>`` with its alternative text: notebooks that are not trusted drop drawings but keep images.

    Inside an image there is no page to take a colour from, so the text gets one that reads on white and on dark.
    """
    import base64
    import html
    import xml.etree.ElementTree as ET

    root = ET.fromstring(svg)
    coloured = svg.replace("<svg", f'<svg color="{INK}"', 1)
    data = base64.b64encode(coloured.encode()).decode()
    alt = html.escape(root.get("aria-label", "") or "figure")
    return f'<img alt="{alt}" style="max-width:100%;vertical-align:middle" src="data:image/svg+xml;base64,{data}" />'


def _drawn(element: Any, shapes: Mapping[str, Any]) -> Any:
    """A copy of an element with each ``use`` replaced by its shape, and without ids, clips, definitions and metadata."""
    import xml.etree.ElementTree as ET

    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    tag = element.tag
    if tag == "use":
        shape = shapes[attributes["href"][1:]]
        x, y = attributes.get("x", "0"), attributes.get("y", "0")
        style = ";".join(filter(None, (attributes.get("style", ""), shape.get("style", ""))))
        d = " ".join(shape.get("d", "").split())
        if re.fullmatch(r"M 0 [\d.]+( C( -?[\d.e-]+){6}){8} z", d):  # matplotlib's circle
            tag, attributes = "circle", {"cx": x, "cy": y, "r": d.split()[2], "style": style}
        else:
            tag, attributes = "path", {"d": d, "transform": f"translate({x} {y})", "style": style}
    attributes = {key: value for key, value in attributes.items() if key not in ("id", "clip-path")}
    for key in ("d", "transform", "x", "y", "cx", "cy", "r"):
        if key in attributes:
            attributes[key] = re.sub(
                r"-?(?<!\d)\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", " ".join(attributes[key].split())
            )
    if "style" in attributes:
        style = re.sub(
            rf"(fill|stroke): ?{INK}", r"\1: currentColor", attributes["style"], flags=re.IGNORECASE
        )
        attributes["style"] = re.sub(
            r"(font: [^;']*?)'.*?(;|$)", r"\1var(--jp-ui-font-family, sans-serif)\2", style
        )
    copy = ET.Element(tag, attributes)
    copy.text, copy.tail = (element.text, None) if element.tag == "text" else (None, None)
    for child in element:
        if child.tag not in ("defs", "metadata", "style", "title"):
            inner = _drawn(child, shapes)
            if inner.tag != "g" or len(inner):
                copy.append(inner)
    styles = {child.get("style", "") for child in copy}
    if len(copy) > 1 and len(styles) == 1 and "" not in styles and "style" not in copy.attrib:
        copy.set("style", styles.pop())  # said once, for all of them
        for child in copy:
            del child.attrib["style"]
    return copy
