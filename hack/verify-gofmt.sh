#!/usr/bin/env bash
# Fails if a Go file is not as gofmt would write it. `gofmt -w .` mends it.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(git ls-files -z -- '*.go' | xargs -0 "$(go env GOROOT)/bin/gofmt" -l)
if [[ -n $unformatted ]]; then
	echo "not formatted; run gofmt -w on:"
	echo "$unformatted"
	exit 1
fi
