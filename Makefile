PYTHON ?= python3
BIN = .venv/bin

help:  ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet torch==2.13.0 -c constraints.txt
	$(BIN)/pip install --quiet -e '.[lab,test,forest,hf,ray]' -c constraints.txt
	touch $@

quickstart: .venv/.ready  ## runs the main job: notebooks/01_quickstart.ipynb, executed into build/quickstart
	$(BIN)/python -m causalmix_nb.quickstart

test: .venv/.ready  ## runs the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

TIMES ?= 1
browser: .venv/.ready  ## the tests in a real browser, TIMES times in a row (make browser TIMES=20)
	for i in $$(seq $(TIMES)); do echo "browser tests, $$i of $(TIMES)"; CI=true OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser || exit 1; done

lint: .venv/.ready  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: .venv/.ready  ## opens JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

clean:  ## removes what was built
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache

.PHONY: help quickstart test browser lint lab clean
