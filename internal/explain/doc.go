// Package explain says why one pod goes where it goes, or nowhere: it asks the
// scheduler on a cluster in memory about the pod and, for a pod that fits nowhere,
// about the same pod with one thing changed, and reports the changes that help.
// Nothing is guessed: what is reported was tried, and on as many nodes as is said.
// Preemption comes first: a pod that would get a node by it needs no change. It is
// carried out on a cluster made for that.
//
// A changed pod keeps its name and UID, so that the claims made for it stay its own
// and plugins that count each pod once count it once. It is never applied. A change
// to a claim is tried on a copy of the claim, which exists only meanwhile. Members
// of a group are another matter: plugins remember what they decided for the group,
// and the change is made to all of its pods that wait. Each such try has a cluster of
// its own.
//
// # Bounds
//
// At most 400 questions are asked about single changes and then, if none of these
// helps, 200 about pairs of them; 60 and 20 for a pod of a group. A change in an
// amount takes several: the largest that fits is found by bisection, to one
// thousandth of a core, one mebibyte, or one of what is counted. Of taints, and of
// sets of several, the 40 that most nodes have are tried; of pairs that help, the first
// 10 are reported.
package explain
