# alcove: everything a contributor types. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# gVisor does not work in a program with cgo; the race detector needs it.
export CGO_ENABLED := 0
# Everywhere, so that tests and the program share what is compiled.
export GOFLAGS := $(shell go env GOFLAGS) -trimpath
# No telemetry, no credentials of whoever runs this, no metadata service.
export AWS_EC2_METADATA_DISABLED := true

BIN := bin/alcove
FUZZTIME ?= 20s
ROUTETIME ?= 30s
ROUTES ?=
BENCH ?=
ISOLATION ?= gvisor
PKG ?= ./...
# Those that take longest come first, so that none is left alone at the end.
PACKAGES = $(if $(filter ./...,$(PKG)),./test/e2e ./sandbox/gvisor ./test/egress) $(PKG)
RUN ?= .
# So many failed tests have a second run each, and are named if that was good.
AGAIN ?= 0

# Where goroutines share memory, and no sandbox is started from the test itself.
RACE := . ./auth ./artifact ./catalog ./environment ./invoke ./journal ./logs ./logs/queries ./logsapi ./lambdaapi \
	./pool/... ./runtimeapi/... ./store ./telemetry ./urlapi ./internal/pump ./internal/places ./sandbox/egress

# Tests that may be skipped: with clients of AWS's that cannot be had here, and one that
# sets the machine's clock; any other skipped test fails the run.
MAY_SKIP := test/e2e\.TestOfficial(Node|Python)RuntimeClient|runtimeapi\.TestNodeClient|test/e2e\.TestEveryOperationWith(CLI|Python)|test/egress\.TestPostgreSQL|test/events\.TestTheMachinesClockIsSet

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  variables: ISOLATION=gvisor|namespace (demo), PKG=, RUN= and AGAIN= (test), FUZZTIME= (fuzz), ROUTETIME= and ROUTES='-at-once 2 -run X' (fuzz-routes), BENCH= (flags of test/bench)"

.PHONY: needs
needs:
	@scripts/install-missing

.PHONY: build
build: needs ## build bin/alcove (the first time takes minutes: gVisor is in it)
	@mkdir -p $(dir $(BIN))
	go generate ./sandbox/initbin ./sandbox/gvisor/embedded ./sandbox/egress/embedded ./sandbox/supervise/embedded
	go build -ldflags '-s -w' -o $(BIN) ./cmd/alcove

.PHONY: demo
demo: build ## see one function serve two tenants that share nothing
	@go run ./examples/demo -alcove $(BIN) -isolation $(ISOLATION)

.PHONY: check
check: ## gofmt, go vet, the import table
	@bad=$$(git ls-files --cached --others --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l); \
	if [ -n "$$bad" ]; then echo "not formatted (gofmt -w):"; echo "$$bad"; exit 1; fi
	go vet ./...
	go test -vet=off -count=1 -run 'TestImports|TestLimited|TestEvery' .

test/e2e/testdata/js/node_modules: test/e2e/testdata/js/package-lock.json
	cd test/e2e/testdata/js && npm ci --no-audit --no-fund --loglevel=error && touch node_modules

test/egress/testdata/js/node_modules: test/egress/testdata/js/package-lock.json
	cd test/egress/testdata/js && npm ci --no-audit --no-fund --loglevel=error && touch node_modules

.PHONY: conformance
conformance: ## count what is compared with AWS's API: operations, the SDK's fixtures, texts of errors
	@mkdir -p $(dir $(BIN))
	@status=0; ALCOVE_CONFORMANCE=$(abspath $(dir $(BIN)))/conformance.txt go test -vet=off -count=1 ./lambdaapi || status=$$?; cat $(dir $(BIN))conformance.txt; exit $$status

# go test ends with 1 where a test failed, of which tally judges.
.PHONY: test
test: build check test/e2e/testdata/js/node_modules test/egress/testdata/js/node_modules ## every test, as root, from nothing (PKG=./pool RUN=TestX for some)
	@scripts/install-missing browser
	$(if $(filter ./... ./test/... ./test/e2e ./runtimeapi ./runtimeapi/...,$(PKG)),export ALCOVE_AWS_LAMBDA_RIC="$$(scripts/install-ric)"; echo "aws-lambda-ric: $$ALCOVE_AWS_LAMBDA_RIC";) \
	export ALCOVE_BIN=$(abspath $(BIN)); { go test -vet=off -json -count=1 -p 2 -timeout 40m -run '$(RUN)' $(PACKAGES) || [ $$? -eq 1 ]; } \
		| go run ./test/tally -may-skip '$(MAY_SKIP)' -again $(AGAIN)

.PHONY: race
race: ## the packages with goroutines, under the race detector
	@scripts/install-missing race
	CGO_ENABLED=1 go test -race -count=1 -p 2 -timeout 15m $(RACE)

.PHONY: fuzz-routes
fuzz-routes: ## the fuzz target of every route for ROUTETIME, many at once (five minutes)
	go run ./test/fuzzroutes -time $(ROUTETIME) $(ROUTES)

.PHONY: fuzz
fuzz: ## each other fuzz target for FUZZTIME
	@git ls-files --cached --others --exclude-standard '*_test.go' | xargs -r ls -d 2>/dev/null | xargs -r grep -o -H '^func Fuzz[A-Za-z0-9_]*' \
		| grep -v ':func FuzzRoute' \
		| sed 's/:func / /' | while read -r file target; do \
			echo "$$(dirname "$$file") $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")" </dev/null; \
		done

.PHONY: bench
bench: build ## measure, as docs/benchmarks.md has it
	go run ./test/bench -alcove $(BIN) $(BENCH)

.PHONY: console-shots
console-shots: build ## a picture of each page of the console, in both themes, in bin/console-shots
	@scripts/install-missing browser
	go run ./test/shots -alcove $(BIN) -out $(dir $(BIN))console-shots

.PHONY: clean
clean: ## remove what was built
	rm -rf bin test/e2e/testdata/js/node_modules test/egress/testdata/js/node_modules test/e2e/testdata/ric/node_modules
