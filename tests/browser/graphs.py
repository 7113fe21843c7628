"""The graph editor as people work it: by mouse, and by keyboard alone."""

from __future__ import annotations

from typing import Any

ADDED = ("loss", "quality")
ARROWS = (("mixture", "loss"), ("loss", "score"))
HIDDEN = ("quality", "score")
WANTED = "state -> mixture -> loss -> score; state -> score; mixture -> score; quality <-> score"


def centre(page: Any, name: str) -> tuple[float, float]:
    box = page.get_by_test_id(f"dag-node-{name}").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Any, a: str, b: str) -> Any:
    """Press on one node and move to another; returns the mouse, still pressed."""
    (x0, y0), (x1, y1) = centre(page, a), centre(page, b)
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, steps=4)
    page.mouse.move(x1, y1, steps=4)
    return page.mouse


def drawn(page: Any, kind: str, a: str, b: str) -> None:
    page.get_by_test_id(f"dag-{kind}-{a}-{b}").wait_for(state="attached", timeout=120_000)


def by_mouse(page: Any) -> None:
    """Make the default graph of three nodes into WANTED, by mouse (names are typed)."""
    for name in ADDED:
        page.get_by_test_id("dag-name").fill(name)
        page.get_by_test_id("dag-add").click()
        page.get_by_test_id(f"dag-node-{name}").wait_for(timeout=120_000)
    page.get_by_test_id("dag-arrow").click()
    for a, b in ARROWS:
        drag(page, a, b).up()
        drawn(page, "edge", a, b)
    page.get_by_test_id("dag-hidden").click()
    drag(page, *HIDDEN).up()
    drawn(page, "hidden", *HIDDEN)
    page.get_by_test_id("dag-hidden").click()


def to(page: Any, name: str) -> None:
    """Tab through the editor until a node has the focus."""
    page.get_by_test_id("dag-name").focus()
    for _ in range(60):
        if page.evaluate("() => document.activeElement?.key ?? null") == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reached {name}")


def by_keys(page: Any) -> None:
    """The same without the mouse."""
    for name in ADDED:
        page.get_by_test_id("dag-name").focus()
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        page.get_by_test_id(f"dag-node-{name}").wait_for(timeout=120_000)
    for key, kind, (a, b) in [*(("e", "edge", pair) for pair in ARROWS), ("h", "hidden", HIDDEN)]:
        to(page, a)
        page.keyboard.press(key)
        to(page, b)
        page.keyboard.press("Enter")
        drawn(page, kind, a, b)
