package mig

import "testing"

func BenchmarkLoss(b *testing.B) {
	v := a100(b).Values(nil)
	b.ReportAllocs()
	sum := int64(0)
	for i := Mask(0); b.Loop(); i++ {
		sum += v.Loss(i&0x0f, Run(4, 4))
	}
	if sum == 0 {
		b.Error("losses of nothing")
	}
}

func BenchmarkLossOnALargeGrid(b *testing.B) {
	var halves []Mask
	for start := 0; start < 32; start += 4 {
		halves = append(halves, Run(start, 4))
	}
	g, err := NewGeometry(32, []Profile{{Name: "a", Placements: halves}})
	if err != nil {
		b.Fatal(err)
	}
	v := g.Values(nil)
	b.ReportAllocs()
	for i := Mask(0); b.Loop(); i++ {
		v.Loss(i&0xff, Run(28, 4))
	}
}

func BenchmarkChooseAmongEightGPUs(b *testing.B) {
	g := a100(b)
	v := g.Values(nil)
	node := [8]Mask{0, Run(4, 1), Run(0, 4), Run(4, 3), Run(0, 1) | Run(4, 4), Run(0, 6), Run(6, 2), Run(0, 8)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		profile, least, chosen := i%len(g.profiles), int64(1<<62), -1
		for gpu, used := range node {
			if _, loss, ok := v.Best(used, profile); ok && loss < least {
				least, chosen = loss, gpu
			}
		}
		if chosen < 0 {
			b.Fatal("nothing fits on an empty GPU")
		}
	}
}

func BenchmarkValues(b *testing.B) {
	for _, product := range []string{"NVIDIA-H200", "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"} {
		g := table(b, product)
		b.Run(product, func(b *testing.B) {
			for b.Loop() {
				g.Values(nil)
			}
		})
	}
}
