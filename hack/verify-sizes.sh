#!/usr/bin/env bash
# Fails if a Go file is longer than a reader likes: 400 lines, tests 800.
# Functions are measured by the linters.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
while IFS= read -r -d '' file; do
	[[ -f $file ]] || continue
	most=400
	[[ $file == *_test.go ]] && most=800
	lines=$(wc -l <"$file")
	if ((lines > most)); then
		echo "$file: $lines lines, at most $most"
		failed=1
	fi
done < <(git ls-files -z -- '*.go')
exit "$failed"
