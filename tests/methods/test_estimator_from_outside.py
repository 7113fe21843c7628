"""An estimator that one file adds is fitted, validated, optimised on, listed and completed; and gone when it is taken back."""

import re
from pathlib import Path

import numpy as np
import pytest

from causalmix_nb.decide.policy import optimize
from causalmix_nb.errors import FitError
from causalmix_nb.magics import parser
from causalmix_nb.magics.language import HelpAsked
from causalmix_nb.magics.names import names
from causalmix_nb.methods.fit import cross_validate, fit
from causalmix_nb.methods.method import METHODS
from worlds import make_world

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def added():
    """The example of the guide, run as it stands there."""
    text = GUIDE.read_text(encoding="utf-8")
    (code,) = [
        code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ConstantModel" in code
    ]
    space = {"__name__": "constant"}
    exec(compile(code, str(GUIDE), "exec"), space)
    yield space
    METHODS.remove("constant")


@pytest.fixture
def runs():
    return make_world(2).runs(48, 2)


def help_of_fit():
    with pytest.raises(HelpAsked) as asked:
        parser.parse("fit --help")
    return str(asked.value)


def test_it_is_fitted_by_its_name_and_compared_with_the_reference(added, runs):
    model = fit(runs, method="constant")
    assert model.diagnostics["chosen"] == "constant" and set(model.diagnostics["tried"]) == {
        "constant",
        "regmix",
    }
    assert np.allclose(model.predict(model.problem.equal)["mean"], model.problem.y.mean())


def test_nothing_it_cannot_tell_apart_is_recommended_over_the_baseline(added, runs):
    best = optimize(fit(runs, method="constant"), n_candidates=500)
    assert best.gain == 0 and best.mixture.shares == best.baseline.shares


def test_it_is_validated_beside_ours(added, runs):
    from causalmix_nb.estimate.problem import Problem

    table = cross_validate(Problem.from_runs(runs), ("constant", "linear"))
    assert table.loc["constant", "spearman"] < 0.3 < table.loc["linear", "spearman"]


def test_help_and_completion_know_it_while_it_is_there(added):
    assert "constant" in names("method") and re.search(r"\bconstant\b", help_of_fit())
    METHODS.remove("constant")
    assert "constant" not in names("method") and not re.search(r"\bconstant\b", help_of_fit())


def test_it_is_gone_when_it_is_taken_back(added, runs):
    METHODS.remove("constant")
    with pytest.raises(FitError, match="unknown method 'constant'.*Methods are forest, gp, .*, auto"):
        fit(runs, method="constant")


def test_every_method_of_ours_says_what_it_is():
    assert list(METHODS) == ["forest", "gp", "law", "lightgbm", "linear", "regmix"]
    assert all(method.summary for method in METHODS.values())
