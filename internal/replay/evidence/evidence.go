// Package evidence keeps what the experiments of package replay came to, with what
// they were made from: docs/evidence/results.json. hack/evidence writes it, and the
// page docs/evidence.md from it.
package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/replay"
	"plimsoll.dev/scheduler/pkg/plugins/claimgate"
)

// Path is that of the results, from the root of the repository.
const Path = "docs/evidence/results.json"

// DefaultList is the name of the list of pods that is shipped.
const DefaultList = "default"

// The experiments.
const (
	Fill    = "fill"
	Churn   = "churn"
	Compact = "compact"
)

// Key tells results apart.
type Key struct {
	Experiment string `json:"experiment"`
	// List is the name of the list of pods.
	List   string `json:"list"`
	Policy string `json:"policy"`
	// Known: the scheduler had seen the mix before.
	Known bool   `json:"known"`
	Seed  uint64 `json:"seed"`
}

// String is the key as -only matches it: fill/default/plimsoll/known/42.
func (k Key) String() string {
	mix := "learnt"
	if k.Known {
		mix = "known"
	}
	return fmt.Sprintf("%s/%s/%s/%s/%d", k.Experiment, k.List, k.Policy, mix, k.Seed)
}

// Inputs are what a result was made from, by SHA-256 in hexadecimal: what decides in
// the scheduler configuration (ConfigOf), the files of the trace and, where GPUs are
// scored, what the model of them decides (share.Fingerprint).
type Inputs struct {
	Config string `json:"config"`
	Nodes  string `json:"nodes"`
	Pods   string `json:"pods"`
	Model  string `json:"model,omitempty"`
}

// Digest is the SHA-256 of data in hexadecimal.
func Digest(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// ConfigOf is the digest of what decides in a policy: comments do not, whether it is
// quick changes nothing in what comes of it, and ClaimGate judges no node.
func ConfigOf(p replay.Policy) string {
	var config map[string]any
	if err := yaml.Unmarshal(p.Config, &config); err != nil {
		return Digest(p.Config)
	}
	delete(config, "clientConnection") // how often a server may be asked, of which there is none
	profiles, _, _ := unstructured.NestedSlice(config, "profiles")
	for _, profile := range profiles {
		fields, _ := profile.(map[string]any)
		enabled, found, _ := unstructured.NestedSlice(fields, "plugins", "multiPoint", "enabled")
		if !found {
			continue
		}
		enabled = slices.DeleteFunc(enabled, func(one any) bool {
			plugin, _ := one.(map[string]any)
			return plugin["name"] == claimgate.Name
		})
		if err := unstructured.SetNestedSlice(fields, enabled, "plugins", "multiPoint", "enabled"); err != nil {
			return Digest(p.Config)
		}
	}
	if profiles != nil {
		config["profiles"] = profiles
	}
	canonical, err := json.Marshal(config)
	if err != nil {
		return Digest(p.Config)
	}
	return Digest(canonical)
}

// Result is what one run came to.
type Result struct {
	Key
	Inputs Inputs `json:"inputs"`
	// Arch and Cores are of the machine that it ran on, and Seconds how long it took
	// there.
	Arch    string  `json:"arch"`
	Cores   int     `json:"cores"`
	Seconds float64 `json:"seconds"`

	// One of these is set.
	Fill    *Filled    `json:"fill,omitempty"`
	Churn   *Churned   `json:"churn,omitempty"`
	Compact *Compacted `json:"compact,omitempty"`
}

// Filled is what is kept of a replay.Filled.
type Filled struct {
	UnallocatedPercent       map[string]float64 `json:"unallocatedPercent"`
	Arrived                  int                `json:"arrived"`
	Rejected                 int                `json:"rejected"`
	MultiGPURejectedBefore90 int                `json:"multiGPURejectedBefore90"`
	NodesTouched             int                `json:"nodesTouched"`
}

// FilledOf is what is kept of it.
func FilledOf(f *replay.Filled) *Filled {
	return &Filled{f.UnallocatedPercent, f.Arrived, f.Rejected, f.MultiGPURejectedBefore90, f.NodesTouched}
}

// Churned is what is kept of a replay.Churned.
type Churned struct {
	GPUAcceptedPercent      float64 `json:"gpuAcceptedPercent"`
	MultiGPUAcceptedPercent float64 `json:"multiGPUAcceptedPercent"`
	AskedPercent            float64 `json:"askedPercent"`
	Arrived                 int     `json:"arrived"`
	Lost                    int     `json:"lost"`
	MultiGPU                int     `json:"multiGPU"`
	MultiGPULost            int     `json:"multiGPULost"`
}

// ChurnedOf is what is kept of it.
func ChurnedOf(c *replay.Churned) *Churned {
	return &Churned{c.GPUAcceptedPercent, c.MultiGPUAcceptedPercent, c.AskedPercent, c.Arrived, c.Lost, c.MultiGPU, c.MultiGPULost}
}

// Compacted is what is kept of a replay.Compacted.
type Compacted struct {
	Fewest   int `json:"fewest"`
	Bound    int `json:"bound"`
	Touched  int `json:"touched"`
	Unplaced int `json:"unplaced"`
	Pods     int `json:"pods"`
	Tries    int `json:"tries"`
}

// CompactedOf is what is kept of it.
func CompactedOf(c *replay.Compacted) *Compacted {
	return &Compacted{c.Fewest, c.Bound, c.Touched, c.Unplaced, c.Pods, c.Tries}
}

// Results are all that there are, sorted by key.
type Results []Result

// Read reads results from a file; there are none if there is no such file.
func Read(path string) (Results, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading results: %w", err)
	}
	in := json.NewDecoder(bytes.NewReader(data))
	in.DisallowUnknownFields()
	var out Results
	if err := in.Decode(&out); err != nil {
		return nil, fmt.Errorf("reading results from %s: %w", path, err)
	}
	return out, nil
}

// Write writes all of them to a file, or none.
func (r Results) Write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// Find returns the result of that key, nil if there is none.
func (r Results) Find(key Key) *Result {
	for i := range r {
		if r[i].Key == key {
			return &r[i]
		}
	}
	return nil
}

// With returns the results with one more, in the place of that of its key.
func (r Results) With(one *Result) Results {
	out := slices.DeleteFunc(slices.Clone(r), func(old Result) bool { return old.Key == one.Key })
	out = append(out, *one)
	slices.SortFunc(out, func(a, b Result) int { return a.compare(b.Key) })
	return out
}

// compare orders keys for the reader: by experiment, list, policy, mix, seed.
func (k Key) compare(o Key) int {
	known := func(k Key) int {
		if k.Known {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(k.Experiment, o.Experiment), cmp.Compare(k.List, o.List), cmp.Compare(k.Policy, o.Policy),
		cmp.Compare(known(k), known(o)), cmp.Compare(k.Seed, o.Seed))
}
