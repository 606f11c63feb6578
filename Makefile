# RMN LoRA Workbench. Every target sets up what it needs; `make` alone lists them.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup demo serve test check lab docs readme bench tours soak clean

BIN := .venv/bin
PYTEST := $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# The tests are to be the same on every machine: nothing is fetched, and sums are formed by one thread, in one order.
# They run side by side instead. Elsewhere, threads that wait for work let others have the core soon, but not at once.
test check soak: export HF_HUB_OFFLINE := 1
test check soak: export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false
export GOMP_SPINCOUNT := 3000
# A virtual environment that happens to be active, or modules on PYTHONPATH, are no part of this one.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

help: ## list what make can do
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | awk -F'\t' '{printf "make %-7s %s\n", $$1, $$2}'

setup: ## make .venv and install into it what constraints.txt pins (the others do this themselves)
	@bash .ci/setup

demo: setup ## the main job, from raw reports to an adapter that proves itself
	@$(BIN)/rmn-lora run demo

serve: setup ## start the server on this machine, without keys (http://127.0.0.1:8000/docs)
	@$(BIN)/rmn-lora serve --insecure-local

test: ## run the lessons in the notebooks, then the tests
	@bash .ci/setup browser
	@echo "Lessons: running the notebooks in nbs/"
	@$(BIN)/nbdev-test --do-print
	@$(PYTEST)

check: ## before a commit: export, run and save all notebooks, clean, README, then the tests
	@bash .ci/setup browser
	@$(BIN)/nbdev-export
	@$(BIN)/nbdev-test --save --do-print
	@$(BIN)/nbdev-clean
	@$(BIN)/python .ci/pages.py readme
	@$(PYTEST)

lab: setup ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate nbs

docs: setup ## build the documentation into _docs/, without a network
	@$(BIN)/python .ci/pages.py site _docs
	@echo "Open _docs/index.html"

readme: setup ## write README.md from nbs/index.ipynb
	@$(BIN)/python .ci/pages.py readme

bench: setup ## run the benchmarks in nbs/bench/, or one: make bench BENCH=name
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation --editable '.[peers]'
	@set -e; shopt -s nullglob; for notebook in nbs/bench/$(or $(BENCH),*).ipynb; do $(BIN)/rmn-lora run "$$notebook"; done

tours: setup ## run the tours in nbs/tours/: one story each, from end to end
	@set -e; shopt -s nullglob; for notebook in nbs/tours/*.ipynb; do $(BIN)/rmn-lora run "$$notebook"; done

soak: setup ## ten minutes each: sixteen threads at one engine, and clients at one server; every answer verified, memory flat
	@RMN_STRESS_SECONDS=600 $(BIN)/pytest tests/adapters/test_compositor.py -k sixteen_threads -s
	@RMN_SOAK_SECONDS=600 RMN_OUTAGE_SECONDS=20 $(BIN)/pytest tests/serving/test_soak.py tests/serving/test_outage.py -s

clean: ## remove what the targets made, except .venv and runs/
	rm -rf _docs _proc build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
