.DEFAULT_GOAL := help
.PHONY: help setup extras run up test check clean
MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
quoted = '$(subst ','\'',$(1))'
option = $(if $($(2)),--$(1) $(call quoted,$($(2))))
OPTIONS = $(call option,source,SOURCE) $(call option,data,DATA) $(call option,members,MEMBERS) $(call option,days,DAYS) $(call option,seed,SEED)

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

setup: ## install the locked environment into .venv (nothing to do while the lock is unchanged)
	@sh infra/scripts/setup.sh

extras: setup ## add what the benchmarks compare with, and a sentence encoder for creatives
	@sh infra/scripts/setup.sh extras

run: setup ## the whole loop once: SOURCE= DATA= MEMBERS= DAYS= SEED=
	@$(BIN)/rightmatch run $(OPTIONS)

up: setup ## the loop, then Airflow with its UI and schedules until Ctrl-C
	@$(BIN)/rightmatch up $(OPTIONS)

test: extras ## all tests
	@$(BIN)/python -m pytest -q -n 2 tests

check: extras ## what CI runs: lint, types, layers, SQL, then all tests
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@out=$$($(BIN)/lint-imports 2>&1) || { echo "$$out"; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/sqlfluff lint --disable-progress-bar -q dbt/models
	@cd dbt && ../$(BIN)/dbt --quiet parse --profiles-dir .
	@$(MAKE) test

clean: ## delete the environment and everything that the platform wrote
	@rm -rf .venv var build
