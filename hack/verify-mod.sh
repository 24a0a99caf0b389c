#!/usr/bin/env bash
# Fails if go.mod is not as `go mod tidy` would write it, or if go.tools.mod
# lacks something. Changes neither.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! go mod tidy -diff; then
	echo "run go mod tidy"
	exit 1
fi
go list -modfile=go.tools.mod -mod=readonly -deps tool >/dev/null
