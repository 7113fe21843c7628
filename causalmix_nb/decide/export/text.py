"""What an export says about itself: the verdict with its interval, both kinds of shares, how often each domain is read.

The same facts stand as comments in scripts and YAML (:func:`comments`) and as fields in JSON (:func:`facts`).
"""

from __future__ import annotations

import math
from typing import Any

from causalmix_nb.decide.export.plan import ExportPlan, PlannedDomain


def printable(text: object) -> str:
    """A text on one line, with everything that is no letter, sign or plain space written as an escape.

    >>> printable("a\\nb: ü\\x00")
    'a\\\\nb: ü\\\\x00'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text)
    )


def comments(plan: ExportPlan, *more: str) -> str:
    """The head of a script or a YAML file: what is recommended, how sure that is, what is drawn, and what to know."""
    lines = ["A mixture of training data, written by causalmix_nb.", *verdict(plan)]
    lines += ["", *table(plan), ""]
    lines += [*map(_comment, plan.notes), *more]
    return "".join(f"# {printable(line)}".rstrip() + "\n" for line in lines) + "\n"


def verdict(plan: ExportPlan) -> list[str]:
    """The recommendation in words; nothing for a mixture that somebody chose."""
    best = plan.recommendation
    if best is None:
        return []
    interval = (
        f"95 % interval {best.lower:.3g} to {best.upper:.3g}" if _known(best.lower) else "without an interval"
    )
    against = ", ".join(f"{name} {share:.1%}" for name, share in best.baseline.shares.items())
    sentences = [
        f"Verdict: {best.verdict}.",
        f"Gain: {best.gain:.3g} of {best.outcome} ({interval}; {'lower' if best.minimize else 'higher'} is better), "
        f"from {best.n_runs} runs, against the baseline {against}.",
    ]
    if _known(best.lower) and best.lower <= 0 <= best.upper:
        sentences.append("The interval contains 0: these runs cannot tell this mixture from the baseline.")
    return [*sentences, *map(_comment, best.notes)]


def table(plan: ExportPlan) -> list[str]:
    """One line a domain, in columns."""
    heads = ["domain", "tokens", "examples"]
    rows = [[printable(d.name), f"{d.share:.4%}", f"{d.examples:.4%}"] for d in plan.domains]
    more = [
        (f"{plan.unit} per example", [_number(d.tokens_per_example) for d in plan.domains]),
        ("examples there are", [_number(d.documents) for d in plan.domains]),
        ("to draw", [_number(d.draw) for d in plan.domains]),
        ("times read", ["" if d.epochs is None else f"{d.epochs:.3g}" for d in plan.domains]),
        ("source", [printable(d.source) if d.source else "" for d in plan.domains]),
    ]
    for head, column in more:
        if any(column):
            heads.append(head)
            rows = [[*row, cell] for row, cell in zip(rows, column)]
    wide = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, wide)).rstrip() for row in [heads, *rows]]
    length = f"Tokens are counted in {plan.unit}" if plan.measured else "Tokens are those of your trainer"
    if plan.tokens is not None:
        asked = "" if plan.token_budget in (None, plan.tokens) else f" (asked for: {plan.token_budget:,})"
        length += f"; {plan.tokens:,} of them to train on{asked}"
    if plan.max_epochs is not None:
        length += f", none read more than {plan.max_epochs:g} times"
    if plan.max_length is not None:
        length += f"; examples are cut after {plan.max_length:,}"
    return [*lines, "", length + "."]


def facts(plan: ExportPlan) -> dict[str, Any]:
    """All of a plan as what JSON and YAML can hold."""
    content: dict[str, Any] = {"mixture": {d.name: d.share for d in plan.domains}}
    content["shares_of"] = "tokens"
    if plan.measured:
        content["examples"] = {d.name: float(f"{d.examples:.9g}") for d in plan.domains}
        content["tokens_counted_in"] = plan.unit
        content["tokens_per_example"] = _column(plan, "tokens_per_example")
        for field, name in (("documents", "documents"), ("draw", "draw"), ("epochs", "epochs")):
            if found := _column(plan, field):
                content[name] = found
    if sources := {d.name: _source(d) for d in plan.domains if d.source}:
        content["sources"] = sources
    for name in ("token_budget", "max_epochs", "max_length"):
        if (value := getattr(plan, name)) is not None:
            content[name] = value
    if plan.tokens is not None and plan.tokens != plan.token_budget:
        content["tokens"] = plan.tokens
    if (best := plan.recommendation) is not None:
        content |= {
            "outcome": best.outcome, "verdict": best.verdict,
            "gain": {name: _finite(getattr(best, attribute)) for name, attribute in (("estimate", "gain"), ("lower", "lower"), ("upper", "upper"))},
            "distinguishable": bool(_known(best.lower) and (best.lower > 0 or best.upper < 0)),
            "baseline": best.baseline.shares, "n_runs": best.n_runs,
        }  # fmt: skip
        notes = [*best.notes, *plan.notes]
    else:
        notes = list(plan.notes)
    return {**content, **({"notes": notes} if notes else {})}


def as_yaml(content: dict[str, Any]) -> str:
    """YAML that a safe loader reads back as it was."""
    import yaml

    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
    if yaml.safe_load(text) == content:
        return text  # letters as they are; a few kinds of line ends do not survive that
    return yaml.safe_dump(content, sort_keys=False, width=10_000)


def _comment(note: str) -> str:
    marked = note.startswith(("warning: ", "to do: "))
    return f"{note[0].upper() + note[1:] if marked else 'Note: ' + note}."


def _column(plan: ExportPlan, field: str) -> dict[str, Any]:
    values = {d.name: getattr(d, field) for d in plan.domains}
    return {
        name: value if isinstance(value, int) else float(f"{value:.9g}")
        for name, value in values.items()
        if value is not None
    }


def _source(domain: PlannedDomain) -> Any:
    """A name where a name says it all."""
    found = domain.source.to_dict() if domain.source else {}
    return found["hub"] if found.get("hub") and found.get("split") == "train" and len(found) == 2 else found


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.3g}"


def _known(value: float) -> bool:
    return math.isfinite(value)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
