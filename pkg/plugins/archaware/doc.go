// Package archaware keeps pods off nodes whose architecture their images lack,
// and puts pods that can run on several where they are wanted most, or missed
// least.
//
// # What it knows
//
// Registries say which platforms an image is built for (pkg/registry), once for
// all pods that name it (pkg/images). Where no registry answers, what containers
// did on nodes counts: a ready one proves its image on that platform, an exec
// format error disproves it. No registry is asked in a scheduling cycle: a pod
// with an image that is not known waits outside the queue until the answer is
// there or its deadline has come.
//
//	          PreEnqueue            answer, or deadline
//	pod ────▶ known? ──no──▶ parked ────────────────────▶ queue ──▶ PreFilter, Filter, Score
//	            └────yes──────────────────────────────────▲
//
// # What it decides
//
// PreFilter judges every kind of platform that nodes run (pkg/arch): are all of
// the pod's images built for it, does its annotation arch list it, has it failed
// there. Filter and Score look the node's kind up. Nodes are filtered, rather
// than narrowed down to in PreFilter, so that each refusal has its reason:
//
//	0/12 nodes are available: 4 node(s) run linux/arm64, but image
//	"shop/api:1.4" has only linux/amd64, 8 Insufficient cpu.
//
// What a pod itself selects wins: one that selects a single architecture is not
// held back and goes there.
//
// The score is the pod's own preference (annotation arch), else the profile's
// order, else flexibility: the architecture is left alone that pods which
// cannot choose will need most (pkg/arch, Demand).
//
// Reasons: the Image…, Arch… and OSNotStated codes of pkg/verdict, and
// AnnotationInvalid.
package archaware
