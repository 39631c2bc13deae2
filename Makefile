# `make demo` shows the whole loop on real traffic; `make test` checks everything. Both set themselves up.
PYTHON ?= python3
SLM = .venv/bin/slm
READY = .venv/.ready

.PHONY: demo test up soak clean

demo: $(READY)
	$(SLM) sample
	$(SLM) run

test: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m pytest -q

up: $(READY)
	$(SLM) up

# what is too long for every change and for its time-out: many examples, kills and calls, a month of traffic; then both set-up commands
# from a fresh clone
soak: $(READY)
	.venv/bin/python -m pytest -q --hypothesis-profile=soak --timeout=7200
	scripts/fresh_clone.sh

# everything that was made here, the traffic log included
clean:
	rm -rf .venv .dagster .pytest_cache .ruff_cache .hypothesis *.egg-info
	find data -mindepth 1 ! -name README.md -delete

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[test]' || \
		{ echo "Set-up failed. It needs the Python package index (or the mirror that pip is configured for): see pip's message above." >&2; exit 1; }
	@touch $@
