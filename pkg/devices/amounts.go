package devices

import (
	"math"

	"k8s.io/apimachinery/pkg/api/resource"
)

// milli converts a quantity to thousandths. It reports false for an amount that
// thousandths cannot hold exactly: the model then leaves the device's pool to
// the allocator instead of rounding.
func milli(q resource.Quantity) (int64, bool) {
	v := q.MilliValue()
	if v == math.MaxInt64 || v == math.MinInt64 {
		return 0, false
	}
	return v, resource.NewMilliQuantity(v, q.Format).Cmp(q) == 0
}

// millionths is part of whole in millionths, 0 if there is no whole.
func millionths(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(float64(part) / float64(whole) * 1e6)
}
