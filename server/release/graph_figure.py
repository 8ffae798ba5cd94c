"""The causal graph as a picture: causes left, effects right, the main question highlighted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
from markupsafe import Markup

from protocol.study.sections import Question
from protocol.study.study import Study
from server.drawing.svg import Element, element, figure, fitted, text, text_width, tooltip
from server.release.layout import Bend, Edge, Layout, Place, lay_out

_NAME_PX, _LABEL_PX = 13, 11
_ROW = 58.0  # height of one node gap
_BOX_HEIGHT = 42.0
_CHANNEL = 74.0  # between two layers, for the arrows
_MARGIN = 14.0
_MIN_BOX, _MAX_BOX = 78.0, 176.0
_ARROW = 8.0
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Canvas:
    left: tuple[float, ...]  # of each layer
    width: tuple[float, ...]  # of the boxes of each layer
    layout: Layout

    def entry(self, place: Place) -> Point:
        return (self.left[self._layer(place)], self._y(place))

    def exit(self, place: Place) -> Point:
        layer = self._layer(place)
        return (self.left[layer] + self.width[layer], self._y(place))

    @property
    def size(self) -> Point:
        right = self.left[-1] + self.width[-1] if self.left else 0.0
        return (right + _MARGIN, self.layout.extent * _ROW + _BOX_HEIGHT + 2 * _MARGIN)

    def _layer(self, place: Place) -> int:
        return place.layer if isinstance(place, Bend) else self.layout.layer_of[place]

    def _y(self, place: Place) -> float:
        return self.layout.height_of[place] * _ROW + _BOX_HEIGHT / 2 + _MARGIN


def draw_graph(study: Study) -> Markup:
    """Return the drawing of the study's graph; the first question's path stands out."""
    graph = study.causal_graph
    main = study.questions[0] if study.questions else None
    canvas = _canvas(study, lay_out(graph))
    path = _causal_path(study, main)
    edges = sorted(canvas.layout.routes.items(), key=lambda item: item[0] in path)
    parts = [_arrow_head("head"), _arrow_head("head-path")]
    parts += [_edge(canvas, edge, route, on_path=edge in path) for edge, route in edges]
    parts += [_pair(canvas, one, other) for one, other in study.mixed_graph.pairs]
    parts += [_node(canvas, study, node, main) for node in graph.nodes]
    return figure(canvas.size, "Causal graph", _summary(study, main), parts)


def _canvas(study: Study, layout: Layout) -> _Canvas:
    left: list[float] = []
    width: list[float] = []
    at = _MARGIN
    for layer in layout.layers:
        boxes = [_box_width(study, place) for place in layer if isinstance(place, str)]
        left.append(at)
        width.append(max(boxes, default=0.0))
        at += width[-1] + _CHANNEL
    return _Canvas(tuple(left), tuple(width), layout)


def _box_width(study: Study, node: str) -> float:
    label = study.variable(node).label
    wide = max(text_width(node, _NAME_PX), text_width(label, _LABEL_PX)) + 24
    return min(max(wide, _MIN_BOX), _MAX_BOX)


def _causal_path(study: Study, main: Question | None) -> frozenset[Edge]:
    if main is None:
        return frozenset()
    graph = study.causal_graph.to_networkx()
    treated = study.treated_nodes(main)
    after = {*treated, *(node for start in treated for node in nx.descendants(graph, start))}
    before = {main.outcome, *nx.ancestors(graph, main.outcome)}
    return frozenset(
        (cause, effect) for cause, effect in graph.edges if cause in after and effect in before
    )


def _edge(canvas: _Canvas, edge: Edge, route: Sequence[Place], *, on_path: bool) -> Element:
    return element(
        "path",
        tooltip(f"{edge[0]} → {edge[1]}"),
        d=_curve(canvas, route),
        class_="edge path" if on_path else "edge",
        marker_end="url(#head-path)" if on_path else "url(#head)",
    )


def _pair(canvas: _Canvas, one: str, other: str) -> Element:
    """Return a bow over two nodes that share an unmeasured cause."""
    ends = [
        ((canvas.entry(node)[0] + canvas.exit(node)[0]) / 2, canvas.entry(node)[1])
        for node in (one, other)
    ]
    (x, y), (to_x, to_y) = ((at, high - _BOX_HEIGHT / 2) for at, high in ends)
    top = max(min(y, to_y) - _ROW / 2, 2.0)
    return element(
        "path",
        tooltip(f"{one} ↔ {other}: an unmeasured cause of both"),
        d=f"M{x:.1f} {y:.1f}C{x:.1f} {top:.1f} {to_x:.1f} {top:.1f} {to_x:.1f} {to_y:.1f}",
        class_="edge unmeasured",
    )


def _curve(canvas: _Canvas, route: Sequence[Place]) -> str:
    x, y = canvas.exit(route[0])
    steps = [f"M{x:.1f} {y:.1f}"]
    for _, place in pairwise(route):
        to_x, to_y = canvas.entry(place)
        end = to_x if isinstance(place, Bend) else to_x - _ARROW
        middle = (x + end) / 2
        steps.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {end:.1f} {to_y:.1f}")
        x, y = canvas.exit(place)
        if isinstance(place, Bend):
            steps.append(f"L{x:.1f} {y:.1f}")
    return "".join(steps)


def _node(canvas: _Canvas, study: Study, node: str, main: Question | None) -> Element:
    (x, y), (right, _) = canvas.entry(node), canvas.exit(node)
    role, caption = _role(study, node, main), study.variable(node).label
    middle, room = (x + right) / 2, right - x - 16
    box = element("rect", x=x, y=y - _BOX_HEIGHT / 2, width=right - x, height=_BOX_HEIGHT, rx=9)
    lines = [text(fitted(node, room, _NAME_PX), middle, y + (-2 if caption else 4.5), "name")]
    if caption:
        lines.append(text(fitted(caption, room, _LABEL_PX), middle, y + 13, "caption"))
    spoken = tooltip(", ".join(part for part in (node, caption, role) if part))
    return element("g", spoken, box, *lines, class_=f"node {role}".strip())


def _role(study: Study, node: str, main: Question | None) -> str:
    if main is None:
        return ""
    if node == main.outcome:
        return "outcome"
    return "treatment" if node in study.treated_nodes(main) else ""


def _arrow_head(name: str) -> Element:
    head = element("path", d="M0 0L8 4L0 8z", class_=name)
    return element(
        "marker",
        head,
        id=name,
        viewBox="0 0 8 8",
        refX=0.5,
        refY=4,
        markerWidth=_ARROW,
        markerHeight=_ARROW,
        markerUnits="userSpaceOnUse",
        orient="auto",
    )


def _summary(study: Study, main: Question | None) -> str:
    graph = study.causal_graph
    arrows = sum(len(parents) for parents in graph.parents.values())
    size = f"{len(graph.nodes)} variables and {arrows} arrows."
    if study.mixed_graph.pairs:
        pairs = ", ".join(f"{one} and {other}" for one, other in study.mixed_graph.pairs)
        size += f" Unmeasured causes are drawn between {pairs}."
    if main is None:
        return size
    return f"{size} Treatment {main.treatment}, outcome {main.outcome}."
