# The newcomer's commands. Each target is one script; the work, and the reasons for it, are in scripts/.

.DEFAULT_GOAL := help
.PHONY: help demo examples test bench conformance lint clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

demo: ## build, run a multi-agent example, print its trace
	@scripts/demo

examples: ## build, run the example of each framework, offline
	@scripts/examples

test: ## Rust tests, Python tests, also with the oldest frameworks, unit tests on every other CPython
	@scripts/test

bench: ## measure ironspan beside its peers, write a table
	@scripts/bench

conformance: ## run the agent programs of the conformance suite with ironspan and its peers
	@scripts/conformance

lint: ## formatting, clippy, ruff, mypy, stubs, workflow files
	@scripts/lint

clean: ## remove virtual environments, caches and build output
	rm -rf .venv .venv-* .cache .pytest_cache .mypy_cache .ruff_cache dist target fuzz/target
