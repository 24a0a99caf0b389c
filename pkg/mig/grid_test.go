package mig

import "testing"

func table(t testing.TB, product string) *Geometry {
	t.Helper()
	g, ok := Table(product)
	if !ok {
		t.Fatalf("no table for %q", product)
	}
	return g
}

func a100(t testing.TB) *Geometry { return table(t, "NVIDIA-A100-SXM4-80GB") }
