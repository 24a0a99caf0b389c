// Package openb reads Alibaba's GPU cluster trace 2023, "openb", and replays it:
// nodes with GPUs that pods share, what drivers would publish of them, and the
// order in which pods arrive. data/README.md says where the trace comes from and
// how to cite it.
//
// The protocol is that of Weng et al., "Beware of Fragmentation", USENIX ATC
// 2023: only the nodes with GPUs; the list of pods shuffled by a seed, then pods
// drawn at random, with replacement, until the next one would ask for more than a
// multiple of the GPUs there are. They come one by one; none leaves, none is tried
// twice.
//
// A GPU is a device that claims share by its capacity "milli", of which it has
// 1000, so that whole GPUs and parts of them are asked for in the same way:
//
//	num_gpu 1, gpu_milli 460, gpu_spec T4|P100
//	  -> count 1, capacity milli 460, model in ["T4", "P100"]
package openb
