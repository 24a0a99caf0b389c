// Package scenarios holds placement stories: text files that draw a cluster,
// list pods and state what the scheduler says of every node. The real framework
// runs over them offline, with the shipped configuration.
//
//	go test ./test/scenarios            checks every story, nodes in three orders
//	go test ./test/scenarios -rewrite   writes the answers into the stories
//
// A story's commands:
//
//	profile          BinPack's arguments, as YAML; without it the shipped ones
//	config           a whole scheduler configuration, a path from the root
//	nodes            one node per line (internal/testkit)
//	pods             the pods that already run, one per line
//	ask              what would be said of these pods, one after the other
//	place            the same, and each pod then stays on the first of its best nodes
package scenarios

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/cockroachdb/datadriven"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/inventory"
	"plimsoll.dev/scheduler/pkg/load"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
	"plimsoll.dev/scheduler/pkg/verdict"
)

const shippedConfig = "manifests/base/scheduler-config.yaml"

func TestStories(t *testing.T) {
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories here: %v", err)
	}
	for _, file := range files {
		// The order of nodes must not matter: the answers, which are sorted
		// by name, stay the same.
		for order := range int64(3) {
			t.Run(fmt.Sprintf("%s/order-%d", strings.TrimSuffix(file, ".txt"), order), func(t *testing.T) {
				s := &story{config: shippedConfig, order: order}
				datadriven.RunTest(t, file, s.run)
				s.close()
			})
		}
	}
}

// TestStoriesOpenWithTheirReason keeps the stories readable.
func TestStoriesOpenWithTheirReason(t *testing.T) {
	files, _ := filepath.Glob("*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.SplitN(string(text), "\n", 3); len(lines) < 3 || !strings.HasPrefix(lines[0], "# ") || !strings.HasPrefix(lines[1], "# ") {
			t.Errorf("%s: want it to open with two lines of comment that say why it exists", file)
		}
	}
}

type story struct {
	config  string
	args    string
	order   int64
	nodes   []*v1.Node
	pods    []*v1.Pod
	cluster *offline.Cluster
	placed  lastPlaced
}

// lastPlaced remembers the last reason a pod was placed for.
type lastPlaced struct{ reason verdict.Reason }

func (l *lastPlaced) Placed(_, _, _, _ string, reason verdict.Reason) { l.reason = reason }

func (s *story) close() {
	if s.cluster != nil {
		s.cluster.Close()
		s.cluster = nil
	}
}

func (s *story) run(t *testing.T, d *datadriven.TestData) string {
	var out string
	var err error
	switch d.Cmd {
	case "config":
		s.close()
		s.config = strings.TrimSpace(d.Input)
	case "profile":
		s.close()
		s.args = d.Input
	case "nodes":
		s.close()
		s.pods = nil
		s.nodes, err = testkit.Nodes(d.Input)
	case "pods":
		s.close()
		s.pods, err = testkit.Pods(d.Input)
		if err == nil {
			out, err = s.draw(t)
		}
	case "ask", "place":
		out, err = s.schedule(t, d.Input, d.Cmd == "place")
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return out
}

func (s *story) schedule(t *testing.T, input string, stay bool) (string, error) {
	pods, err := testkit.Pods(input)
	if err != nil {
		return "", err
	}
	if err := s.open(t); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, pod := range pods {
		e, err := s.cluster.Evaluate(t.Context(), pod)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s\n", pod.Name)
		s.describe(&b, e)
		best := e.Best()
		if len(best) == 0 || !stay {
			continue
		}
		// Any of the best would do: the first by name makes the rest of the
		// story the same every time.
		node := sorted(best)[0]
		if err := s.cluster.Place(t.Context(), e, node); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "  -> %s: %s\n", node, s.placed.reason.Message)
	}
	return b.String(), nil
}

// describe prints one line per node; * marks the set of best ones.
func (s *story) describe(b *strings.Builder, e *offline.Evaluation) {
	if e.Refused != nil {
		fmt.Fprintf(b, "  %s refuses the pod: %s\n", e.Refused.Plugin(), strings.Join(e.Refused.Reasons(), "; "))
		return
	}
	best := map[string]bool{}
	for _, name := range e.Best() {
		best[name] = true
	}
	w := tabwriter.NewWriter(b, 2, 1, 2, ' ', 0)
	byName := map[string]offline.Answer{}
	var names []string
	for _, a := range e.Nodes {
		byName[a.Node] = a
		names = append(names, a.Node)
	}
	for _, name := range sorted(names) {
		a := byName[name]
		if a.Status != nil {
			fmt.Fprintf(w, "    %s\t%s: %s\n", name, a.Status.Plugin(), strings.Join(a.Status.Reasons(), "; "))
			continue
		}
		mark := " "
		if best[name] {
			mark = "*"
		}
		fmt.Fprintf(w, "  %s %s\t%d\t%s\n", mark, name, a.Total, parts(e, a))
	}
	w.Flush()
}

// parts lists who gave what, leaving out the plugins that told no node from
// another.
func parts(e *offline.Evaluation, a offline.Answer) string {
	var out []string
	for i, p := range a.Scores {
		for _, other := range e.Nodes {
			if other.Status == nil && other.Scores[i].Score != p.Score {
				out = append(out, fmt.Sprintf("%s=%d", p.Name, p.Score))
				break
			}
		}
	}
	return strings.Join(sorted(out), " ")
}

func (s *story) open(t *testing.T) error {
	if s.cluster != nil {
		return nil
	}
	cfg, err := schedconfig.Decode(testkit.RepoFile(t, s.config))
	if err != nil {
		return err
	}
	if s.args != "" {
		if err := setArgs(cfg, s.args); err != nil {
			return err
		}
	}
	nodes := append([]*v1.Node(nil), s.nodes...)
	if s.order > 0 {
		rand.New(rand.NewSource(s.order)).Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	}
	var objects []runtime.Object
	for _, n := range nodes {
		objects = append(objects, n)
	}
	for _, p := range s.pods {
		objects = append(objects, p)
	}
	s.cluster, err = offline.New(context.Background(), cfg, plugins.Registry(plugins.Shared{Recorder: &s.placed}), objects...)
	return err
}

// setArgs replaces BinPack's arguments in every profile.
func setArgs(cfg *config.KubeSchedulerConfiguration, args string) error {
	raw, err := yaml.YAMLToJSON([]byte(args))
	if err != nil {
		return err
	}
	for i := range cfg.Profiles {
		for j := range cfg.Profiles[i].PluginConfig {
			if pc := &cfg.Profiles[i].PluginConfig[j]; pc.Name == binpack.Name {
				pc.Args = &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}
			}
		}
	}
	return nil
}

// draw pictures how loaded the nodes are before anything is placed.
func (s *story) draw(t *testing.T) (string, error) {
	if err := s.open(t); err != nil {
		return "", err
	}
	scale, err := load.NewScale([]load.Resource{{Name: "cpu", Weight: 1}, {Name: "memory", Weight: 1}})
	if err != nil {
		return "", err
	}
	meter := inventory.NewMeter([]v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory})
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 2, 1, 2, ' ', 0)
	for _, name := range sorted(s.cluster.Nodes()) {
		node, err := s.cluster.NodeInfo(t.Context(), name)
		if err != nil {
			return "", err
		}
		var allocatable, used load.Vector
		meter.Allocatable(node, &allocatable)
		meter.Assumed(node, &used)
		u, dominant := scale.Utilization(&allocatable, &used)
		fmt.Fprintf(w, "%s\t%s\t%s of %s\n", name, load.Gauge(u, load.Full), u, scale.Resource(dominant).Name)
	}
	w.Flush()
	return b.String(), nil
}

func sorted(names []string) []string {
	out := slices.Clone(names)
	slices.Sort(out)
	return out
}
