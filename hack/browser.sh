#!/usr/bin/env bash
# Opens reports of `plimsoll simulate` in a real Chromium, on a desktop's and a
# phone's window, light and dark: nothing on the console, nothing too wide.
# Screenshots stay in PLIMSOLL_SCREENSHOTS, if that is set. Reports other than
# the samples: PLIMSOLL_REPORT=FILE_OR_FOLDER.
set -euo pipefail
cd "$(dirname "$0")/.."

# find_browser prints the path of a Chromium or Chrome, if there is one.
# `type -P` looks for files only: `command -v` is content with a function too.
find_browser() {
	local name
	for name in "${PLIMSOLL_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
		if [[ -n $name ]] && type -P "$name"; then
			return
		fi
	done
	return 1
}

if ! find_browser >/dev/null; then
	if ! command -v apt-get >/dev/null || ((EUID != 0)); then
		echo "no Chromium found: install it (Debian: apt-get install chromium), or set PLIMSOLL_CHROMIUM to its path" >&2
		exit 1
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
fi
PLIMSOLL_CHROMIUM=$(find_browser)
export PLIMSOLL_CHROMIUM

if [[ -z ${PLIMSOLL_REPORT:-} ]]; then
	samples=$(mktemp -d)
	trap 'rm -rf "$samples"' EXIT
	go run ./internal/report/writesamples "$samples"
	# One of a real run beside the samples: the demo's cluster, packed anew.
	go run ./cmd/plimsoll demo --dump "$samples/cluster.yaml" >/dev/null
	go run ./cmd/plimsoll simulate -f "$samples/cluster.yaml" --from-scratch --engine memory --report "$samples/demo.html" >/dev/null
	PLIMSOLL_REPORT=$samples
fi
# The test runs in its own folder.
PLIMSOLL_REPORT=$(realpath "$PLIMSOLL_REPORT")
export PLIMSOLL_REPORT
if [[ -n ${PLIMSOLL_SCREENSHOTS:-} ]]; then
	mkdir -p "$PLIMSOLL_SCREENSHOTS"
	PLIMSOLL_SCREENSHOTS=$(realpath "$PLIMSOLL_SCREENSHOTS")
	export PLIMSOLL_SCREENSHOTS
fi

cd test/browser
go vet -tags browser ./...
go test -tags browser -count 1 -timeout 15m ./...
