package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/report/samples"
)

// all makes the samples once, with a fleet that the race detector is soon through.
var all = sync.OnceValue(func() map[string]*placement.Simulation { return samples.All(350) })

func write(t *testing.T, s *placement.Simulation) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// elements returns all elements with one of the names; all without names.
func elements(root *html.Node, names ...string) []*html.Node {
	var out []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && (len(names) == 0 || slices.Contains(names, n.Data)) {
			out = append(out, n)
		}
	}
	return out
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what a reader sees of the node, and of no script or style in it.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "style" {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func hasClass(n *html.Node, class string) bool {
	return slices.Contains(strings.Fields(attribute(n, "class")), class)
}

func TestEveryPodNodeAndReasonIsThereAsText(t *testing.T) {
	for _, name := range []string{"small", "nasty", "alone"} {
		s := all()[name]
		seen := text(parse(t, write(t, s)))
		for _, r := range s.Results {
			for _, p := range r.Pods {
				// An HTML page cannot have NUL: it stands there as U+FFFD.
				for _, want := range append([]string{strings.ReplaceAll(podName(&p), "\x00", "\ufffd"), p.Node}, p.Devices...) {
					if !strings.Contains(seen, want) {
						t.Errorf("%s: %q is not on the page", name, want)
					}
				}
				for _, reason := range p.Reasons {
					if !strings.Contains(seen, reason.Message) {
						t.Errorf("%s: the reason %q of %s is not on the page", name, reason.Message, p.Name)
					}
				}
			}
			for _, n := range r.Nodes {
				for _, want := range []string{n.Name, n.Zone, n.Arch, n.Pool} {
					if !strings.Contains(seen, want) {
						t.Errorf("%s: %q of node %q is not on the page", name, want, n.Name)
					}
				}
				for _, g := range n.GPUs {
					for _, p := range g.Parts {
						if !strings.Contains(seen, p.Label) {
							t.Errorf("%s: part %q of GPU %q is not on the page", name, p.Label, g.Name)
						}
					}
				}
			}
		}
		for _, want := range append([]string{s.Source, s.Results[0].Scheduler}, s.Notes...) {
			if !strings.Contains(strings.ToLower(seen), strings.ToLower(want)) {
				t.Errorf("%s: %q is not on the page", name, want)
			}
		}
	}
}

func TestWhatPodsAreCalledNeverBecomesMarkup(t *testing.T) {
	root := parse(t, write(t, samples.Nasty()))
	if got := elements(root, "img", "iframe", "object", "embed", "form", "base"); len(got) != 0 {
		t.Errorf("the page has a <%s>, which nobody wrote", got[0].Data)
	}
	var scripts []string
	for _, n := range elements(root, "script") {
		scripts = append(scripts, attribute(n, "type"))
	}
	if want := []string{"application/json", ""}; !slices.Equal(scripts, want) {
		t.Errorf("scripts have the types %q, want %q", scripts, want)
	}
	if got := len(elements(root, "title")); got != 1 {
		t.Errorf("%d titles, want 1", got)
	}
	for _, n := range elements(root) {
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has a handler %s=%q", n.Data, a.Key, a.Val)
			}
			if a.Key == "style" && strings.ContainsAny(a.Val, "\"'\\") || a.Key == "style" && strings.Contains(a.Val, "ZgotmplZ") {
				t.Errorf("<%s> has the style %q", n.Data, a.Val)
			}
		}
	}
}

func TestNothingIsLoaded(t *testing.T) {
	for name, s := range all() {
		root := parse(t, write(t, s))
		for _, n := range elements(root) {
			for _, a := range n.Attr {
				switch a.Key {
				case "src", "srcset", "action", "data", "poster", "background":
					t.Errorf("%s: <%s> has %s=%q", name, n.Data, a.Key, a.Val)
				case "href":
					if !strings.HasPrefix(a.Val, "#") && a.Val != "data:," {
						t.Errorf("%s: <%s> refers to %q", name, n.Data, a.Val)
					}
				}
			}
		}
		for _, n := range elements(root, "style", "script") {
			for _, loads := range []string{"http:", "https:", "url(", "@import", "import(", "fetch(", "XMLHttp", "//#"} {
				if n.FirstChild != nil && attribute(n, "type") == "" && strings.Contains(n.FirstChild.Data, loads) {
					t.Errorf("%s: the <%s> contains %q", name, n.Data, loads)
				}
			}
		}
	}
}

func TestThePolicyAllowsTheScriptAndNothingElse(t *testing.T) {
	root := parse(t, write(t, samples.Small()))
	var own []string
	for _, n := range elements(root, "script") {
		if attribute(n, "type") == "" {
			own = append(own, n.FirstChild.Data)
		}
	}
	if len(own) != 1 {
		t.Fatalf("%d scripts, want 1", len(own))
	}
	sum := sha256.Sum256([]byte(own[0]))
	want := "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; base-uri 'none'; form-action 'none'"
	for _, n := range elements(root, "meta") {
		if attribute(n, "http-equiv") == "Content-Security-Policy" {
			if got := attribute(n, "content"); got != want {
				t.Errorf("policy:\n got %s\nwant %s", got, want)
			}
			return
		}
	}
	t.Error("the page has no policy")
}

func TestThePageHoldsTogether(t *testing.T) {
	for name, s := range all() {
		root := parse(t, write(t, s))
		ids := map[string]bool{}
		for _, n := range elements(root) {
			if id := attribute(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("%s: two elements have the id %q", name, id)
				}
				ids[id] = true
			}
		}
		for _, n := range elements(root) {
			if to, ok := strings.CutPrefix(attribute(n, "href"), "#"); ok && !ids[to] {
				t.Errorf("%s: a link leads to #%s, which is not there", name, to)
			}
			if by := attribute(n, "aria-labelledby"); by != "" && !ids[by] {
				t.Errorf("%s: #%s, which names a section, is not there", name, by)
			}
			if attribute(n, "role") == "img" && attribute(n, "aria-label") == "" {
				t.Errorf("%s: a picture has no text for those who do not see it", name)
			}
		}
		if h1 := elements(root, "h1"); len(h1) != 1 || text(h1[0]) == "" {
			t.Errorf("%s: %d headlines, want one with a text", name, len(h1))
		}
	}
}

func TestTheSameSimulationGivesTheSameBytes(t *testing.T) {
	for name, s := range all() {
		if first, second := write(t, s), write(t, s); first != second {
			t.Errorf("%s: two reports of the same simulation differ", name)
		}
	}
	first := write(t, samples.Small())
	for range 5 {
		if write(t, samples.Small()) != first {
			t.Fatal("reports of equal simulations differ")
		}
	}
}

func TestALargeFleetFitsIntoSixMegabytes(t *testing.T) {
	s := samples.Fleet(1500)
	if got := len(write(t, s)); got > 6<<20 {
		t.Errorf("%d bytes for %d pods, want at most 6 MiB", got, len(s.Results[0].Pods))
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    *placement.Simulation
		want []string
		not  []string
	}{
		{"nothing ran", &placement.Simulation{}, []string{"Nothing was simulated.", "The cluster has no nodes.", "The cluster has no GPUs.", "There were no pods."}, []string{"NaN"}},
		{"an empty cluster", samples.Empty(), []string{"No pods were to be scheduled.", "nothing to count", "nothing to draw over time", "The cluster has no GPUs.", "There were no pods."}, []string{"better", "NaN"}},
		{"one scheduler, one node, no series", samples.Alone(), []string{"Plimsoll runs 1 of 1 pod, with 1 of 1 node in use.", "All nodes", "nothing to draw over time", "The cluster has no GPUs.", "No pod waits."}, []string{"better", "load line at", "without a zone", "GPU taken", "different nodes", "Seed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := text(parse(t, write(t, tt.s)))
			for _, want := range tt.want {
				if !strings.Contains(seen, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(seen, not) {
					t.Errorf("the page says %q", not)
				}
			}
		})
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAWriterThatFailsIsReported(t *testing.T) {
	for name, s := range all() {
		if err := Write(brokenPipe{}, s); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: got the error %v, want the writer's", name, err)
		}
	}
}

func BenchmarkWriteFleet(b *testing.B) {
	s := samples.Fleet(samples.TraceNodes)
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(io.Discard, s); err != nil {
			b.Fatal(err)
		}
	}
}
