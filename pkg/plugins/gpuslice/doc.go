// Package gpuslice places pods on GPUs so that what is left stays useful: MIG
// slices, shares, whole GPUs and sets of them, through claims (DRA) or device
// plugins.
//
// # Claims
//
// The plugin stands in for the in-tree DynamicResources, which it wraps: that
// one still allocates, reserves, binds and deallocates, and is the only judge of
// what is valid. But its allocator takes the first device that fits, pools by
// name, slices by name, devices as listed. Neither the order nor the names of
// slices appear in an allocation, so GPUSlice hands it the same slices with the
// devices that pkg/devices planned at the top:
//
//	published    1g@0  1g@1  1g@2 … 3g@0  3g@4  4g@0      first fit: 1g@0
//	handed over  1g@6  1g@0  1g@1 … 3g@0  3g@4  4g@0      best fit:  1g@6, a 4g still fits
//
// That happens once for a pod, in Reserve, for the one node that was chosen. Until
// then the model answers: Filter looks up whether the node has a plan. Only where
// the model says that it cannot tell, the wrapped plugin is asked about a node
// before, over what reaches that node. A pod of which a claim is allocated already
// goes the wrapped plugin's way from PreFilter on.
//
// The score is the same judgement across nodes: the user's own order of
// alternatives, the smallest device that suffices, then the least loss of usable
// room (pkg/mig for slices, pkg/share for shares, whole GPUs and sets), then for
// slices a node in use. PreFilter makes a shortlist of it, so that the other plugins
// need not look at nodes that cannot win.
//
// # Device plugins
//
// Of these, the scheduler sees labels and counts. Filter checks what the
// annotations gpu-memory, gpu-model and gpu-isolation ask against the labels
// (pkg/gpus, pkg/inventory); the score takes the smallest GPU that suffices,
// packs slices, and keeps whole GPUs and untouched nodes for who needs them.
//
// # Everybody else
//
// Pods that ask for no GPU are scored away from nodes that have some, from the
// scarcest model most.
//
// Reasons: the Device… and GPU… codes of pkg/verdict, and AnnotationInvalid.
package gpuslice
