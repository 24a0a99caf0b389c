#!/usr/bin/env bash
# Fuzzes every Fuzz function in the repository, one after the other:
#
#	hack/fuzz.sh each 30     30 seconds for each
#	hack/fuzz.sh total 10    10 seconds in all, but at least one for each
#
# What fails is kept in testdata/fuzz beside the test: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

usage="usage: hack/fuzz.sh each|total SECONDS"
how=${1:?$usage}
seconds=${2:?$usage}

targets=$(git ls-files -- '*_test.go' | xargs grep -HoE '^func Fuzz\w+' || true)
if [[ -z $targets ]]; then
	echo "no fuzz targets"
	exit 0
fi
count=$(wc -l <<<"$targets")
case $how in
each) ;;
total) seconds=$((seconds > count ? seconds / count : 1)) ;;
*) echo "$usage" && exit 2 ;;
esac

# fuzz runs one target. Go does not make inputs smaller: with those that rapid
# draws from, it would do nothing else. When its time is over between two inputs, Go can report the
# end itself as a failure; a failure of ours comes with the input that causes it.
fuzz() {
	local output
	if output=$(go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "${seconds}s" -fuzzminimizetime 1x 2>&1); then
		echo "$output"
		return 0
	fi
	echo "$output"
	[[ $output == *"context deadline exceeded"* && $output != *"Failing input written"* && $output != *panic* ]]
}

while IFS=: read -r file func; do
	name=${func#func }
	package=./$(dirname "$file")
	echo "--- $package $name, ${seconds}s"
	fuzz "$package" "$name"
done <<<"$targets"
