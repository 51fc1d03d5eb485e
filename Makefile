# Every target is one line of intent; the steps live in scripts/. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin

# A run starts dozens of processes that import LiteLLM: it is compiled once, not by each of them.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/bytecode
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test chaos check format lock bench bench-routing clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## install what the demo needs, then route real prompts and print the table
	@scripts/bootstrap demo
	@$(BIN)/routeiq demo

test: ## install everything, then run the checks, all tests, and each benchmark once
	@scripts/bootstrap dev newest debian
	@$(MAKE) --no-print-directory check
	@echo "==> pytest"
	@scripts/run-tests
	@$(MAKE) --no-print-directory bench

chaos: ## the chaos tests in their long form: what is broken on purpose, under a steady load (a quarter of an hour)
	@scripts/bootstrap dev debian
	@CHAOS=long $(BIN)/python -m pytest tests/chaos --timeout=1200 -o faulthandler_timeout=1300

check: ## formatting, lint, types and import layers (under a minute)
	@scripts/bootstrap dev
	@echo "==> ruff format --check" && $(BIN)/ruff format --check .
	@echo "==> ruff check" && $(BIN)/ruff check .
	@echo "==> mypy --strict src" && $(BIN)/mypy
	@echo "==> lint-imports" && $(BIN)/lint-imports

format: ## format the code and apply the safe fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## resolve the lock files of requirements/ again
	@scripts/lock

bench: ## run every benchmark once
	@scripts/bootstrap dev
	@for file in $(wildcard bench/[a-z]*.py); do echo "==> $$file" && $(BIN)/python "$$file" --once || exit 1; done

bench-routing: ## compare routers on recorded outcomes (ROUTEIQ_RECORDED_DATA), write docs/results/side-by-side.md
	@scripts/bootstrap dev
	@nice -n 10 $(BIN)/python bench/routing.py --write

clean: ## remove the environments, builds and caches
	rm -rf .venv .venv-newest build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .cache/bytecode
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
