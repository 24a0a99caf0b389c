// Package arch knows which platforms images and nodes have in common, which
// architecture a pod wants, and which one it had better leave to others. It knows
// nothing of registries or Kubernetes; Pod.Judge puts the answers together.
//
// # Matching
//
// A Host takes of an image what containerd would take on a node of that platform;
// of amd64, containerd's own default has no level. containerd is
// asked once per distinct platform of nodes; what it accepts is kept as a list,
// and matching compares words:
//
//	node                Native                         Fallback (last, can be off)
//	linux/amd64         amd64                          386
//	linux/amd64/v3      amd64, v2 and v3 of it         386
//	linux/arm64         arm64 (the same as v8)         arm/v8, v7, v6, v5
//	linux/arm/v7        arm/v7, v6, v5
//	windows(b)/amd64    amd64 of builds least(b)..b,   386 of the same builds
//	                    or of an unsaid build
//	anything else       the same OS, architecture and variant
//
// least(b) is b itself before Windows Server 2022, and then what its stable ABI
// reaches back to. A Windows node of unknown build takes every build. Attestations
// (unknown/unknown), entries without platform and names that are none never count.
//
// # Flexibility
//
// A pod whose images run anywhere should leave the scarce architecture to captive
// pods: those that can run on one only. Let c(a) be the captive demand of
// architecture a per pod that comes, and f(a) what is free there. Then
//
//	runway(a) = min over cpu and memory of f(a) / c(a)
//
// is how many more pods can come until the first captive one of a is refused.
// Pods that can choose are a fluid that shortens the runways they are poured on;
// the first refusal anywhere comes after the shortest. Poured on the longest
// until it is as short as the next, and so on, as water fills a vessel, they
// leave the shortest as long as it can be: to shorten it less, something would
// have to be poured on one that is no longer. So pods that can choose go where
// the runway is longest. The place of a counts the whole factors of two by which
// its runway is shorter, at most 7; what differs by less is left to packing,
// at the price of some balance. test -v prints what this gains and leaves.
//
// c(a) is learnt, a pod counting half as much after halfLifePods others. Until
// then we assume, as a judgement and with the weight of forty pods, that 0.3 of
// the average demand is captive on amd64, for which nearly all images of one
// platform are built, and 0.03 on each other architecture.
//
// # Example
//
// 200 pods of one core and 4 GiB were seen, 50 of them captive on amd64, and
// 400 cores of amd64 and 100 of arm64 are free. Forty assumed pods join them, so
// that the average pod has (200 · 1 + 40 · 0.25) / 240 = 0.875 cores, and
//
//	c(amd64) = (50 + 40 · 0.3 · 0.875) / 240 = 0.252    runway 400 / 0.252 = 1587
//	c(arm64) = (0 + 40 · 0.03 · 0.875) / 240 = 0.004    runway 100 / 0.004 = 22857
//
// amd64 is 14 times shorter: three whole factors of two. arm64 has place 0 and
// amd64 place 3, although four times as much of it is free.
package arch
