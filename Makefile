# Needs Go, gcc and bash. Linters are built from go.tools.mod at first use.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TOOL := go tool -modfile=go.tools.mod
RACY := ./pkg/... ./internal/... ./test/scenarios/... ./test/integration/...
PERF := go test ./test/perf -run '^$$'

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do printf '  %-12s %s\n' "$$target" "$$text"; done

.PHONY: build
build: ## build all commands into bin/
	go build -o bin/ ./cmd/...

.PHONY: test
test: ## run all tests
	go test ./...

.PHONY: race
race: ## run the tests under the race detector
	go test -race -vet=off -timeout 20m $(RACY)

.PHONY: lint
lint: ## run the linters
	$(TOOL) golangci-lint run

.PHONY: verify
verify: ## all that CI runs, and nothing more
	.ci/run

.PHONY: bench
bench: ## compare throughput with upstream's, at sizes for a coffee
	mkdir -p bin
	$(PERF) -bench '^BenchmarkShort$$' -count 1 -timeout 30m | go run ./hack/ratio -log bin/bench.log
	$(TOOL) benchstat -col /profile -ignore /round bin/bench.log

# What pods with claims on partitionable GPUs must reach on two cores.
LIMITS := -min 'PartitionableMIG/100Nodes plimsoll/default=50' \
	-min 'PartitionableMIG/400Nodes plimsoll/default=500' \
	-min 'PartitionableMIG/1000Nodes plimsoll pods/s=60' \
	-max 'PartitionableMIG/1000Nodes plimsoll p99-ms=100' \
	-max 'PartitionableMIG/1000Nodes plimsoll megabytes-above-caches=150' \
	-max 'PartitionableMIG/Slope plimsoll us/node=2' \
	-min 'SchedulingWithResourceClaimTemplate/2000pods_100nodes plimsoll/default-sampled=1' \
	-min 'SchedulingWithResourceClaimTemplate/5000pods_500nodes_QueueingHintsEnabled plimsoll/default-all=3' \
	-alone Partitionable/2000pods_100nodes -alone ConsumableCapacity/2000pods_100nodes \
	-alone PartitionableBacktracking/fast_QueueingHintsEnabled_Stretched \
	-min 'FirstAvailable/fast_QueueingHintsEnabled_Stretched plimsoll/default-sampled=1' \
	-min 'DeviceTaintToleration/fast_QueueingHintsEnabled_Stretched plimsoll/default-sampled=1' \
	-min 'SchedulingWithResourceClaimTemplate/2000pods_200nodes plimsoll/default-sampled=1' \
	-min 'SchedulingWithResourceClaim/2000pods_200nodes plimsoll/default-sampled=1' \
	-min 'ExtendedResource_25Classes/2000pods_200nodes plimsoll/default-sampled=1' \
	-min 'ExtendedResource_50Classes/5000pods_500nodes plimsoll/default-sampled=1' \
	-min 'ImplicitExtendedResource_25Classes/2000pods_200nodes plimsoll/default-sampled=1' \
	-min 'ImplicitExtendedResource_25Classes/5000pods_500nodes plimsoll/default-sampled=1' \
	-min 'SteadyStateClusterResourceClaimTemplate/empty_500nodes_QueueingHintsEnabled plimsoll/default-sampled=1' \
	-min 'SteadyStateClusterResourceClaimTemplate/half_500nodes_QueueingHintsEnabled plimsoll/default-sampled=1' \
	-min 'SteadyStateClusterResourceClaimTemplate/full_500nodes_QueueingHintsEnabled plimsoll/default-sampled=1' \
	-min 'SchedulingWithResourceClaim/2000pods_100nodes plimsoll/default-sampled=1' \
	-min 'SchedulingWithResourceClaim/5000pods_500nodes plimsoll/default-sampled=1' \
	-min 'ExtendedResource_25Classes/5000pods_500nodes plimsoll/default-sampled=1' \
	-min 'ExtendedResource_50Classes/2000pods_200nodes plimsoll/default-sampled=1'

.PHONY: bench-full
bench-full: ## compare throughput with upstream's, at upstream's sizes
	mkdir -p bin
	go test ./test/perf ./test/speed -run '^$$' -bench '^BenchmarkFull$$' -count 3 -timeout 6h | go run ./hack/ratio -log bin/bench-full.log $(LIMITS)
	$(TOOL) benchstat -col /profile -ignore /round bin/bench-full.log

.PHONY: demo
demo: ## schedule the shipped examples on a control plane in one process
	go run ./cmd/plimsoll demo

.PHONY: update
update: ## rewrite what is generated: reference pages and the stories' answers
	go run ./hack/docs
	go test ./test/scenarios -rewrite

.PHONY: fuzz
fuzz: ## fuzz every target for 30 seconds
	hack/fuzz.sh each 30

.PHONY: fuzz-dra
fuzz-dra: ## compare the device model with the in-tree allocator on 1,000,000 worlds
	go run ./hack/drafuzz -n 1000000

.PHONY: clean
clean: ## remove what was built here
	rm -rf bin
