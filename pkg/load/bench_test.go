package load

import (
	"math/rand"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	s, err := NewScale([]Resource{{Name: "cpu", Weight: 1}, {Name: "memory", Weight: 1},
		{Name: "nvidia.com/gpu", Weight: 4, Device: true}, {Name: "amd.com/gpu", Weight: 4, Device: true}})
	if err != nil {
		b.Fatal(err)
	}
	node := Node{Allocatable: Vector{64000, 256 * gib, 8}, Used: Vector{31000, 100 * gib, 3}}
	pod := Vector{500, 2 * gib}
	rnd := rand.New(rand.NewSource(1))
	h := NewHistogram(1000)
	for range 5000 {
		h.Observe(Vector{int64(rnd.ExpFloat64() * 1000), int64(rnd.ExpFloat64() * 4 * gib), int64(rnd.Intn(8) / 7)})
	}
	mix := h.Mix()
	b.ReportAllocs()
	for b.Loop() {
		s.Read(&node, &pod, Percent(80), mix)
	}
}

func BenchmarkObserve(b *testing.B) {
	h := NewHistogram(1000)
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		h.Observe(Vector{100 + i%97*50, (1 + i%13) * gib})
	}
}

func BenchmarkMix(b *testing.B) {
	h := NewHistogram(1000)
	for i := int64(0); i < 100000; i++ {
		h.Observe(Vector{1 + i*7919%100_003, 1 + i*104729%99_983*4096})
	}
	b.ReportAllocs()
	for b.Loop() {
		h.Mix()
	}
}
