#!/usr/bin/env bash
# Fails if a tracked file names a folder or a mirror of somebody's workplace:
# they would mean nothing to anyone else.
set -euo pipefail
cd "$(dirname "$0")/.."

# Each is in two halves, so that this file does not match.
patterns=(
	'/wor''k/'
	'/roo''t/'
	'proxy\.gol''ang\.org'
	'deb\.deb''ian\.org'
	'registry\.np''mjs\.org'
)
arguments=()
for pattern in "${patterns[@]}"; do
	arguments+=(-e "$pattern")
done

status=0
git grep -nIE "${arguments[@]}" -- . ':!go.sum' ':!go.tools.sum' ':!LICENSE' || status=$?
case $status in
0) echo "not for publication, see above" && exit 1 ;;
1) ;; # nothing found
*) exit "$status" ;;
esac
