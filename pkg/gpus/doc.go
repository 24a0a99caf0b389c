// Package gpus answers one question for GPUs that a device plugin offers: is
// what this node offers good enough for the pod, and if so, how well is it
// spent? The scheduler sees counts and labels only; which device a pod gets is
// the kubelet's choice. The package knows nothing of Kubernetes objects:
// pkg/inventory reads them into Facts and Counts.
//
// # Offers
//
// A node offers units of resources. A unit is a whole GPU, a hardware slice of
// one, or a share of one:
//
//	nvidia.com/gpu           whole   79.6Gi  exclusive     ███░░░░░  5 of 8 free
//	nvidia.com/mig-2g.20gb   slice   19.6Gi  mig           ██░░      2 of 4 free
//	nvidia.com/gpu.shared    share    4.4Gi  time-slicing  █████░░░  3 of 8 free
//
// MemoryMiB is what a unit can count on. For a whole GPU and a slice it is what
// the labels say, never what the name says: a 2g.20gb has 19.6 GiB. For a share
// it is the GPU's memory divided by its replicas. MPS enforces that; under
// time-slicing each pod sees all of the memory and nothing holds the others to
// their part, but the part is the most that all of them can use at once, so a
// pod that states a need is held against it. A vGPU of a virtual machine is a share
// that has its memory to itself. Pods that want the whole memory of
// a time-sliced GPU, at the risk of running out of it, state no need.
//
// # Suitable
//
// A pod names resources and counts in its spec; no scheduler can change the
// names. What it adds are a need of memory and a preference of isolation:
//
//	exclusive > mig > mps > time-slicing
//
// Nothing weaker than the last level of the preference is accepted. A stronger
// one that is not listed is, after those that are, nearest to the floor first.
// What a node does not say counts against it: a need is not met by memory that
// no label tells, a floor above time-slicing not by a resource of which no
// label tells how it is shared, and neither where there are more units than the
// labels count.
//
// # Well spent
//
// Suitable nodes are ordered by, first things first:
//
//	isolation   the place of the level in the preference
//	division    whole GPUs, then slices, then shares; equal unless one
//	            container asks for several
//	memory      least first, in GiB rounded up; equal for pods without a need
//	worth       the commoner model first, see Worth
//	untouched   a node of which no GPU is used last
//	free        least left of the kind asked for (whole, slice, share) ...
//	            ... and then of all kinds, in thousandths of a GPU
//
// A container that asks for several units wants several GPUs. Two shares may be
// of the same GPU (NVIDIA's device plugin grants no container two under MPS, nor
// under time-slicing if it is told to), and a CUDA process uses one MIG instance.
//
// Memory is compared in whole GiB because the same GPU reports some MiB more or
// less by driver version, which must not scatter pods over its nodes. What is
// free counts slices by the memory slices they take, so that mig-1g.10gb and
// mig-3g.40gb of a node are weighed together: the fullest node wins, and the
// whole GPUs of others stay whole.
package gpus
