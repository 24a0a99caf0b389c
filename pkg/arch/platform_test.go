package arch

import (
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
	"pgregory.net/rapid"
)

// must is the platform a test writes.
func must(t testing.TB, text string) Platform {
	t.Helper()
	p, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// setOf is the set of the platforms a test writes, separated by spaces.
func setOf(t testing.TB, texts string) Set {
	t.Helper()
	var all []Platform
	for text := range strings.FieldsSeq(texts) {
		all = append(all, must(t, text))
	}
	return NewSet(all...)
}

func TestPlatformsAreNormalisedAsContainerdDoesIt(t *testing.T) {
	for name, tc := range map[string]struct {
		os, architecture, variant, version string
		want                               string
	}{
		"the name of uname for amd64":         {"linux", "x86_64", "", "", "linux/amd64"},
		"the name of uname for arm64":         {"linux", "aarch64", "", "", "linux/arm64"},
		"arm64's first variant is its base":   {"linux", "arm64", "v8", "", "linux/arm64"},
		"and so it is with a minor":           {"linux", "arm64", "v8.0", "", "linux/arm64"},
		"a later variant is not":              {"linux", "arm64", "v8.2", "", "linux/arm64/v8.2"},
		"amd64's first level is its base":     {"linux", "amd64", "v1", "", "linux/amd64"},
		"Debian's hard float arm":             {"linux", "armhf", "", "", "linux/arm/v7"},
		"Debian's soft float arm":             {"linux", "armel", "", "", "linux/arm/v6"},
		"arm without a variant":               {"linux", "arm", "", "", "linux/arm/v7"},
		"arm with a bare number":              {"linux", "arm", "6", "", "linux/arm/v6"},
		"Debian's 32-bit x86":                 {"linux", "i386", "", "", "linux/386"},
		"capitals":                            {"Linux", "AMD64", "V3", "", "linux/amd64/v3"},
		"the first name of WASI":              {"wasi", "wasm", "", "", "wasip1/wasm"},
		"a Windows build":                     {"windows", "amd64", "", "10.0.20348.1", "windows(10.0.20348.1)/amd64"},
		"another system's version is nothing": {"linux", "amd64", "", "5.15", "linux/amd64"},
		"an unsaid OS is not the scheduler's": {"", "amd64", "", "", "unknown/amd64"},
		"nothing at all":                      {"", "", "", "", "unknown/unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := New(tc.os, tc.architecture, tc.variant, tc.version).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestWhatCannotRunAnywhereIsNotUsable(t *testing.T) {
	for name, tc := range map[string]struct {
		p    Platform
		want bool
	}{
		"an image":                           {New("linux", "arm64", "", ""), true},
		"an architecture nobody knows yet":   {New("linux", "arm128", "v1", ""), true},
		"an attestation":                     {New("unknown", "unknown", "", ""), false},
		"an attestation of an architecture":  {New("unknown", "amd64", "", ""), false},
		"a system without architecture":      {New("linux", "", "", ""), false},
		"an entry that only says unknown":    {New("linux", "unknown", "", ""), false},
		"an architecture without a system":   {New("", "amd64", "", ""), false},
		"the zero value":                     {Platform{}, false},
		"a name that breaks the line":        {New("linux", "amd64\nlinux", "", ""), false},
		"a variant that is a sentence":       {New("linux", "amd64", "pull me instead", ""), false},
		"a name as long as a novel":          {New("linux", strings.Repeat("a", 1<<20), "", ""), false},
		"a system in no script of this list": {New("lïnux", "amd64", "", ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.p.Usable(); got != tc.want {
				t.Errorf("Usable is %t, want %t", got, tc.want)
			}
		})
	}
}

func TestPlatformsAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]Platform{
		"linux/arm64":                  {OS: "linux", Architecture: "arm64"},
		"linux/aarch64":                {OS: "linux", Architecture: "arm64"},
		"linux/arm/v7":                 {OS: "linux", Architecture: "arm", Variant: "v7"},
		"linux/arm":                    {OS: "linux", Architecture: "arm", Variant: "v7"},
		"linux/amd64/v3":               {OS: "linux", Architecture: "amd64", Variant: "v3"},
		"linux/ppc64le/power9":         {OS: "linux", Architecture: "ppc64le", Variant: "power9"},
		"windows/amd64":                {OS: "windows", Architecture: "amd64"},
		"windows(10.0.20348.17)/amd64": {OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.17"},
		"wasip1/wasm":                  {OS: "wasip1", Architecture: "wasm"},
		"wasi/wasm":                    {OS: "wasip1", Architecture: "wasm"},
	} {
		t.Run(text, func(t *testing.T) {
			if diff := cmp.Diff(want, must(t, text)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestARefusedPlatformIsToldWhatWouldBeRight(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "want <os>/<architecture>",
		"linux":                    "such as linux/arm64",
		"arm64":                    "want <os>/<architecture>",
		"linux/":                   "want <os>/<architecture>",
		"/arm64":                   "want <os>/<architecture>",
		"linux/arm/v7/hf":          "want <os>/<architecture>",
		"linux/amr64":              `unknown architecture "amr64": want one of amd64, arm64`,
		"linux/arm64, linux/amd64": `unknown architecture "arm64, linux"`,
		"lunix/arm64":              `unknown operating system "lunix": want one of linux, windows`,
		" linux/arm64":             "unknown operating system",
		"linux/arm/v9":             `unknown variant "v9" of arm: want none, or one of v5, v6, v7, v8`,
		"linux/amd64/3":            `unknown variant "3" of amd64: want none, or one of v2, v3, v4`,
		"linux/s390x/z 13":         `variant "z 13": want a name`,
		"linux(5.15.0)/amd64":      `only Windows has versions`,
		"windows(2022)/amd64":      "want a version such as windows(10.0.20348)",
		"windows(10.0.20348/amd64": "want a version such as windows(10.0.20348)",
		"windows()/amd64":          "want a version such as windows(10.0.20348)",
		"unknown/unknown":          "unknown operating system",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := Parse(text)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "platform \""+text+"\"") {
				t.Errorf("error %v, want it to name the platform and say %s", err, want)
			}
		})
	}
}

func TestASetDropsDuplicatesAndWhatIsNotUsable(t *testing.T) {
	s := NewSet(Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, Platform{OS: "unknown", Architecture: "unknown"},
		Platform{}, Platform{OS: "linux", Architecture: "aarch64"}, Platform{OS: "linux", Architecture: "amd64", OSVersion: "6.1"})
	want := []Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	if diff := cmp.Diff(want, s.Platforms()); diff != "" || s.Len() != 2 || s.Empty() {
		t.Errorf("%v has %d (-want +got)\n%s", s, s.Len(), diff)
	}
	if only := NewSet(New("unknown", "unknown", "", "")); !only.Empty() || only != (Set{}) || only.Platforms() != nil {
		t.Errorf("attestations alone are %v, want the zero set", only)
	}
	if !s.Has(Platform{OS: "Linux", Architecture: "x86_64"}) || s.Has(must(t, "linux/arm/v7")) {
		t.Errorf("%v has linux/x86_64 by its other name, and no linux/arm/v7", s)
	}
}

func TestASetPrintsForPeople(t *testing.T) {
	for want, texts := range map[string]string{
		"no platform":                           "",
		"linux/arm64":                           "linux/arm64",
		"linux/amd64, linux/arm64":              "linux/arm64 linux/amd64",
		"linux/arm/v7, windows(10.0.1.2)/amd64": "windows(10.0.1.2)/amd64 linux/arm",
		"linux/386, linux/amd64, linux/arm/v7, linux/arm64, linux/loong64, linux/mips64le": "linux/386 linux/amd64 linux/arm linux/arm64 linux/loong64 linux/mips64le",
		"linux/386, linux/amd64, linux/arm/v5, linux/arm/v6, linux/arm/v7, linux/arm64 and 4 more": "linux/386 linux/amd64 linux/arm/v5 linux/arm/v6 linux/arm/v7 " +
			"linux/arm64 linux/mips64le linux/ppc64le linux/riscv64 linux/s390x",
	} {
		if got := setOf(t, texts).String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// absurdLevel is a variant that no CPU has.
const absurdLevel = "v999999999"

// drawPlatform draws what an image or a node may say, in all its spellings.
func drawPlatform(t *rapid.T, label string) Platform {
	pick := func(part string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label+part) }
	p := Platform{OS: pick(" os", "linux", "linux", "Linux", "windows", "windows", "freebsd", "wasip1", "unknown")}
	p.Architecture = pick(" architecture", "amd64", "x86_64", "arm64", "aarch64", "arm", "armhf", "armel", "386", "i386", "ppc64le", "riscv64", "wasm", "unknown")
	var known []string
	known = append(known, variants[New("", p.Architecture, "", "").Architecture]...)
	p.Variant = pick(" variant", append(known, "", "", "v1", "v8", "8", "v8.0", "7", "power9", "rva22u64", absurdLevel)...)
	p.OSVersion = pick(" version", "", "", "10.0.17763.1", "10.0.17763.9", "10.0.20348.1", "10.0.20348", "10.0.22621.5", "10.0.25398.1",
		"10.0.26100.1", "10.0.26200.0", "6.3.9600.1", "11.0.26100.1", "0.0.0", "0.0.7.1", "10.0", "ltsc2022", "10.0.99999.1", "10.0.65535")
	return p
}

func drawSet(t *rapid.T, label string) Set {
	return NewSet(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Platform { return drawPlatform(t, label) }), 0, 12).Draw(t, label)...)
}

func TestSetsObeyTheLawsOfSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "a"), drawSet(t, "b")
		listed := a.Platforms()
		if shuffled := NewSet(rapid.Permutation(listed).Draw(t, "order")...); !shuffled.Equal(a) || shuffled.String() != a.String() {
			t.Fatalf("%v in another order is %v", a, shuffled)
		}
		union, rest := a.Union(b), a.Minus(b)
		for _, p := range append(append([]Platform{drawPlatform(t, "any")}, listed...), b.Platforms()...) {
			if union.Has(p) != (a.Has(p) || b.Has(p)) || rest.Has(p) != (a.Has(p) && !b.Has(p)) {
				t.Fatalf("%v: in %v %t, in %v %t, union %v, rest %v", p, a, a.Has(p), b, b.Has(p), union, rest)
			}
		}
		if !union.Equal(b.Union(a)) || !rest.Union(b).Equal(union) || !a.Minus(a).Empty() || union.Len() != rest.Len()+b.Len() {
			t.Fatalf("%v and %v: union %v, rest %v", a, b, union, rest)
		}
		if !a.Equal(NewSet(listed...)) || a.Empty() != (a.Len() == 0) {
			t.Fatalf("%v changed", a)
		}
	})
}

func FuzzNew(f *testing.F) {
	f.Add("linux", "aarch64", "v8", "")
	f.Add("", "", "", "")
	f.Add("wasi", "wasm", "", "10.0.1")
	f.Add("windows", "amd64", "v4294967296", "10.0.99999999999999999999.1")
	f.Add("\xff\x00", "arm", "V\n", "..")
	f.Fuzz(func(t *testing.T, os, architecture, variant, version string) {
		p := New(os, architecture, variant, version)
		if again := New(p.OS, p.Architecture, p.Variant, p.OSVersion); again != p {
			t.Fatalf("%#v normalised again is %#v", p, again)
		}
		theirs := platforms.Normalize(specs.Platform{OS: os, Architecture: architecture, Variant: variant})
		if p.Architecture != theirs.Architecture || p.Variant != theirs.Variant || os != "" && theirs.OS != "wasi" && p.OS != theirs.OS {
			t.Fatalf("%#v, containerd says %#v", p, theirs)
		}
		set := NewSet(p)
		if set.Has(p) != p.Usable() || set.Empty() == p.Usable() {
			t.Fatalf("%#v: usable %t, set %v", p, p.Usable(), set)
		}
		if fit := NewHost(p, true).Fit(set); fit == Fallback || fit != NoFit && !p.Usable() {
			t.Fatalf("%#v fits itself: %v", p, fit)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"linux/arm64", "linux/arm/v7", "windows(10.0.20348.1)/amd64", "wasi/wasm", "linux/AMD64/V1", "linux//", "windows()/386", "linux/ppc64le/power9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if p != (Platform{}) || !strings.HasPrefix(err.Error(), "platform ") {
				t.Fatalf("%q: %v with error %v", text, p, err)
			}
			return
		}
		if again, err := Parse(p.String()); err != nil || again != p || !p.Usable() {
			t.Fatalf("%q is %#v, usable %t, and back %#v, %v", text, p, p.Usable(), again, err)
		}
	})
}
