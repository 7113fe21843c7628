"""Causal graphs as hand-written SVG: a layered layout and one drawing function, on plain names and pairs.

Drawing has three steps, each a pure function of plain data:

- :func:`layered` places nodes by topological generation, from causes on the left to effects on the right. An
  arrow that skips generations gets a bend point in each of them, so that it never runs through a node
  (Sugiyama 1981).
- :func:`draw` writes the SVG. A node's role is told three times, by its shape, its colour and a word, so that
  it survives colour blindness and black-and-white print. Text and arrows take the colour of the page's own
  text (``currentColor``), so that the picture reads in a dark notebook too; everything that came from a user
  is escaped.

>>> places, bends = layered(["state", "mixture", "score"], [("state", "mixture"), ("mixture", "score"), ("state", "score")])
>>> [places[name][0] for name in ("state", "mixture", "score")]
[0.0, 1.0, 2.0]
>>> [len(points) for points in bends]  # the third arrow bends once, beside the mixture
[0, 0, 1]

Reference: K. Sugiyama, S. Tagawa, M. Toda, *Methods for visual understanding of hierarchical system
    structures*, IEEE Trans. SMC 11, 1981. Colours: M. Okabe, K. Ito, *Color universal design*, 2008.
"""

from __future__ import annotations

import html
import itertools
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

Point = tuple[float, float]
Pair = tuple[str, str]
Curve = list[tuple[Point, Point, Point, Point]]  # cubic Bézier pieces: start, two controls, end

COLOURS = {"treatment": "#0072B2", "outcome": "#D55E00", "mediator": "#CC79A7", "covariate": "#009E73"}
LONGEST = 26  # characters of a name that are drawn; the rest is in its tooltip
HEIGHT, GAP_X, GAP_Y, MARGIN = 42.0, 76.0, 26.0, 18.0  # pixels
LETTER, WIDEST = 6.9, 640.0  # pixels of a letter of the caption, and of the widest picture made for a caption
SWEEPS = 12  # passes of the layout to and fro; small graphs settle in three or four


# -- where things go ----------------------------------------------------------------------------------------


def layered(
    nodes: Sequence[str], edges: Iterable[Pair], ties: Iterable[Pair] = ()
) -> tuple[dict[str, Point], list[list[Point]]]:
    """Place the nodes of an acyclic graph by topological generation.

    Parameters
    ----------
    nodes: all names.
    edges: (cause, effect) pairs among them, without a cycle.
    ties: pairs without direction, to be routed as well; they do not decide who stands left of whom.

    Returns
    -------
    (name -> (generation, row)), and the bend points of every edge and then of every tie, from its first name
    to its second; in units of one generation and one row, rows centred around 0 and growing downwards.
    """
    edges = list(edges)
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    layers: list[list] = [list(layer) for layer in nx.topological_generations(graph)]
    level = {node: i for i, layer in enumerate(layers) for node in layer}
    links: nx.DiGraph = nx.DiGraph()
    links.add_nodes_from(nodes)
    chains: list[list] = []
    for k, (a, b) in enumerate([*edges, *ties]):
        left, right = sorted((a, b), key=level.__getitem__)
        chain = [(k, i) for i in range(level[left] + 1, level[right])]  # a tuple cannot be a name
        for bend in chain:
            layers[bend[1]].append(bend)
        if level[left] < level[right]:
            nx.add_path(links, [left, *chain, right])
        chains.append(chain if left == a else chain[::-1])
    _order(layers, links)
    rows = _rows(layers, links)
    middle = (min(rows.values(), default=0.0) + max(rows.values(), default=0.0)) / 2
    places = {name: (float(level[name]), rows[name] - middle) for name in nodes}
    return places, [[(float(bend[1]), rows[bend] - middle) for bend in chain] for chain in chains]


def _order(layers: list[list], links: nx.DiGraph) -> None:
    """Sort every layer, in place, so that few arrows cross (barycentre sweeps; the best order seen is kept)."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers, links)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers[1:] if forward else layers[-2::-1]:
            at = {node: i - (len(row) - 1) / 2 for row in layers for i, node in enumerate(row)}
            near = links.predecessors if forward else links.successors
            mean = {
                n: sum(at[m] for m in near(n)) / links_n if (links_n := len(list(near(n)))) else at[n]
                for n in layer
            }
            layer.sort(key=mean.__getitem__)
        if (crossings := _crossings(layers, links)) < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, kept in zip(layers, best):
        layer[:] = kept


def _crossings(layers: list[list], links: nx.DiGraph) -> int:
    count = 0
    for left, right in itertools.pairwise(layers):
        to = {node: j for j, node in enumerate(right)}
        ends = [(i, to[m]) for i, node in enumerate(left) for m in links.successors(node)]
        count += sum((a - c) * (b - d) < 0 for k, (a, b) in enumerate(ends) for c, d in ends[:k])
    return count


def _rows(layers: list[list], links: nx.DiGraph) -> dict:
    """Row of every node: close to the mean of its neighbours, in the order of its layer, at least one row apart."""
    rows = {node: i - (len(layer) - 1) / 2 for layer in layers for i, node in enumerate(layer)}
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 else layers[::-1]:
            wish = []
            for node in layer:
                near = [rows[m] for m in (*links.predecessors(node), *links.successors(node))]
                wish.append(sum(near) / len(near) if near else rows[node])
            rows.update(zip(layer, _apart(wish)))
    return rows


def _apart(wish: Sequence[float]) -> list[float]:
    """The points nearest to ``wish`` (least squares) that are in order and at least 1 apart: isotonic regression."""
    blocks: list[list[float]] = []  # [mean, size]
    for i, value in enumerate(wish):
        blocks.append([value - i, 1.0])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, size = blocks.pop()
            total = blocks[-1][1] + size
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * size) / total, total]
    flat = [mean for mean, size in blocks for _ in range(int(size))]
    return [value + i for i, value in enumerate(flat)]


# -- how they look ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Box:
    """A drawn node: centre and half size in pixels, and its shape."""

    x: float
    y: float
    half: float
    role: str

    def edge_point(self, towards: Point) -> Point:
        """Where the line from the centre towards a point leaves the outline."""
        dx, dy = towards[0] - self.x, towards[1] - self.y
        if dx == dy == 0:
            return self.x, self.y
        if self.role == "outcome":  # a pill: a disc at each end of a strip
            r = HEIGHT / 2
            step = min(self.half / abs(dx) if dx else 1e9, r / abs(dy) if dy else 1e9)
            x, y = dx * step, dy * step
            if abs(x) > self.half - r:  # on the rounded end: intersect the ray with its circle
                c = (self.half - r) * (1 if dx > 0 else -1)
                a, b, k = dx * dx + dy * dy, -2 * dx * c, c * c - r * r
                step = (-b + max(b * b - 4 * a * k, 0.0) ** 0.5) / (2 * a)
                x, y = dx * step, dy * step
            return self.x + x, self.y + y
        if self.role == "mediator":  # a hexagon: |x| + slant · |y| = half
            step = min(HEIGHT / 2 / abs(dy) if dy else 1e9, self.half / (abs(dx) + 24 / HEIGHT * abs(dy)))
        else:
            step = min(self.half / abs(dx) if dx else 1e9, HEIGHT / 2 / abs(dy) if dy else 1e9)
        return self.x + dx * step, self.y + dy * step


def draw(
    nodes: Sequence[str],
    edges: Sequence[Pair],
    hidden: Sequence[Pair],
    roles: Mapping[str, str],
    caption: str = "",
    causal: Iterable[Pair] = (),
) -> str:
    """Draw a causal graph as one self-contained ``<svg>`` element.

    Parameters
    ----------
    nodes, edges: names, and (cause, effect) pairs among them without a cycle.
    hidden: pairs with a hidden common cause, drawn dashed with two heads.
    roles: name -> "treatment", "outcome", "mediator", "covariate" or "other".
    caption: what the picture says, drawn below it and part of its alternative text.
    causal: the edges that carry the effect, drawn heavier.
    """
    places, bends = layered(nodes, edges, hidden)
    boxes, columns = _boxes(nodes, places, roles)
    routes = [[(columns[int(x)], y * (HEIGHT + GAP_Y)) for x, y in points] for points in bends]
    drawn, heavy = set(edges), set(causal)
    body, points = [], []
    for i, (a, b) in enumerate([*edges, *hidden]):
        tied = i >= len(edges)
        if routes[i] or not tied or (boxes[a].x != boxes[b].x and not {(a, b), (b, a)} & drawn):
            curve = _smooth(boxes[a], routes[i], boxes[b])
        else:
            curve = _bowed(boxes[a], boxes[b])
        style = 'stroke-width="1.4" stroke-opacity="0.8"'
        style = 'stroke-width="2.4"' if not tied and (a, b) in heavy else style
        body.append(_arrow(curve, style + (' stroke-dasharray="5 4"' if tied else ""), both=tied))
        points += [point for piece in curve for point in piece]
    body += [_node(node, boxes[node]) for node in nodes]
    points += [
        (box.x + sx * box.half, box.y + sy * HEIGHT / 2)
        for box in boxes.values()
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    left, right = min(x for x, _ in points) - MARGIN, max(x for x, _ in points) + MARGIN
    top, bottom = min(y for _, y in points) - MARGIN, max(y for _, y in points) + MARGIN
    right = max(right, left + min(2 * MARGIN + LETTER * len(caption), WIDEST))
    lines = textwrap.wrap(caption, round((right - left - 2 * MARGIN) / LETTER) + 1)
    for i, text in enumerate(lines):
        body.append(
            f'<text x="{left + MARGIN:.1f}" y="{bottom + 12 + 18 * i:.1f}" font-size="12.5">{_safe(text)}</text>'
        )
    tall = bottom - top + (18 * len(lines) + 8 if lines else 0)
    return _svg("\n".join(body), (left, top, right - left, tall), alt_text(edges, hidden, nodes, caption))


def alt_text(edges: Sequence[Pair], hidden: Sequence[Pair], nodes: Sequence[str], caption: str = "") -> str:
    """The picture in words, for people who cannot see it."""
    sentences = [f"{a} causes {b}" for a, b in edges] + [
        f"{a} and {b} have a hidden common cause" for a, b in hidden
    ]
    alone = set(nodes) - {name for pair in (*edges, *hidden) for name in pair}
    sentences += [f"{name} stands alone" for name in nodes if name in alone]
    return f"Causal graph: {'; '.join(sentences)}. {caption}".strip()


def _boxes(
    nodes: Sequence[str], places: Mapping[str, Point], roles: Mapping[str, str]
) -> tuple[dict[str, _Box], list[float]]:
    """Boxes in pixels, and the x of every generation."""
    half = {n: max(_width(_short(n), 14), _width(roles.get(n, ""), 10.5)) / 2 + 16 for n in nodes}
    widest = [0.0] * (1 + int(max(x for x, _ in places.values())))
    for n, (x, _) in places.items():
        widest[int(x)] = max(widest[int(x)], half[n])
    columns, at = [], 0.0
    for w in widest:
        columns.append(at + w)
        at += 2 * w + GAP_X
    boxes = {
        n: _Box(columns[int(x)], y * (HEIGHT + GAP_Y), half[n], roles.get(n, "other"))
        for n, (x, y) in places.items()
    }
    return boxes, columns


def _smooth(a: _Box, via: Sequence[Point], b: _Box) -> Curve:
    """A curve from box to box through points (Catmull-Rom), straight where there are none."""
    first, last = (via[0], via[-1]) if via else ((b.x, b.y), (a.x, a.y))
    points = [a.edge_point(first), *via, b.edge_point(last)]
    padded = [points[0], *points, points[-1]]
    return [
        (
            p1,
            (p1[0] + (p2[0] - p0[0]) / 6, p1[1] + (p2[1] - p0[1]) / 6),
            (p2[0] - (p3[0] - p1[0]) / 6, p2[1] - (p3[1] - p1[1]) / 6),
            p2,
        )
        for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False)
    ]


def _bowed(a: _Box, b: _Box) -> Curve:
    """A curve beside the straight line: along the left of a generation, or below an arrow of the same pair."""
    if a.x == b.x:
        reach = min(a.x - a.half, b.x - b.half) - 22 - 0.12 * abs(a.y - b.y)
        return [((a.x - a.half, a.y), (reach, a.y), (reach, b.y), (b.x - b.half, b.y))]
    a, b = (a, b) if a.x < b.x else (b, a)
    dx, dy = b.x - a.x, b.y - a.y
    length = (dx * dx + dy * dy) ** 0.5
    side = 44 if a.y + b.y >= 0 else -44  # away from the middle of the picture
    c = [(a.x + dx * t - side * dy / length, a.y + dy * t + side * dx / length) for t in (0.3, 0.7)]
    return [(a.edge_point(c[0]), c[0], c[1], b.edge_point(c[1]))]


def _arrow(curve: Curve, style: str, both: bool) -> str:
    """A curve with a head at its end, or at both ends; heads are shapes of their own, so that no id is needed."""
    heads = [_head(curve[-1][3], curve[-1][2])] + ([_head(curve[0][0], curve[0][1])] if both else [])
    start = heads[1][1] if both else curve[0][0]
    path = "M{:.1f},{:.1f}".format(*start)
    for i, (_, c1, c2, end) in enumerate(curve):
        stop = heads[0][1] if i == len(curve) - 1 else end
        path += " C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}".format(*c1, *c2, *stop)
    shapes = "".join(f'<path d="{shape}"/>' for shape, _ in heads)
    return f'<path d="{path}" fill="none" stroke="currentColor" {style}/>{shapes}'


def _head(tip: Point, control: Point) -> tuple[str, Point]:
    """The outline of an arrowhead that points from ``control`` to ``tip``, and where its line should stop."""
    dx, dy = tip[0] - control[0], tip[1] - control[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    ux, uy = dx / length, dy / length
    back = [(tip[0] - 11 * ux + s * 4.5 * uy, tip[1] - 11 * uy - s * 4.5 * ux) for s in (1, -1)]
    notch = tip[0] - 8 * ux, tip[1] - 8 * uy
    outline = "M{:.1f},{:.1f} L{:.1f},{:.1f} L{:.1f},{:.1f} L{:.1f},{:.1f} Z".format(
        *tip, *back[0], *notch, *back[1]
    )
    return outline, notch


def _node(name: str, box: _Box) -> str:
    colour = COLOURS.get(box.role, "currentColor")
    x, y, w, h = box.x, box.y, box.half, HEIGHT / 2
    paint = f'fill="{colour}" fill-opacity="{0.06 if box.role == "other" else 0.18}" stroke="{colour}"'
    if box.role == "mediator":
        corners = [(-w, 0), (-w + 12, -h), (w - 12, -h), (w, 0), (w - 12, h), (-w + 12, h)]
        points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
        shape = f'<polygon points="{points}" stroke-linejoin="round" stroke-width="1.8" {paint}/>'
    else:
        radius, line = {"treatment": (3, 3.0), "outcome": (h, 3.0), "covariate": (12, 1.8)}.get(
            box.role, (12, 1.2)
        )
        shape = (
            f'<rect x="{x - w:.1f}" y="{y - h:.1f}" width="{2 * w:.1f}" height="{2 * h:.1f}" rx="{radius:g}" '
            f'stroke-width="{line}" {paint}/>'
        )
    role = "" if box.role == "other" else box.role
    label = f'<text x="{x:.1f}" y="{y + (-1 if role else 5):.1f}" font-size="14" font-weight="600">{_safe(_short(name))}</text>'
    word = (
        f'<text x="{x:.1f}" y="{y + 14:.1f}" font-size="10.5" fill-opacity="0.8">{role}</text>'
        if role
        else ""
    )
    tip = _safe(name + (f" ({role})" if role else ""))
    return f'<g text-anchor="middle"><title>{tip}</title>{shape}{label}{word}</g>'


def _svg(body: str, view: tuple[float, float, float, float], alt: str) -> str:
    x, y, width, height = view
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_safe(alt)}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="{x:.1f} {y:.1f} {width:.1f} {height:.1f}" '
        'style="max-width:100%;height:auto" fill="currentColor" '
        'font-family="system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif">'
        f"<title>{_safe(alt)}</title>\n{body}\n</svg>"
    )


def _safe(text: str) -> str:
    """Text as it may stand in HTML and XML: escaped, and without characters that XML forbids."""
    clean = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) != "Zs" else " "
        for c in text
    )
    return html.escape(clean, quote=True)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _width(text: str, size: float) -> float:
    """A generous guess of the width of text in pixels."""
    wide = sum(
        1.75 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1
        for c in text
    )
    return 0.61 * size * wide
