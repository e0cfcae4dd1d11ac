# Works from a clean clone with the Rust toolchain, gcc, make and python3.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo setup test lint deny bench generate clean

CARGO ?= cargo
# cargo-nextest runs the tests where it is installed, `cargo test` where it is not.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
# More arguments for the runner: make test ARGS="historian".
ARGS ?=

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## a simulated field and a site that reads it, until Ctrl-C; FOR=30s ends it by itself
	$(CARGO) run --profile fast --bin ducto -- demo $(if $(FOR),--for $(FOR))

setup: ## the Python that tests use, in .venv
	@tests/setup.sh

test: setup ## all tests
	$(CARGO) test --quiet --workspace --doc
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --workspace $(ARGS)
else
	$(CARGO) test --workspace --lib --bins --tests $(ARGS)
endif

lint: ## format, clippy, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	@$(MAKE) --no-print-directory deny

# Installed beside the checkout's own files where it is not on the PATH.
DENY := $(or $(shell command -v cargo-deny),.tools/bin/cargo-deny)

deny: $(DENY) ## what the dependencies may be: deny.toml
	$(DENY) --log-level error check bans licenses sources

.tools/bin/cargo-deny:
	$(CARGO) install cargo-deny --version 0.20.2 --locked --quiet --root .tools

bench: ## measurements of this machine, in target/bench
	@mkdir -p target/bench
	$(CARGO) bench --workspace --profile fast --bench '*' | tee target/bench/crates.txt
	$(CARGO) build --profile fast --bin ducto
	for values in full cent adc; do \
		$(CARGO) run --quiet --profile fast --bin ducto -- \
			bench w1 --tags 10000 --seconds 600 --values $$values --json; \
	done | tee target/bench/w1.jsonl
	$(CARGO) run --quiet --profile fast --bin ducto -- bench modbus --json | tee target/bench/modbus.jsonl
	$(CARGO) run --quiet --profile fast --bin ducto -- bench views --json | tee target/bench/views.json

generate: ## the files that are derived from the code
	$(CARGO) xtask generate

clean: ## what builds, tests and demos left
	$(CARGO) clean
	rm -rf .venv .tools data
