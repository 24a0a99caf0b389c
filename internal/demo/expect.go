package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/placement"
)

// ExpectAnnotation holds, as YAML, what an example's pods should come to.
const ExpectAnnotation = "demo.plimsoll.dev/expect"

// expectation is what should become of the pods of one owner.
type expectation struct {
	// Phase is where all of them end: Running or Pending.
	Phase string `json:"phase"`
	// Pods is how many there are. Default 1.
	Pods int `json:"pods,omitempty"`
	// Nodes is how many different nodes they use; 0 for any number.
	Nodes int `json:"nodes,omitempty"`
	// Racks is how many different racks they use; 0 for any number.
	Racks int `json:"racks,omitempty"`
	// Zone is where all of them are; empty for any.
	Zone string `json:"zone,omitempty"`
	// PerZone is how many of them are in each zone that they use; 0 for any number.
	PerZone int `json:"perZone,omitempty"`
	// Pool is the node pool all of them are in; empty for any.
	Pool string `json:"pool,omitempty"`
	// Devices is how many different devices they hold; 0 for any number.
	Devices int `json:"devices,omitempty"`
	// GPUs is how many different GPUs those are of; 0 for any number.
	GPUs int `json:"gpus,omitempty"`
	// Device is part of the name of every one of them; empty for any.
	Device string `json:"device,omitempty"`
	// Beside is another owner, on whose GPUs all of them are; empty for any.
	Beside string `json:"beside,omitempty"`
	// Reason is a PLUGIN/CODE that at least one of them gives; empty for any.
	Reason string `json:"reason,omitempty"`
}

func parseExpectation(text string) (expectation, error) {
	e := expectation{Pods: 1}
	if err := yaml.UnmarshalStrict([]byte(text), &e); err != nil {
		return e, fmt.Errorf("annotation %s: %w", ExpectAnnotation, err)
	}
	if e.Phase != "Running" && e.Phase != "Pending" {
		return e, fmt.Errorf("annotation %s: phase %q: want Running or Pending", ExpectAnnotation, e.Phase)
	}
	return e, nil
}

// group is the pods of one owner and what they should come to.
type group struct {
	name string
	want expectation
	pods []placement.Pod
	// pools and racks hold each pod's node pool and rack.
	pools, racks []string
}

// unmet says what is not as expected of this group among all; nothing if all is.
func (g *group) unmet(all []*group) []string {
	var out []string
	say := func(format string, args ...any) {
		out = append(out, g.name+": "+fmt.Sprintf(format, args...))
	}
	if len(g.pods) != g.want.Pods {
		say("%d pods, want %d", len(g.pods), g.want.Pods)
	}
	nodes, devices, reasons := map[string]bool{}, map[string]bool{}, []string{}
	gpus := g.gpus()
	for i, p := range g.pods {
		if p.Phase != g.want.Phase {
			say("pod %s is %s, want %s", p.Name, p.Phase, g.want.Phase)
		}
		if g.want.Pool != "" && g.pools[i] != g.want.Pool {
			say("pod %s is in pool %q, want %q", p.Name, g.pools[i], g.want.Pool)
		}
		if p.Node != "" {
			nodes[p.Node] = true
		}
		for _, d := range p.Devices {
			devices[d] = true
			if !strings.Contains(d, g.want.Device) {
				say("pod %s has device %s, want one of %s", p.Name, d, g.want.Device)
			}
		}
		for _, r := range p.Reasons {
			reasons = append(reasons, fmt.Sprintf("%s/%s", r.Plugin, r.Code))
		}
	}
	if g.want.Nodes != 0 && len(nodes) != g.want.Nodes {
		say("on %d nodes, want %d", len(nodes), g.want.Nodes)
	}
	if g.want.Devices != 0 && len(devices) != g.want.Devices {
		say("%d different devices, want %d", len(devices), g.want.Devices)
	}
	if g.want.GPUs != 0 && len(gpus) != g.want.GPUs {
		say("devices of %d different GPUs, want %d", len(gpus), g.want.GPUs)
	}
	if g.want.Reason != "" && !slices.Contains(reasons, g.want.Reason) {
		say("reasons %v, want %s among them", reasons, g.want.Reason)
	}
	if g.want.Beside != "" {
		out = append(out, g.notBeside(all)...)
	}
	return append(out, g.misplaced()...)
}

// misplaced says what is not as expected of the group's zones and racks.
func (g *group) misplaced() []string {
	var out []string
	racks, zones := map[string]bool{}, map[string]int{}
	for i, p := range g.pods {
		if p.Node == "" {
			continue
		}
		racks[p.Zone+"/"+g.racks[i]] = true
		zones[p.Zone]++
		if g.want.Zone != "" && p.Zone != g.want.Zone {
			out = append(out, fmt.Sprintf("%s: pod %s is in zone %q, want %q", g.name, p.Name, p.Zone, g.want.Zone))
		}
	}
	if g.want.Racks != 0 && len(racks) != g.want.Racks {
		out = append(out, fmt.Sprintf("%s: in %d racks, want %d", g.name, len(racks), g.want.Racks))
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		if g.want.PerZone != 0 && zones[zone] != g.want.PerZone {
			out = append(out, fmt.Sprintf("%s: %d pods in zone %s, want %d", g.name, zones[zone], zone, g.want.PerZone))
		}
	}
	return out
}

// gpus are those that the group's devices are of, as driver/pool/gpu.
func (g *group) gpus() map[string]bool {
	out := map[string]bool{}
	for _, p := range g.pods {
		for _, d := range p.Devices {
			out[fleet.GPUOf(d)] = true
		}
	}
	return out
}

// notBeside says which GPUs of the group are none of the other group's.
func (g *group) notBeside(groups []*group) []string {
	at := slices.IndexFunc(groups, func(other *group) bool { return other.name == g.want.Beside })
	if at < 0 {
		at = slices.IndexFunc(groups, func(other *group) bool { return strings.HasPrefix(other.name, g.want.Beside+"-") })
	}
	var out []string
	for gpu := range g.gpus() {
		if at < 0 || !groups[at].gpus()[gpu] {
			out = append(out, fmt.Sprintf("%s: has a device of %s, want one beside %s", g.name, gpu, g.want.Beside))
		}
	}
	slices.Sort(out)
	return out
}
