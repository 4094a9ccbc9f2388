# `make` or `make help` says what there is. Everything runs on a machine with Go; `make test` also wants Java.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
BUILD := .build
SATELLITES := otelkeycloak metrics/promtest docs/grpc tools bench # modules that need nothing but Go; bench also wants wrk
MODULES := . $(SATELLITES) integration tools/actionlint

# Linter and vulnerability check come from tools/go.mod, so that they are in nobody's dependencies.
LINT := $(GO) tool -modfile=$(CURDIR)/tools/go.mod golangci-lint
VULN := $(GO) tool -modfile=$(CURDIR)/tools/go.mod govulncheck
ACTIONLINT := $(GO) tool -modfile=$(CURDIR)/tools/actionlint/go.mod actionlint

SWAG := $(GO) tool -modfile=$(CURDIR)/tools/go.mod swag

# Added to every go test, such as -v or -run.
TESTFLAGS ?=

# Unset where tests may leave a part out; with CI=true they fail instead.
export CI

.PHONY: help
help: ## What each target does, and about how long it takes when everything is compiled and downloaded
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: example
example: ## Run the example with a fake Keycloak inside (until you stop it)
	$(GO) run ./example

.PHONY: test
test: test-root integration ## All tests, those on a real Keycloak included (a few minutes)

.PHONY: test-root
test-root: ## All tests that need nothing but Go (a minute)
	@$(GO) build ./... # else tests that build programs would all compile the same at once, where nothing is compiled yet
	$(GO) test -race -shuffle=on -parallel 16 $(TESTFLAGS) ./... # most tests wait for a clock, not for a core
	for m in $(SATELLITES); do (cd $$m && $(GO) test -race -shuffle=on $(TESTFLAGS) ./...); done

.PHONY: integration
integration: ## The tests on a real Keycloak; KEYCLOAK_VERSION chooses another one (a few minutes)
	@command -v java >/dev/null || echo "NO JAVA HERE: the tests on a real Keycloak will be left out" >&2
	@command -v chromium >/dev/null || echo "NO CHROMIUM HERE: the tests in a browser will be left out" >&2
	cd integration && $(GO) test -race $(TESTFLAGS) $$($(GO) list ./... | grep /integration/)
	cd integration && $(GO) test -race -timeout 15m $(TESTFLAGS) # no package is named, so that it says what it ran on

.PHONY: check
check: static allocations test-root ## Everything but the real Keycloak, before a commit (4 minutes)

.PHONY: static
static: fmt-check vet tidy-check swagger-check licenses-check actions-check lint ## Format, vet, go.mod files, generated files, licences, workflows, lint (2 minutes)

.PHONY: allocations
allocations: ## The bounds on allocations, without the race detector (seconds)
	$(GO) test -run Alloc $(TESTFLAGS) ./...

.PHONY: cover
cover: ## How much of the library the tests run (a minute)
	@mkdir -p $(BUILD)
	$(GO) test -coverpkg=./... -coverprofile=$(BUILD)/cover.out ./...
	$(GO) tool cover -func=$(BUILD)/cover.out | tail -1
	@echo "line by line: go tool cover -html=$(BUILD)/cover.out"

.PHONY: fmt
fmt: ## Format all files (seconds)
	gofmt -s -w .

.PHONY: fmt-check
fmt-check:
	@out=$$(gofmt -s -l .); if [[ -n $$out ]]; then echo "make fmt is wanted for:"; echo "$$out"; exit 1; fi

SWAGGER = cd example && $(SWAG) init --quiet --parseDependencyLevel 3 --parseFuncBody --outputTypes json --output

.PHONY: swagger
swagger: ## Make the example's OpenAPI document of its comments (seconds)
	$(SWAGGER) docs

.PHONY: swagger-check
swagger-check:
	@mkdir -p $(BUILD)/swagger
	@$(SWAGGER) ../$(BUILD)/swagger
	@diff -u example/docs/swagger.json $(BUILD)/swagger/swagger.json || { echo "make swagger is wanted"; exit 1; }

LICENSES = cd tools && $(GO) run ./licenses

.PHONY: licenses
licenses: ## List the licences of all dependencies; unknown and copyleft ones fail (seconds)
	$(LICENSES) ../docs/licenses.md

.PHONY: licenses-check
licenses-check:
	@mkdir -p $(BUILD)
	@$(LICENSES) ../$(BUILD)/licenses.md
	@diff -u docs/licenses.md $(BUILD)/licenses.md || { echo "make licenses is wanted"; exit 1; }

.PHONY: actions-check
actions-check: ## The GitHub workflows (seconds)
	$(ACTIONLINT)

.PHONY: apidiff
apidiff: ## What changed in the API since the last release, or since BASE (a minute)
	cd tools && $(GO) run ./apidiff $(BASE)

.PHONY: release-check
release-check: ## Whether VERSION, like v0.1.0, fits changelog, tags and API; writes its notes (a minute)
	@mkdir -p $(BUILD)
	cd tools && $(GO) run ./apidiff -version "$(VERSION)" $(BASE)
	cd tools && $(GO) run ./release "$(VERSION)" >../$(BUILD)/notes.md

# Fuzz targets find themselves. MessagePack, which Gin has, takes minutes to compile for the fuzzer and is not used here.
FUZZTIME ?= 10m
FUZZFLAGS ?=

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME, one after the other (2 hours and 20 minutes)
	@failed=; while IFS=: read -r file func; do \
		target=$${func#func }; dir=$$(dirname $$file); echo "$$target in $$dir"; \
		(cd $$dir && $(GO) test -tags nomsgpack -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $(FUZZFLAGS) .) </dev/null || failed+=" $$target"; \
	done < <(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort); \
	if [[ -n $$failed ]]; then echo "failed:$$failed; commit the inputs that are now in testdata/fuzz with the mend; context deadline exceeded, and no input, is no finding (go.dev/issue/75804)" >&2; exit 1; fi

.PHONY: fuzz-brief
fuzz-brief: ## Every fuzz target for 3000 inputs (a minute)
	@$(MAKE) fuzz FUZZTIME=3000x # not for a time, whose end Go before 1.27 may call a failure (go.dev/issue/75804)

.PHONY: mutate
mutate: ## Change the checks that decide about access one by one; a test must notice each (10 minutes)
	cd tools && $(GO) run ./mutate

SOAK_TIME ?= 10m

.PHONY: soak
soak: ## Traffic, rotations, restarts and floods on a real Keycloak for SOAK_TIME (10 minutes and a half)
	cd integration && SOAK_TIME=$(SOAK_TIME) $(GO) test -race -tags soak -count=1 -v -timeout 0 -run '^TestSoak$$' ./soak

.PHONY: bench
bench: ## Go benchmarks of this library alone, with TESTFLAGS such as -cpuprofile (2 minutes)
	cd bench && $(GO) test -run '^$$' -bench . -benchmem -cpu 1,2 $(TESTFLAGS) .

.PHONY: bench-peers
bench-peers: ## This library next to others, into docs/performance.md (8 minutes on a machine that does nothing else)
	cd bench && $(GO) run ./peers -docs ../docs

.PHONY: bench-bounds
bench-bounds: ## What docs/performance.md promises, held to (3 minutes on a machine that does nothing else)
	cd bench && $(GO) run ./peers -bounds

.PHONY: load
load: ## Requests per second over HTTP against Gin alone, into docs/performance.md (8 minutes; needs wrk)
	cd bench && $(GO) run ./load -doc ../docs/performance.md

.PHONY: vet
vet:
	$(GO) vet ./...
	for m in $(SATELLITES) integration; do (cd $$m && $(GO) vet ./...); done
	cd integration && $(GO) vet -tags soak ./soak

.PHONY: lint
lint: ## golangci-lint, with staticcheck and gosec, over all modules (a minute; the first time it compiles itself, a few more)
	$(LINT) run ./...
	for m in $(SATELLITES) integration; do (cd $$m && $(LINT) run ./...); done

.PHONY: vuln
vuln: ## Known vulnerabilities in what is called; needs vuln.go.dev (a minute)
	$(VULN) ./...
	cd otelkeycloak && $(VULN) ./...

.PHONY: tidy
tidy: ## go mod tidy in all modules (seconds)
	for m in $(MODULES); do (cd $$m && $(GO) mod tidy); done

.PHONY: tidy-check
tidy-check:
	for m in $(MODULES); do (cd $$m && $(GO) mod tidy -diff); done
