package adapt

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"pgregory.net/rapid"
)

type sample struct {
	TypeMeta `json:",inline"`
	Percent  int64 `json:"percent"`
	Inner    struct {
		Names []string `json:"names"`
	} `json:"inner"`
}

func raw(text string) runtime.Object { return &runtime.Unknown{Raw: []byte(text)} }

func TestDecodeArgsKeepsDefaultsAndRefusesTheRest(t *testing.T) {
	for name, tc := range map[string]struct {
		args    runtime.Object
		percent int64
		err     string
	}{
		"none":              {nil, 80, ""},
		"empty":             {raw(""), 80, ""},
		"null":              {raw("null"), 80, ""},
		"a field":           {raw(`{"percent": 5}`), 5, ""},
		"yaml":              {raw("percent: 6\ninner: {names: [a]}"), 6, ""},
		"unknown":           {raw(`{"colour": "red"}`), 0, `unknown field "colour"`},
		"unknown inside":    {raw(`{"inner": {"nams": []}}`), 0, `unknown field "inner.nams"`},
		"another case":      {raw(`{"Percent": 1}`), 0, `unknown field "Percent"`},
		"a wrong type":      {raw(`{"percent": "eighty"}`), 0, "percent of type int64"},
		"twice":             {raw("percent: 1\npercent: 2"), 0, "already set"},
		"not an object":     {raw("[1]"), 0, "cannot unmarshal array"},
		"broken":            {raw("{"), 0, "decoding arguments"},
		"not raw arguments": {&unstructured.Unstructured{}, 0, "want arguments as runtime.Unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			got := sample{Percent: 80}
			err := DecodeArgs(tc.args, &got)
			switch {
			case tc.err == "" && (err != nil || got.Percent != tc.percent):
				t.Errorf("got %+v and error %v, want %d", got, err, tc.percent)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("error %v, want it to say %q", err, tc.err)
			}
		})
	}
}

func TestTypeMeta(t *testing.T) {
	for name, tc := range map[string]struct {
		meta TypeMeta
		ok   bool
	}{
		"left out":        {TypeMeta{}, true},
		"both":            {TypeMeta{APIVersion, "BinPackArgs"}, true},
		"a later version": {TypeMeta{"plimsoll.dev/v9", "BinPackArgs"}, false},
		"another kind":    {TypeMeta{APIVersion, "TopologyArgs"}, false},
	} {
		if err := tc.meta.Validate("BinPack"); (err == nil) != tc.ok {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestDenseRankKeepsOrderFromTheTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few distinct values as well as many, runs of equal ones included.
		spread := rapid.Int64Range(1, 5_000).Draw(t, "spread")
		values := rapid.SliceOfN(rapid.Int64Range(0, spread), 1, 400).Draw(t, "values")
		scores := make(fwk.NodeScoreList, len(values))
		for i, v := range values {
			scores[i].Score = v
		}
		DenseRank(scores)

		distinct := slices.Clone(values)
		slices.SortFunc(distinct, func(a, b int64) int { return cmp.Compare(b, a) })
		distinct = slices.Compact(distinct)
		for i, v := range values {
			want := max(0, fwk.MaxScore-int64(slices.Index(distinct, v)))
			if scores[i].Score != want {
				t.Fatalf("%d of %v ranks %d, want %d", v, values, scores[i].Score, want)
			}
		}
	})
	DenseRank(nil)
}

func BenchmarkDenseRank(b *testing.B) {
	const nodes = 5000
	for name, distinct := range map[string]int64{"few": 12, "many": 5000} {
		b.Run(name, func(b *testing.B) {
			scores, work := make(fwk.NodeScoreList, nodes), make(fwk.NodeScoreList, nodes)
			for i := range scores {
				scores[i].Score = int64(i) * 7919 % distinct
			}
			b.ReportAllocs()
			for b.Loop() {
				copy(work, scores)
				DenseRank(work)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/nodes, "ns/node")
		})
	}
}
