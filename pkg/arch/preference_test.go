package arch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAPreferenceScoresArchitectures(t *testing.T) {
	for value, want := range map[string]map[string]int64{
		"arm64":                             {"arm64": 100, "amd64": 0},
		"arm64>amd64":                       {"arm64": 100, "amd64": 0, "s390x": 0, "pdp11": 0},
		"arm64>amd64>s390x":                 {"arm64": 100, "amd64": 50, "s390x": 0},
		"riscv64>arm64>amd64>386":           {"riscv64": 100, "arm64": 66, "amd64": 33, "386": 0},
		"arm64=80,amd64=20":                 {"arm64": 100, "amd64": 25, "ppc64le": 0},
		"amd64=20,arm64=80":                 {"arm64": 100, "amd64": 25},
		"arm64=1":                           {"arm64": 100},
		"arm64=100,amd64=1":                 {"arm64": 100, "amd64": 1},
		"arm64=50,amd64=50":                 {"arm64": 100, "amd64": 100},
		"arm64=3,amd64=2,loong64=1":         {"arm64": 100, "amd64": 66, "loong64": 33},
		strings.Join(architectures[:], ">"): {"amd64": 100, "arm64": 91, "ppc64": 0},
	} {
		t.Run(value, func(t *testing.T) {
			p, ok := ParsePreference(value)
			if !ok || p.Empty() || p.String() != value {
				t.Fatalf("read as %v, %t", p, ok)
			}
			for architecture, score := range want {
				if got := p.Score(architecture); got != score {
					t.Errorf("%s scores %d, want %d", architecture, got, score)
				}
				if listed := strings.Contains(value, architecture); p.Allows(architecture) != listed {
					t.Errorf("%s is allowed: %t, want %t", architecture, !listed, listed)
				}
			}
		})
	}
}

func TestAPreferenceListsWhatItWantsMostFirst(t *testing.T) {
	for value, want := range map[string]string{
		"s390x>arm64>amd64":           "s390x arm64 amd64",
		"amd64=20,arm64=80":           "arm64 amd64",
		"s390x=5,amd64=5,arm64=70":    "arm64 amd64 s390x",
		"mips64le":                    "mips64le",
		"arm64=100,amd64=1,riscv64=2": "arm64 riscv64 amd64",
	} {
		p, _ := ParsePreference(value)
		if got := strings.Join(p.Listed(), " "); got != want {
			t.Errorf("%s lists %s, want %s", value, got, want)
		}
	}
}

func TestAnEmptyPreferenceAllowsAllAndWantsNone(t *testing.T) {
	fromNothing, err := FromOrder(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Preference{{}, fromNothing} {
		if !p.Empty() || !p.Allows("amd64") || !p.Allows("pdp11") || p.Score("amd64") != 0 || p.String() != "" || p.Listed() != nil {
			t.Errorf("%#v is not empty", p)
		}
	}
}

func TestWhatIsNeitherOrderNorWeightsIsRefused(t *testing.T) {
	for name, value := range map[string]string{
		"nothing":                         "",
		"a space":                         "arm64 > amd64",
		"a space at the end":              "arm64 ",
		"an empty part":                   "arm64>>amd64",
		"an empty part at the end":        "arm64>",
		"an empty weight at the end":      "arm64=1,",
		"a name twice":                    "arm64>amd64>arm64",
		"a name twice with weights":       "arm64=1,arm64=2",
		"an order with commas":            "arm64,amd64",
		"a weight in an order":            "arm64>amd64=20",
		"a weight first in an order":      "arm64=80>amd64",
		"weights in an order":             "arm64=80>amd64=20",
		"a weight missing":                "arm64=80,amd64",
		"a weight of nothing":             "arm64=,amd64=1",
		"a weight without a name":         "=80",
		"two weights":                     "arm64=80=20",
		"no weight":                       "arm64=0",
		"a weight past 100":               "arm64=101",
		"a negative weight":               "arm64=-1",
		"a signed weight":                 "arm64=+1",
		"a leading zero":                  "arm64=080",
		"a fraction":                      "arm64=0.5",
		"a weight past all integers":      "arm64=99999999999999999999",
		"a weight in another script":      "arm64=٣",
		"an alias":                        "aarch64>x86_64",
		"capitals":                        "ARM64",
		"a platform":                      "linux/arm64",
		"an architecture no node has":     "wasm",
		"an unknown architecture":         "arm46",
		"more entries than architectures": strings.Repeat("arm64>", 16) + "amd64",
		"a novel":                         strings.Repeat(">", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			if p, ok := ParsePreference(value); ok || !p.Empty() {
				t.Errorf("%.40q is read as %#v", value, p)
			}
		})
	}
}

func TestAnOrderIsReadFromArguments(t *testing.T) {
	got, err := FromOrder([]string{"arm64", "amd64"})
	want, ok := ParsePreference("arm64>amd64")
	if err != nil || !ok {
		t.Fatal(err, ok)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for want, names := range map[string][]string{
		`architecture "x86", number 2 of 2: want one of amd64, arm64`:                      {"arm64", "x86"},
		`architecture "", number 1 of 1: want one of`:                                      {""},
		`architecture "arm64>amd64", number 1 of 1: want one of`:                           {"arm64>amd64"},
		`architecture "arm64", number 3 of 3: it is listed before; want each at most once`: {"arm64", "amd64", "arm64"},
	} {
		if p, err := FromOrder(names); err == nil || !strings.HasPrefix(err.Error(), want) || !p.Empty() {
			t.Errorf("%v: %v, error %v, want %s", names, p, err, want)
		}
	}
}

func TestArchitecturesAreACopyInWhichAmd64ComesFirst(t *testing.T) {
	names := Architectures()
	names[0] = "changed"
	if got := Architectures()[0]; got != "amd64" || indexOf("amd64") != indexAMD64 || indexOf("pdp11") != unlisted {
		t.Errorf("the first is %s, amd64 is number %d", got, indexOf("amd64"))
	}
	for _, name := range Architectures() {
		if p := New("linux", name, "", ""); p.Architecture != name || !p.Usable() {
			t.Errorf("%s is normalised to %v", name, p)
		}
	}
}

func TestEveryPreferenceReadsBackAsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(architectures[:]), 1, -1, rapid.ID[string]).Draw(t, "names")
		weights := make([]int, len(names))
		parts := make([]string, len(names))
		for i, name := range names {
			weights[i] = rapid.IntRange(1, 100).Draw(t, "weight")
			parts[i] = fmt.Sprintf("%s=%d", name, weights[i])
		}
		order, err := FromOrder(names)
		if again, ok := ParsePreference(order.String()); err != nil || !ok || again != order {
			t.Fatalf("%v: %v, %v", names, again, err)
		}
		weighted, ok := ParsePreference(strings.Join(parts, ","))
		if !ok {
			t.Fatalf("%v is refused", parts)
		}
		for i, a := range names {
			if i > 0 && order.Score(a) >= order.Score(names[i-1]) {
				t.Fatalf("%v: %s scores %d, not less than the one before it", order, a, order.Score(a))
			}
			for j, b := range names {
				if weights[i] >= weights[j] && weighted.Score(a) < weighted.Score(b) {
					t.Fatalf("%v: %s scores %d, %s %d", weighted, a, weighted.Score(a), b, weighted.Score(b))
				}
			}
		}
	})
}

func TestAskingAPreferenceAllocatesNothing(t *testing.T) {
	p, _ := ParsePreference("arm64=80,amd64=20")
	if n := testing.AllocsPerRun(100, func() {
		for i := range architectures {
			p.Score(architectures[i])
			p.Allows(architectures[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func FuzzParsePreference(f *testing.F) {
	for _, seed := range []string{"arm64>amd64", "arm64=80,amd64=20", "arm64", "amd64=100", "arm64=080", ">", "=", "arm64=1,arm64=2", "arm64 > amd64"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p, ok := ParsePreference(value)
		if !ok {
			if p != (Preference{}) {
				t.Fatalf("%q is refused as %#v", value, p)
			}
			return
		}
		top := int64(0)
		for _, name := range p.Listed() {
			score := p.Score(name)
			top = max(top, score)
			if score < 0 || score > 100 || !p.Allows(name) {
				t.Fatalf("%q: %s scores %d, allowed %t", value, name, score, p.Allows(name))
			}
		}
		if p.String() != value || p.Empty() || top != 100 {
			t.Fatalf("%q prints as %q, its best scores %d", value, p, top)
		}
	})
}
