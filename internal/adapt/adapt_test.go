package adapt

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
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
