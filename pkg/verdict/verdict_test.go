package verdict

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var slotName = regexp.MustCompile(`\{([a-z]+)\}`)

func TestEveryReasonReadsBackAsItsCode(t *testing.T) {
	seen := map[Code]bool{}
	for _, e := range Table() {
		if seen[e.Code] {
			t.Errorf("%s stands twice in the table", e.Code)
		}
		seen[e.Code] = true
		var pairs []any
		for _, m := range slotName.FindAllStringSubmatch(e.Text, -1) {
			pairs = append(pairs, m[1], "some (value) of 80%")
		}
		r := Say(e.Code, pairs...)
		if strings.ContainsAny(r.Message, "{}") || r.Plugin != e.Plugin {
			t.Errorf("%s: %+v still has slots, or lost its plugin", e.Code, r)
		}
		if code, ok := CodeOf(e.Plugin, r.Message); !ok || code != e.Code {
			t.Errorf("%q reads back as %q, want %q", r.Message, code, e.Code)
		}
		if e.Kind == Refused && !strings.HasPrefix(e.Text, "node(s) ") {
			t.Errorf(`%s: %q: the scheduler counts it over nodes, so it begins with "node(s) "`, e.Code, e.Text)
		}
		if e.Kind != Placed && e.Cure == "" {
			t.Errorf("%s: want a word on what would change the answer", e.Code)
		}
	}
}

func TestMistakesInTheCallerShow(t *testing.T) {
	if r := Say("NoSuchCode", "a", 1); !strings.Contains(r.Message, "undocumented reason NoSuchCode") {
		t.Errorf("an unknown code says %q", r.Message)
	}
	if r := Say(OverCeiling, "colour", "red"); !strings.Contains(r.Message, "{colour}") {
		t.Errorf("an unknown slot says %q", r.Message)
	}
}

func TestWhatUsersWriteIsRepeatedAsItIsButNotAtAnyLength(t *testing.T) {
	r := Say(AnnotationInvalid, "key", "k", "value", Quote("{want}"), "want", "a number")
	if want := `annotation k: "{want}" is not valid: a number`; r.Message != want {
		t.Errorf("got %q, want %q", r.Message, want)
	}
	if got := Quote(strings.Repeat("ä", 200_000)); len(got) > 3*longest {
		t.Errorf("a value of 200,000 runes is repeated in %d bytes", len(got))
	}
}

func TestOtherPluginsHaveNoCodeOfOurs(t *testing.T) {
	if code, ok := CodeOf("NodeResourcesFit", "Insufficient cpu"); ok {
		t.Errorf("got %q, want none", code)
	}
	if code, ok := CodeOf("BinPack", "node(s) were blue"); ok {
		t.Errorf("got %q, want none", code)
	}
}

func TestTallyCountsMostFrequentFirst(t *testing.T) {
	var tally Tally
	a, b, c := Reason{"A", "x", "node(s) a"}, Reason{"B", "x", "node(s) b"}, Reason{"A", "x", "node(s) c"}
	tally.Add(b, 2)
	tally.Add(c, 1)
	tally.Add(a, 1)
	tally.Add(a, 1)
	want := []Counted{{a, 2}, {b, 2}, {c, 1}}
	if diff := cmp.Diff(want, tally.Counts()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := tally.String(); got != "2 node(s) a, 2 node(s) b, 1 node(s) c" {
		t.Errorf("got %q", got)
	}
}
