package share

import (
	"crypto/sha256"
	"fmt"
)

// Fingerprint is a digest of what the package answers to some hundred questions, with
// the default weights: a result that was measured with another one was measured with
// other weights, or other terms. Losses count to four digits, which no machine rounds
// otherwise.
func Fingerprint() string { return fingerprint(DefaultWeights()) }

func fingerprint(w Weights) string {
	classes := []Class{
		{Task{CPUMilli: 3000, GPUMilli: 810, GPUs: 1}, .25}, {Task{CPUMilli: 12000, GPUMilli: Whole, GPUs: 1}, .4},
		{Task{CPUMilli: 8000, GPUMilli: 470, GPUs: 1}, .15}, {Task{CPUMilli: 4000, GPUMilli: 320, GPUs: 1}, .1},
		{Task{CPUMilli: 64000, GPUMilli: Whole, GPUs: 8}, .06}, {Task{CPUMilli: 16000, GPUMilli: Whole, GPUs: 1, Models: []Model{2}}, .04},
	}
	nodes := []Node{
		{Model: 1, IdleCPUMilli: 96000, CPUMilli: 96000, GPUs: []int64{Whole, Whole, Whole, Whole, Whole, Whole, Whole, Whole}},
		{Model: 1, IdleCPUMilli: 20000, CPUMilli: 96000, GPUs: []int64{0, 190, 530, Whole, Whole, Whole, 0, 680}},
		{Model: 2, IdleCPUMilli: 100000, CPUMilli: 104000, GPUs: []int64{530, Whole}},
		{Model: 2, IdleCPUMilli: 9000, CPUMilli: 16000, GPUs: []int64{Whole, Whole}},
	}
	o := NewOutlook(classes, Supply{1: 16, 2: 4}, 1, w)
	digest := sha256.New()
	for used := 0.; used <= 1; used += .05 {
		for i := range nodes {
			for j := range classes {
				loss, gpu, ok := o.At(used).Best(&nodes[i], &classes[j].Task)
				_, _ = fmt.Fprintf(digest, "%.4g %d %t\n", float64(loss), gpu, ok)
			}
		}
	}
	return fmt.Sprintf("%x", digest.Sum(nil))
}
