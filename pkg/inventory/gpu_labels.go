package inventory

import (
	"strconv"
	"strings"

	"plimsoll.dev/scheduler/pkg/gpus"
)

// label returns a label with its value, "" if it is not there.
func (r *gpuReader) label(key string) gpus.Label {
	return gpus.Label{Key: key, Value: r.labels[key]}
}

// number reads a label that counts something. It is not ok for a label that is
// missing, empty, negative, or no number.
func (r *gpuReader) number(key string) (n int64, ok bool) {
	return count(r.labels[key])
}

// labelled tells whether some label begins so. One that counts none does not count.
func (r *gpuReader) labelled(prefix string) bool {
	for key, value := range r.labels {
		if strings.HasPrefix(key, prefix) && value != "0" {
			return true
		}
	}
	return false
}

// mostCounted bounds what a label may count, so that products of two cannot
// overflow.
const mostCounted = 1 << 30

func count(value string) (n int64, ok bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 || n > mostCounted {
		return 0, false
	}
	return n, true
}

// bytesOf reads a plain number of bytes.
func bytesOf(value string) (n int64, ok bool) {
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil && n > 0
}

// cutLast cuts a suffix at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}
