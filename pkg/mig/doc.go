// Package mig answers two questions about a GPU that is cut into partitions: what
// still fits beside what is there, and which placement spoils least. It knows a
// grid of memory slices and the places a partition can take on it; it knows
// nothing of Kubernetes.
//
// # The grid
//
// Each GPU has memory slices (8 on an A100 or H100, 4 on an A30, 12 on an RTX PRO
// 6000). A profile takes a fixed number of them and may start only at certain
// ones; two instances may lie beside each other if they share no slice:
//
//	slice      0 1 2 3 4 5 6 7        gpu [1g.10gb|·|2g.20gb═|3g.40gb═══]
//	1g.10gb    █ █ █ █ █ █ █          seven places, none at 7
//	1g.20gb    ███ ███ ███ ███
//	2g.20gb    ███ ███ ███            none at 6
//	3g.40gb    ███████ ███████
//	4g.40gb    ███████                half of the memory, yet one place
//	7g.80gb    ███████████████
//
// For plain profiles that is all: with these places compute slices never run out
// before memory slices. Variants with media or graphics engines ("+me", "+gfx")
// have the places of the plain profile. Their engines add up like any counter and
// are checked where the counters are known, in pkg/devices, not here.
//
// # What a state is worth
//
// The worth of what is free is the number of slices that the future can still
// use, between three opinions of the future:
//
//	worth = 0.36 · Σ over profiles p  weight(p) · size(p) · copies(p)   one profile comes, again and again
//	      + 0.54 · the most slices that any set of instances can use    exactly what fits comes
//	      + 0.10 · all slices, if none is used yet                      the GPU is needed as a whole
//	loss  = worth(before) - worth(after)
//
// The placement with the least loss is best, on whichever GPU; of equal ones that
// on the fullest GPU.
//
// The first opinion is the measure of FGD (Weng et al., "Beware of Fragmentation",
// USENIX ATC'23), with as many copies as fit instead of one. Like the metric of MFI
// (arXiv 2511.18906), which also places where fragmentation grows least, it keeps
// places for large profiles. Alone it puts a 1g at slice 6, where it spoils few
// places but leaves slice 7 out of everyone's reach. The second notices exactly
// this: a slice that no combination can use is lost until a neighbour leaves. Where
// every free slice can always be used (A30, RTX PRO 6000) it decides nothing, and
// FGD remains. The factor between the two, 1.5, has a reason: the first two of
// three 1g go to slices 4 and 5, so that slice 7 stays in reach, but the third
// goes to 6 rather than into the lower half, so that a 4g still fits beside them.
// From 1.67 on it would not (much the same with the equal mix, a point more when
// filling with small profiles); from 2.4 on a 1g would rather open an empty GPU
// than strand slice 7. The third opinion keeps it from that when unequal weights
// narrow the margin, and decides nothing with equal ones.
//
// In the best future a profile with less than half of an equal weight counts in
// proportion, so that no slice is kept for what nobody asks for. Worths are
// tables up to twelve slices; a larger grid is computed when asked and remembered.
//
// # Measured
//
// Per cent of demanded slices that 100 A100 serve, means of 30 seeds: with coming
// and going at a demand of 0.85 and of 1.0 of the slices, and when filled once.
// First fit is what the scheduler does by itself; PHI weighs FGD, legal places and
// the longest free run for filling; the ideal may move what runs.
//
//	mix        first fit        FGD              PHI              this rule        ideal
//	equal      90.8 80.7 91.1   98.8 90.8 97.9   97.1 88.4 98.9   98.8 91.1 98.7   99.7 94.0 99.7
//	small      92.7 84.2 95.4   99.6 92.1 95.4   97.4 90.1 99.3   99.6 92.6 97.1   99.9 95.0 99.7
//	big        92.3 82.3 88.0   98.4 90.5 98.4   97.9 89.6 98.5   98.4 90.4 98.5   99.4 93.4 99.4
//	1g+7g      92.6 81.3 92.8   98.0 89.3 96.4   97.9 89.0 96.4   98.0 89.1 96.4   99.4 93.3 99.3
//	inference  97.5 87.7 96.0   99.8 93.6 95.8   99.8 92.8 99.8   99.9 94.1 97.5  100.0 95.5 99.8
//	no 7g      95.4 86.4 94.0   99.7 92.9 96.9   99.7 92.7 99.3   99.7 93.3 98.3   99.9 95.0 99.7
//	mean       93.6 83.8 92.9   99.1 91.5 96.8   98.3 90.4 98.7   99.1 91.8 97.8   99.7 94.4 99.6
//
// All of it with equal weights. Weights learnt from the mix itself choose alike at
// the default floor; below it they gain nothing in the mean, and one that turns
// out wrong costs up to 28 points under load. BenchmarkRule prints the table.
package mig
