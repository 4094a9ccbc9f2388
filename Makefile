# `make` or `make help` says what there is. Everything runs on a machine with Go; `make test` also wants Java.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
BUILD := .build
MODULES := . integration tools

# Linter and vulnerability check come from tools/go.mod, so that they are in nobody's dependencies.
LINT := $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
VULN := $(GO) tool -modfile=$(CURDIR)/tools/go.mod govulncheck

# Added to every go test, such as -v or -run.
TESTFLAGS ?=

# Unset where tests may leave a part out; with CI=true they fail instead.
export CI

.PHONY: help
help: ## What each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: example
example: ## Run the example with a fake Keycloak inside
	$(GO) run ./example

.PHONY: test
test: test-root integration ## All tests, those on a real Keycloak included (a few minutes)

.PHONY: test-root
test-root: ## All tests that need nothing but Go (a minute)
	$(GO) test -race -shuffle=on -parallel 16 $(TESTFLAGS) ./... # most tests wait for a clock, not for a core

.PHONY: integration
integration: ## The tests on a real Keycloak; KEYCLOAK_VERSION chooses another one
	@command -v java >/dev/null || echo "NO JAVA HERE: the tests on a real Keycloak will be left out" >&2
	cd integration && $(GO) test -race $(TESTFLAGS) $$($(GO) list ./... | grep /integration/)
	cd integration && $(GO) test -race -timeout 15m $(TESTFLAGS) # no package is named, so that it says what it ran on

.PHONY: check
check: static allocations test-root ## Everything but the real Keycloak (before a commit)

.PHONY: static
static: fmt-check vet tidy-check lint ## Format, vet, go.mod files, lint

.PHONY: allocations
allocations: ## The bounds on allocations, without the race detector
	$(GO) test -run Alloc $(TESTFLAGS) ./...

.PHONY: cover
cover: ## How much of the library the tests run
	@mkdir -p $(BUILD)
	$(GO) test -coverpkg=./... -coverprofile=$(BUILD)/cover.out ./...
	$(GO) tool cover -func=$(BUILD)/cover.out | tail -1
	@echo "line by line: go tool cover -html=$(BUILD)/cover.out"

.PHONY: fmt
fmt: ## Format all files
	gofmt -s -w .

.PHONY: fmt-check
fmt-check:
	@out=$$(gofmt -s -l .); if [[ -n $$out ]]; then echo "make fmt is wanted for:"; echo "$$out"; exit 1; fi

.PHONY: vet
vet:
	$(GO) vet ./...
	cd integration && $(GO) vet ./...

.PHONY: lint
lint: ## golangci-lint over all modules (the first time it compiles the linter, a few minutes)
	$(LINT) run ./...
	cd integration && $(LINT) run ./...

.PHONY: vuln
vuln: ## Known vulnerabilities in what is called (needs vuln.go.dev)
	$(VULN) ./...

.PHONY: tidy
tidy: ## go mod tidy in all modules
	for m in $(MODULES); do (cd $$m && $(GO) mod tidy); done

.PHONY: tidy-check
tidy-check:
	for m in $(MODULES); do (cd $$m && $(GO) mod tidy -diff); done
