// Package verdict is the one table of everything Plimsoll says about a pod or a
// node: why a node was refused, why a pod waits, and why a node was chosen.
// Plugins utter reasons from here and nowhere else, the reference page and the
// demo's output come from the same table.
//
// It is a table and a formatter; it knows neither the scheduling framework nor
// the API.
package verdict

import "slices"

// Code names a reason. Codes are stable: tools may match on them.
type Code string

// Every reason there is.
const (
	AnnotationInvalid Code = "AnnotationInvalid"
	OverCeiling       Code = "OverCeiling"
	PackedUnderTarget Code = "PackedUnderTarget"
	OpenedEmptyNode   Code = "OpenedEmptyNode"
	PackedOverTarget  Code = "PackedOverTarget"
	PackingOutweighed Code = "PackingOutweighed"
	NotPacked         Code = "NotPacked"

	GroupUnknown     Code = "GroupUnknown"
	GroupIncomplete  Code = "GroupIncomplete"
	GroupBacksOff    Code = "GroupBacksOff"
	GroupWaits       Code = "GroupWaits"
	GroupGaveWay     Code = "GroupGaveWay"
	GroupGivesUp     Code = "GroupGivesUp"
	GroupFitsNowhere Code = "GroupFitsNowhere"
	LevelNowhere     Code = "LevelNowhere"
	GroupBound       Code = "GroupBound"
	GroupMakesRoom   Code = "GroupMakesRoom"
	LevelMissing     Code = "LevelMissing"
	OutsideDomain    Code = "OutsideDomain"
	RoomKept         Code = "RoomKept"
	GroupTogether    Code = "GroupTogether"
	GroupClimbed     Code = "GroupClimbed"
	GroupApart       Code = "GroupApart"
	SpreadOverZones  Code = "SpreadOverZones"
	SpreadLeftToPod  Code = "SpreadLeftToPod"
	PeersNear        Code = "PeersNear"
	PeersElsewhere   Code = "PeersElsewhere"
	HintsDropped     Code = "HintsDropped"

	ClaimUnmade   Code = "ClaimUnmade"
	ClaimMissing  Code = "ClaimMissing"
	ClaimUnusable Code = "ClaimUnusable"

	DevicesMissing           Code = "DevicesMissing"
	DevicePoolUnusable       Code = "DevicePoolUnusable"
	DeviceClassMissing       Code = "DeviceClassMissing"
	DeviceNotSelected        Code = "DeviceNotSelected"
	DeviceTooSmall           Code = "DeviceTooSmall"
	DeviceAgainstAnnotations Code = "DeviceAgainstAnnotations"
	DeviceTainted            Code = "DeviceTainted"
	DevicesTaken             Code = "DevicesTaken"
	DeviceTooFragmented      Code = "DeviceTooFragmented"
	DevicesNotTogether       Code = "DevicesNotTogether"
	DevicesNotAtOnce         Code = "DevicesNotAtOnce"
	DevicesUntold            Code = "DevicesUntold"

	GPULayoutChanging   Code = "GPULayoutChanging"
	GPUsPaused          Code = "GPUsPaused"
	GPULayoutInvalid    Code = "GPULayoutInvalid"
	GPUMemoryUnknown    Code = "GPUMemoryUnknown"
	GPUModelsMixed      Code = "GPUModelsMixed"
	GPUMemoryTooSmall   Code = "GPUMemoryTooSmall"
	GPUSharingUnknown   Code = "GPUSharingUnknown"
	GPUIsolationTooWeak Code = "GPUIsolationTooWeak"

	ImageLacksPlatform Code = "ImageLacksPlatform"
	ImageFailsOn       Code = "ImageFailsOn"
	ImageAssumed       Code = "ImageAssumed"
	ImageUnproven      Code = "ImageUnproven"
	ImageHeld          Code = "ImageHeld"
	ImageUnknown       Code = "ImageUnknown"
	ArchNotListed      Code = "ArchNotListed"
	ArchUntold         Code = "ArchUntold"
	ArchTaintBlocks    Code = "ArchTaintBlocks"
	OSNotStated        Code = "OSNotStated"
	ArchOfImages       Code = "ArchOfImages"
	ArchPreferred      Code = "ArchPreferred"
	ArchNotFirst       Code = "ArchNotFirst"
	ArchLeftToOthers   Code = "ArchLeftToOthers"
	ArchAssumed        Code = "ArchAssumed"
	ArchAgainstImages  Code = "ArchAgainstImages"

	DevicesChosen   Code = "DevicesChosen"
	DevicesAllotted Code = "DevicesAllotted"
	GPUsTaken       Code = "GPUsTaken"
)

// Kind says what a reason is a reason for.
type Kind string

// The kinds of reasons.
const (
	// Invalid: the pod cannot be scheduled until its owner corrects it.
	Invalid Kind = "invalid"
	// Held: the pod as a whole waits, for something outside the cluster's nodes or
	// with its whole group.
	Held Kind = "held"
	// Refused: this node does not suit the pod now; evicting others could help.
	Refused Kind = "refused"
	// Placed: why the pod is where it is.
	Placed Kind = "placed"
)

// Entry documents one reason.
type Entry struct {
	Code Code
	// Plugin is empty if any plugin may say it.
	Plugin string
	Kind   Kind
	// Text is the sentence; each {name} is filled in when it is uttered.
	Text string
	// Cure tells the reader what would change the answer.
	Cure string
}

// Table returns every entry, in the order of the reference page.
func Table() []Entry { return slices.Clone(table) }

// table never changes.
var table = []Entry{
	{AnnotationInvalid, "", Invalid,
		`annotation {key}: {value} is not valid: {want}`,
		"Correct or remove the annotation; the pod is tried again at once."},
	{OverCeiling, "BinPack", Refused,
		`node(s) would pass the {ceiling} ceiling on {resource}`,
		"Pods leaving the node, a larger node, or a higher ceilingPercent for the pool."},
	{PackedUnderTarget, "BinPack", Placed,
		`{resource} at {utilization} after placement, target {target}`,
		""},
	{OpenedEmptyNode, "BinPack", Placed,
		`opened an empty node: {resource} at {utilization} after placement, target {target}`,
		"No node in use that the pod can go to stays within its target: smaller requests, or a higher target."},
	{PackedOverTarget, "BinPack", Placed,
		`loaded over the target: {resource} at {utilization} after placement, target {target}`,
		"No node that the pod can go to stays within its target: more nodes, or a ceilingPercent if the pod should wait instead."},
	{PackingOutweighed, "BinPack", Placed,
		`preferences, topology, GPUs or architecture came before packing, another node may pack better: {resource} at {utilization} after placement, target {target}`,
		"The pod's preferred affinities and spread constraints, soft taints, its group's domain, its zone, its GPUs or its architecture decided: all of these come before packing."},
	{NotPacked, "BinPack", Placed,
		`packing compared no nodes: {resource} at {utilization} after placement, target {target}`,
		"It was the only node that could take the pod, the one it was nominated to, or the next in a batch's list; or BinPack does not score in the profile."},

	{GroupUnknown, topology, Held,
		`waiting to learn how many pods group {group} has: {missing}`,
		"The PodGroup being created, or the label that names it being removed. The scheduler's role must allow it to list PodGroups."},
	{GroupIncomplete, topology, Held,
		`waiting for group {group}: {have} of its {size} pods exist ({source})`,
		"The other pods being created, or a smaller size."},
	{GroupBacksOff, topology, Held,
		`group {group} was not placed whole and is tried again in {wait}`,
		"Time: at most 30 seconds."},
	{GroupWaits, topology, Held,
		`waiting for group {group}: {placed} of its {size} pods have a place`,
		"The other pods finding a place, or the end of groupTimeoutSeconds."},
	{GroupGaveWay, topology, Held,
		`group {group} was not placed whole: all of its pods give their places up and are tried again in {wait}`,
		"The reason is told at the pod of the group that found no place."},
	{GroupGivesUp, topology, Held,
		`a pod of group {group} finds no place in {domain}: the group is tried again in {wait}, in another domain if there is one`,
		"What keeps the pod off the domain's nodes, as said before."},
	{GroupFitsNowhere, topology, Held,
		`{domain} holds {room} of the {pods} pods of group {group}; required`,
		"Room in that domain, or any other of its level: pods leaving, more or larger nodes; a broader level, or topology-preferred."},
	{LevelNowhere, topology, Held,
		`no node(s) have a label of level {level} ({labels}); required`,
		"Nodes with that label, or another level."},
	{GroupBound, topology, Held,
		`group {group} goes on in {domain}; required`,
		"Room in that domain: its other pods are there."},
	{GroupMakesRoom, topology, Held,
		`group {group} waits for pods to leave {domain} that it preempts`,
		"The end of their grace period."},
	{LevelMissing, topology, Refused,
		`node(s) have no label of level {level} ({labels}); required`,
		"Nodes with that label, or another level."},
	{OutsideDomain, topology, Refused,
		`node(s) are outside {domain}, where group {group} goes`,
		"Nothing: the node was asked for because the pod is nominated to it."},
	{RoomKept, topology, Refused,
		`node(s) are kept for pods of group {group}`,
		"The group being placed, or giving up; another node; a higher priority than the group's."},
	{GroupTogether, topology, Placed,
		`{domain}: group {group}, {placed} of its {total} pods placed`,
		""},
	{GroupClimbed, topology, Placed,
		`{domain}: no {level} holds the {total} pods of group {group}`,
		"Room in one domain of the preferred level."},
	{GroupApart, topology, Placed,
		`not in {domain}, where group {group} goes`,
		"The domain has no node left that the pod can go to."},
	{SpreadOverZones, topology, Placed,
		`{domain}: {count} of {replicas} replicas, over {zones} zones`,
		""},
	{SpreadLeftToPod, topology, Placed,
		`spread over zones by the pod's own topologySpreadConstraints`,
		"Without them, min-per-zone spreads the pod."},
	{PeersNear, topology, Placed,
		`{domain}: {ready} of {total} ready endpoints of {services}`,
		""},
	{PeersElsewhere, topology, Placed,
		`{domain}: none of the {total} ready endpoints of {services}`,
		"Room in the zones that hold them; or the pod's other preferences decided."},
	{HintsDropped, topology, Placed,
		`the control plane drops same-zone hints of Service {service}: {endpoints} endpoints cannot be shared out over {zones} zones by their CPU; {kept} can`,
		"Another number of replicas, or trafficDistribution: PreferSameZone in place of the annotation topology-mode: it has no such rule."},

	{ImageLacksPlatform, archAware, Refused,
		`node(s) run {platform}, but image {image} has only {platforms}`,
		"Nodes of the image's architecture, or an image built for more of them. A tag that was pushed anew is noticed within tagTTLSeconds and the next try."},
	{ImageFailsOn, archAware, Refused,
		`node(s) run {platform}, where image {image} has failed to start for its architecture`,
		"An image that holds what its index says, under a new digest. The observation is dropped after an hour, or when a container of the image becomes ready on such a node."},
	{ImageAssumed, archAware, Refused,
		`node(s) run {platform}, but image {image} cannot be inspected ({why}) and is taken for {platforms}`,
		"A registry that answers, pullSecrets for a private image, another assumedPlatforms, or the pod's own nodeSelector."},
	{ImageUnproven, archAware, Refused,
		`node(s) run {platform}, but image {image} cannot be inspected ({why}) and has run only on {platforms}`,
		"A registry that answers, pullSecrets for a private image, or a profile or pod that does not insist."},
	{ImageHeld, archAware, Held,
		`waiting for the registry to say for which platforms image {image} is built`,
		"The registry's answer, or the deadline: deadlineSeconds of the profile."},
	{ImageUnknown, archAware, Held,
		`image {image} cannot be inspected ({why}), and the pod waits until its platforms are known`,
		"A registry that answers, pullSecrets for a private image, whenUnknown: Open in the profile, or another arch-policy."},
	{ArchNotListed, archAware, Refused,
		`node(s) run {platform}, and annotation plimsoll.dev/arch lists only {listed}`,
		"Nodes of a listed architecture, or a longer list."},
	{ArchUntold, archAware, Refused,
		`node(s) do not say which architecture they run`,
		"The label kubernetes.io/arch, which every kubelet sets."},
	{ArchTaintBlocks, archAware, Refused,
		`node(s) run {platform}, which the pod can use, but the pod does not tolerate their taint {taint}`,
		"A toleration for the taint in the pod: its images run there."},
	{OSNotStated, archAware, Refused,
		`node(s) run {platform}, and the pod's spec.os.name is {os}`,
		"Nodes of that operating system, or another spec.os.name: a kubelet rejects such pods."},
	{ArchOfImages, archAware, Placed,
		`{architecture}: image {image} has only {platforms}`,
		""},
	{ArchPreferred, archAware, Placed,
		`{architecture}: first of {order}`,
		""},
	{ArchNotFirst, archAware, Placed,
		`{architecture}: not first of {order}`,
		"No node of a more wanted architecture can take the pod, or its other preferences or GPUs decided."},
	{ArchLeftToOthers, archAware, Placed,
		`{architecture}: {scarce} is left to pods that cannot run elsewhere`,
		""},
	{ArchAssumed, archAware, Placed,
		`{architecture}: image {image} cannot be inspected ({why}), {platforms} assumed`,
		"A registry that answers, or pullSecrets for a private image."},
	{ArchAgainstImages, archAware, Placed,
		`{architecture}: chosen by the pod itself, although image {image} has only {platforms}`,
		"The pod's own nodeSelector or affinity wins over what its images say. If it crashes with exec format error, they were right."},

	{ClaimUnmade, claimGate, Held,
		`waiting for a resource claim made of template {template}`,
		"kube-controller-manager making it. If it does not, an event of the pod says why: mostly there is no such template in the namespace."},
	{ClaimMissing, claimGate, Held,
		`waiting for resource claim {claim}, which does not exist`,
		"The claim being created in the pod's namespace."},
	{ClaimUnusable, claimGate, Held,
		`resource claim {claim} cannot be used: {why}`,
		"A claim of that name that was made for this pod: one that is another's has to be deleted first."},

	{DevicesMissing, gpuSlice, Refused,
		`node(s) publish no devices for claims`,
		"A node whose DRA driver publishes ResourceSlices."},
	{DevicePoolUnusable, gpuSlice, Refused,
		`node(s) publish devices that cannot be allocated: {detail}`,
		"The driver completing or correcting its ResourceSlices; its log says more."},
	{DeviceClassMissing, gpuSlice, Refused,
		`node(s) have no device of class {detail}, which request {request} asks for`,
		"A node with such a device, or another deviceClassName."},
	{DeviceNotSelected, gpuSlice, Refused,
		`node(s) have devices of class {detail}, but none that the selectors of request {request} accept`,
		"Wider selectors. A name overstates memory: a 2g.20gb has 19.6Gi."},
	{DeviceTooSmall, gpuSlice, Refused,
		`node(s) have devices of class {detail} that request {request} accepts, but none with the capacity it asks for`,
		"A smaller capacity request, one that the device's requestPolicy allows, or a larger device."},
	{DeviceAgainstAnnotations, gpuSlice, Refused,
		`node(s) have devices for request {request} with {has}, but the pod's annotations ask for {want}`,
		"A claim and annotations that agree: either alone says enough."},
	{DeviceTainted, gpuSlice, Refused,
		`node(s) have devices for request {request}, but all are tainted ({detail})`,
		"The driver taking the taint away, or a toleration in the request."},
	{DevicesTaken, gpuSlice, Refused,
		`node(s) have too few free devices for request {request}: {detail}`,
		"A claim being deallocated: pods that use one leaving."},
	{DeviceTooFragmented, gpuSlice, Refused,
		`node(s) have GPUs for request {request}, but what is left of them is too little or in pieces ({detail})`,
		"Pods leaving a GPU, so that its parts come together; a smaller profile."},
	{DevicesNotTogether, gpuSlice, Refused,
		`node(s) have devices for each request of claim {request}, but not for all together as its constraints ask`,
		"Pods leaving, fewer constraints, or a larger node."},
	{DevicesNotAtOnce, gpuSlice, Refused,
		`node(s) have devices for each request of claim {request}, but too little is left for all at once`,
		"Pods leaving, fewer devices, or a larger node."},
	{DevicesUntold, gpuSlice, Refused,
		`node(s) have devices for the pod's claims, but whether they have what its annotations ask for cannot be told: {detail}`,
		"Saying it in the claim's selectors instead of the annotations."},

	{GPULayoutChanging, gpuSlice, Refused,
		`node(s) are changing the MIG layout of their GPUs ({label})`,
		"The change ending: mig-manager says so in the label."},
	{GPUsPaused, gpuSlice, Refused,
		`node(s) have paused what serves their GPUs ({label})`,
		"The end of what the label names, such as an upgrade of the driver; the GPU operator then sets it back."},
	{GPULayoutInvalid, gpuSlice, Refused,
		`node(s) have a MIG layout that cannot be offered as {resource} ({label})`,
		"A layout that is alike on all GPUs of the node, or the mixed strategy."},
	{GPUMemoryUnknown, gpuSlice, Refused,
		`node(s) do not say how much memory {resource} has (label {label}), which {key} asks for`,
		"The labeller of the label's vendor: GPU feature discovery for nvidia.com, the node labeller for amd.com. None writes gpu.intel.com/memory.max: set it yourself."},
	{GPUModelsMixed, gpuSlice, Refused,
		`node(s) have labels that describe {count} of {all} units of {resource}, and {key} asks something of each`,
		"Feature discovery labelling the node anew, after a change of the device plugin's configuration; on a node with GPUs of several models, claims (DRA)."},
	{GPUMemoryTooSmall, gpuSlice, Refused,
		`node(s) have {has} of memory per {resource}, {key} asks for {need}`,
		"A larger GPU, slice or share, or a smaller need."},
	{GPUSharingUnknown, gpuSlice, Refused,
		`node(s) do not say how {resource} is shared (label {label}), and the pod accepts nothing weaker than {floor}`,
		"The labeller of the label's vendor (GPU feature discovery for nvidia.com, node feature discovery with Intel's rules for gpu.intel.com), or a weaker floor."},
	{GPUIsolationTooWeak, gpuSlice, Refused,
		`node(s) isolate {resource} by {has}, and the pod accepts nothing weaker than {floor}`,
		"A node that isolates better, or a weaker floor."},

	{DevicesChosen, gpuSlice, Placed,
		`took {devices}, at a loss of {loss} of a GPU's usable room`,
		""},
	{DevicesAllotted, gpuSlice, Placed,
		`took {devices}, chosen by the allocator alone`,
		"What the claim asks is not planned for (admin access, all devices tied by a constraint), or a selector fails on some device."},
	{GPUsTaken, gpuSlice, Placed,
		`took {units}`,
		""},
}

const (
	archAware = "ArchAware"
	claimGate = "ClaimGate"
	gpuSlice  = "GPUSlice"
	topology  = "Topology"
)

// Lookup returns the entry of a code.
func Lookup(code Code) (Entry, bool) {
	for _, e := range table {
		if e.Code == code {
			return e, true
		}
	}
	return Entry{}, false
}
