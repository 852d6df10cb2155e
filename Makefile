# The index of what can be done here. `make help` prints it.
#
# Needs Go (go.mod says which) and, for `race` alone, a C compiler. Downloads go
# through Go's module mechanism; nothing else is fetched.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
DOCKER ?= docker
# Modules beside the root one. They are tested with it, and never imported by it.
MODULES := conformance benchmarks

BIN := bin
PEREGRINE := $(BIN)/peregrine
REFERENCE := $(BIN)/nats-server
REFERENCE_PACKAGE := github.com/nats-io/nats-server/v2

# The revision goes into --version where git can tell it.
VCS := $(shell git log -1 --format=%h >/dev/null 2>&1 && echo auto || echo false)
BUILD := CGO_ENABLED=0 $(GO) build -buildvcs=$(VCS) -trimpath

ADDR ?= 127.0.0.1
PORT ?= 4222
ARGS ?=
FUZZTIME ?= 10s
SCENARIO ?= quick
PAIRS ?= 5
ROUNDS ?= 10
BASE ?=

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | while IFS='|' read -r target text; do printf '  %-15s %s\n' "$$target" "$$text"; done

.PHONY: run
run: build ## build, then serve on 127.0.0.1:4222 (ARGS="-DV -m 8222" adds options)
	exec $(PEREGRINE) -a $(ADDR) -p $(PORT) $(ARGS)

.PHONY: build
build: ## build bin/peregrine
	@mkdir -p $(BIN)
	$(BUILD) -o $(PEREGRINE) ./cmd/peregrine

.PHONY: test
test: format vet ## formatting, vet and all tests of all modules
	$(GO) test ./...
	@for module in $(MODULES); do \
		echo "$(GO) test ./...  (in $$module)"; \
		( cd $$module && $(GO) test -count=1 ./... ); \
	done

.PHONY: format
format: ## fail when a file is not gofmt-ed
	@echo "gofmt -l ."
	@files="$$(gofmt -l .)"; \
	if [ -n "$$files" ]; then echo "not gofmt-ed:"; echo "$$files"; exit 1; fi

.PHONY: vet
vet: ## go vet in all modules
	$(GO) vet ./...
	$(GO) vet -tags invariants ./...
	@for module in $(MODULES); do echo "$(GO) vet ./...  (in $$module)"; ( cd $$module && $(GO) vet ./... ); done

.PHONY: race
race: ## tests of the root module with the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./...

.PHONY: invariants
invariants: ## tests of the root module with costly checks compiled in
	$(GO) test -tags invariants ./...

.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME (10s)
	@for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

.PHONY: check
check: test race invariants ## what review runs

.PHONY: reference
reference: ## build bin/nats-server, the version that the tests compare with
	@mkdir -p $(BIN)
	cd conformance && CGO_ENABLED=0 $(GO) build -o ../$(REFERENCE) $(REFERENCE_PACKAGE)

.PHONY: bench
bench: build reference ## compare with nats-server, quickly (SCENARIO=name,name PAIRS=5)
	$(PEREGRINE) bench --reference $(REFERENCE) --scenario $(SCENARIO) --pairs $(PAIRS)

.PHONY: bench-full
bench-full: build reference ## every scenario, with reports under bin/bench
	@mkdir -p $(BIN)/bench
	$(PEREGRINE) bench --reference $(REFERENCE) --scenario full --pairs $(PAIRS) \
		--json $(BIN)/bench/report.json --markdown $(BIN)/bench/report.md --html $(BIN)/bench/report.html

.PHONY: bench-compare
bench-compare: ## compare with another revision, whole and by micro-benchmarks (BASE=revision, needs git), or with a report (BASE=FILE.json)
	@if [ -z "$(BASE)" ]; then echo "say with what: make bench-compare BASE=main, or BASE=benchmarks/results/quick-2-cores.json"; exit 1; fi
	cd benchmarks && $(GO) run ./cmd/compare $(if $(filter %.json,$(BASE)),-base "$(abspath $(BASE))",-base "$(BASE)" -micro $(ROUNDS)) \
		--scenario $(SCENARIO) --pairs $(PAIRS) $(ARGS)

.PHONY: bench-store
bench-store: build ## the storage engine against the disk of DIR (default bin/bench), ARGS="--only append"
	@mkdir -p $(BIN)/bench
	$(PEREGRINE) store bench $(ARGS) $(or $(DIR),$(BIN)/bench)

.PHONY: soak
soak: ## the long variants of the load tests, up to an hour
	cd conformance && SOAK=1 $(GO) test -count=1 -v ./load -timeout 1h

.PHONY: image
image: ## build a container image named peregrine (needs docker, or DOCKER=podman)
	$(DOCKER) build -f packaging/Dockerfile -t peregrine .

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN)
