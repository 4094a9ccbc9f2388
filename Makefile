# `make` or `make help` says what there is. Everything runs on a machine with Go; `make test` also wants Java.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
BUILD := .build
SATELLITES := otelkeycloak metrics/promtest # modules that need nothing but Go
MODULES := . $(SATELLITES) integration tools

# Linter and vulnerability check come from tools/go.mod, so that they are in nobody's dependencies.
LINT := $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
VULN := $(GO) tool -modfile=$(CURDIR)/tools/go.mod govulncheck

SWAG := $(GO) tool -modfile=$(CURDIR)/tools/go.mod swag

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
	for m in $(SATELLITES); do (cd $$m && $(GO) test -race -shuffle=on $(TESTFLAGS) ./...); done

.PHONY: integration
integration: ## The tests on a real Keycloak; KEYCLOAK_VERSION chooses another one
	@command -v java >/dev/null || echo "NO JAVA HERE: the tests on a real Keycloak will be left out" >&2
	@command -v chromium >/dev/null || echo "NO CHROMIUM HERE: the tests in a browser will be left out" >&2
	cd integration && $(GO) test -race $(TESTFLAGS) $$($(GO) list ./... | grep /integration/)
	cd integration && $(GO) test -race -timeout 15m $(TESTFLAGS) # no package is named, so that it says what it ran on

.PHONY: check
check: static allocations test-root ## Everything but the real Keycloak (before a commit)

.PHONY: static
static: fmt-check vet tidy-check swagger-check lint ## Format, vet, go.mod files, generated files, lint

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

SWAGGER = cd example && $(SWAG) init --quiet --parseDependencyLevel 3 --parseFuncBody --outputTypes json --output

.PHONY: swagger
swagger: ## Make the example's OpenAPI document of its comments
	$(SWAGGER) docs

.PHONY: swagger-check
swagger-check:
	@mkdir -p $(BUILD)/swagger
	@$(SWAGGER) ../$(BUILD)/swagger
	@diff -u example/docs/swagger.json $(BUILD)/swagger/swagger.json || { echo "make swagger is wanted"; exit 1; }

.PHONY: vet
vet:
	$(GO) vet ./...
	for m in $(SATELLITES) integration; do (cd $$m && $(GO) vet ./...); done

.PHONY: lint
lint: ## golangci-lint over all modules (the first time it compiles the linter, a few minutes)
	$(LINT) run ./...
	for m in $(SATELLITES) integration; do (cd $$m && $(LINT) run ./...); done

.PHONY: vuln
vuln: ## Known vulnerabilities in what is called (needs vuln.go.dev)
	$(VULN) ./...

.PHONY: tidy
tidy: ## go mod tidy in all modules
	for m in $(MODULES); do (cd $$m && $(GO) mod tidy); done

.PHONY: tidy-check
tidy-check:
	for m in $(MODULES); do (cd $$m && $(GO) mod tidy -diff); done
