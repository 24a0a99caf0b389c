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
//	profile GPUSlice that plugin's arguments
//	config           a whole scheduler configuration, a path from the root
//	nodes            one node per line (internal/testkit)
//	gpus             what GPU drivers publish, one node per line (internal/testkit)
//	images           what registries hold, one image per line with its platforms; others are built for amd64 and arm64
//	owners           ReplicaSets, Jobs and their like, one per line (internal/testkit)
//	services         Services and where their endpoints are, one per line (internal/testkit)
//	pods             the pods that already run, one per line; draws how loaded the nodes are
//	pods quiet       the same without the drawing
//	ask              what would be said of these pods, one after the other
//	ask eu-b         the same, but printed only for the nodes whose names begin so
//	place            the same, and each pod then stays on the first of its best nodes
//	place brief      where they go, without what was said of every node
//	leave            pods that were placed go away, one name per line
//
// Where drivers publish GPUs, place and leave draw them as they are afterwards.
//
// For groups, in together_test.go:
//
//	place together   all the pods exist before the first is tried, and those not placed stay in the queue
//	retry            those in the queue are tried again, in the order in which they came
//	timeout          the pod that waited longest for its group may wait no longer
//	join             further nodes, one per line
//	ungate           pods whose gates open, one name per line
//	tree             nothing happens
//
// Each ends with a drawing of the domains, the nodes and the pods on them; pods
// that wait for others carry a question mark. owners and services that come later
// replace those of their name.
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
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/offline"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/pkg/plugins"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
	"plimsoll.dev/scheduler/pkg/plugins/topology"
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
				s := &story{config: shippedConfig, order: order, depot: &testkit.Depot{}, args: map[string]string{}, stays: map[string]stay{}}
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
	config string
	// args are plugins' arguments by plugin.
	args   map[string]string
	order  int64
	nodes  []*v1.Node
	slices []*resourceapi.ResourceSlice
	pods   []*v1.Pod
	depot  *testkit.Depot
	// others are owners and Services.
	others  []runtime.Object
	cluster *offline.Cluster
	// queue holds the pods of place together that have no node yet.
	queue []*v1.Pod
	// grouped: place together was used, and the domains are drawn.
	grouped bool
	// joined are the nodes that came later.
	joined []*v1.Node
	// stays are the pods that were placed.
	stays  map[string]stay
	placed lastPlaced
}

type stay struct {
	evaluation *offline.Evaluation
	node       string
}

// lastPlaced remembers what plugins gave as the reason for the last placement.
type lastPlaced struct {
	reasons []string
	// ofGroups are those of Topology, by pod.
	ofGroups map[string][]string
}

func (l *lastPlaced) Placed(_, pod, _, _ string, reason verdict.Reason) {
	l.reasons = append(l.reasons, reason.Message)
	if reason.Plugin == topology.Name {
		if l.ofGroups == nil {
			l.ofGroups = map[string][]string{}
		}
		l.ofGroups[pod] = append(l.ofGroups[pod], reason.Message)
	}
}

func (s *story) close() {
	if s.cluster != nil {
		s.cluster.Close()
		s.cluster = nil
	}
	s.stays, s.queue, s.joined = map[string]stay{}, nil, nil
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
		plugin := binpack.Name
		if len(d.CmdArgs) > 0 {
			plugin = d.CmdArgs[0].Key
		}
		s.args[plugin] = d.Input
	case "nodes":
		s.close()
		s.pods, s.slices, s.others = nil, nil, nil
		s.nodes, err = testkit.Nodes(d.Input)
	case "images":
		s.close()
		s.depot, err = testkit.Images(d.Input)
	case "gpus":
		s.close()
		s.slices, err = testkit.GPUs(d.Input)
	case "pods":
		s.close()
		s.pods, err = testkit.Pods(d.Input)
		if err == nil && !d.HasArg("quiet") {
			out, err = s.draw(t)
		}
	case "ask", "place":
		if d.HasArg("together") {
			out, err = s.together(t, d.Input)
		} else {
			out, err = s.schedule(t, d.Input, d.Cmd == "place", d.CmdArgs)
		}
	case "leave":
		out, err = s.leave(t, d.Input)
	default:
		out, err = s.runForGroups(t, d)
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return out
}

func (s *story) schedule(t *testing.T, input string, stays bool, args []datadriven.CmdArg) (string, error) {
	brief, begin := stays && len(args) > 0, ""
	if !stays && len(args) > 0 {
		begin = args[0].Key
	}
	pods, err := testkit.Pods(input)
	if err != nil {
		return "", err
	}
	claims, err := testkit.Claims(input)
	if err != nil {
		return "", err
	}
	if err := s.open(t); err != nil {
		return "", err
	}
	if err := s.cluster.AddClaims(t.Context(), claims...); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, pod := range pods {
		e, err := s.cluster.Evaluate(t.Context(), pod)
		if err != nil {
			return "", err
		}
		best := sorted(e.Best())
		if fits := len(best) > 0; !brief || !fits {
			fmt.Fprintf(&b, "%s\n", pod.Name)
			s.describe(&b, e, begin)
		}
		if len(best) == 0 || !stays {
			continue
		}
		// Any of the best would do: the first by name makes the rest of the
		// story the same every time.
		s.placed = lastPlaced{}
		if err := s.cluster.Place(t.Context(), e, best[0]); err != nil {
			return "", err
		}
		s.stays[pod.Name] = stay{e, best[0]}
		who := " "
		if brief {
			who = pod.Name
		}
		fmt.Fprintf(&b, "%s -> %s", who, best[0])
		if why := strings.Join(s.placed.reasons, "; "); why != "" {
			fmt.Fprintf(&b, ": %s", why)
		}
		b.WriteByte('\n')
	}
	if stays {
		err = s.drawDevices(&b)
	}
	return b.String(), err
}

// leave takes pods away again.
func (s *story) leave(t *testing.T, input string) (string, error) {
	for _, name := range strings.Fields(input) {
		stay, placed := s.stays[name]
		if !placed {
			return "", fmt.Errorf("pod %s was not placed", name)
		}
		if err := s.cluster.Remove(t.Context(), stay.evaluation, stay.node); err != nil {
			return "", err
		}
		delete(s.stays, name)
	}
	if len(s.slices) == 0 && s.grouped {
		return s.tell(t, &sayings{})
	}
	var b strings.Builder
	err := s.drawDevices(&b)
	return b.String(), err
}

// describe prints one line per node whose name begins so; * marks the set of best
// ones.
func (s *story) describe(b *strings.Builder, e *offline.Evaluation, begin string) {
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
		if strings.HasPrefix(a.Node, begin) {
			byName[a.Node] = a
			names = append(names, a.Node)
		}
	}
	for _, name := range sorted(names) {
		a := byName[name]
		if a.Status != nil {
			fmt.Fprintf(w, "    %s\t%s: %s\n", name, a.Status.Plugin(), strings.Join(sorted(a.Status.Reasons()), "; ")) // upstream lists resources as a map has them
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
	for plugin, args := range s.args {
		if err := setArgs(cfg, plugin, args); err != nil {
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
	if len(s.slices) > 0 {
		for _, c := range fleet.DeviceClasses() {
			objects = append(objects, c)
		}
	}
	for _, published := range s.slices {
		objects = append(objects, published)
	}
	objects = append(objects, s.others...)
	s.cluster, err = offline.New(context.Background(), cfg, plugins.Registry(plugins.Shared{
		Recorder: &s.placed, Images: &archaware.Shared{Registries: s.depot}}), objects...)
	if err == nil {
		s.cluster.AskOnce(topology.Name, names.SchedulingGates)
	}
	return err
}

// setArgs sets a plugin's arguments in every profile.
func setArgs(cfg *config.KubeSchedulerConfiguration, plugin, args string) error {
	raw, err := yaml.YAMLToJSON([]byte(args))
	if err != nil {
		return err
	}
	for i := range cfg.Profiles {
		p := &cfg.Profiles[i]
		p.PluginConfig = append(slices.DeleteFunc(p.PluginConfig, func(pc config.PluginConfig) bool { return pc.Name == plugin }),
			config.PluginConfig{Name: plugin, Args: &runtime.Unknown{Raw: raw, ContentType: runtime.ContentTypeJSON}})
	}
	return nil
}

func sorted(names []string) []string {
	out := slices.Clone(names)
	slices.Sort(out)
	return out
}
