package placement

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/pkg/verdict"
)

func sample() *Result {
	return New("plimsoll", []Pod{
		{Namespace: "b", Name: "waits", Phase: "Pending", Reasons: []verdict.Reason{{Plugin: "X", Code: "Y", Message: "3 node(s) <full>"}, {Plugin: "Z", Code: "Y", Message: "more"}}},
		{Namespace: "a", Name: "runs", Phase: "Running", Node: "n", Zone: "z", Arch: "arm64", Devices: []string{"d/p/0"}},
		{Namespace: "a", Name: "also", Phase: "Running", Node: "n", Zone: "z", Arch: "arm64"},
	}, 7, []string{"waits: is Pending"})
}

const golden = `{
  "schemaVersion": 1,
  "scheduler": "plimsoll",
  "pods": [
    {
      "namespace": "a",
      "name": "also",
      "phase": "Running",
      "node": "n",
      "zone": "z",
      "arch": "arm64",
      "devices": [],
      "reasons": []
    },
    {
      "namespace": "a",
      "name": "runs",
      "phase": "Running",
      "node": "n",
      "zone": "z",
      "arch": "arm64",
      "devices": [
        "d/p/0"
      ],
      "reasons": []
    },
    {
      "namespace": "b",
      "name": "waits",
      "phase": "Pending",
      "node": "",
      "zone": "",
      "arch": "",
      "devices": [],
      "reasons": [
        {
          "plugin": "X",
          "code": "Y",
          "message": "3 node(s) <full>"
        },
        {
          "plugin": "Z",
          "code": "Y",
          "message": "more"
        }
      ]
    }
  ],
  "summary": {
    "pods": 3,
    "running": 2,
    "pending": 1,
    "preempted": 0,
    "nodes": 7,
    "nodesInUse": 1,
    "unexpected": [
      "waits: is Pending"
    ]
  }
}
`

func TestJSONIsTheContract(t *testing.T) {
	var b strings.Builder
	if err := sample().Print(&b, "json"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(golden, b.String()); diff != "" {
		t.Errorf("the contract changed: bump SchemaVersion unless fields were only added (-want +got)\n%s", diff)
	}
}

func TestYAMLSaysTheSame(t *testing.T) {
	var b strings.Builder
	if err := sample().Print(&b, "yaml"); err != nil {
		t.Fatal(err)
	}
	var fromYAML, fromJSON any
	if err := yaml.Unmarshal([]byte(b.String()), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(golden), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("(-json +yaml)\n%s", diff)
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := sample().Print(&b, "table"); err != nil {
		t.Fatal(err)
	}
	const want = `POD      PHASE    NODE  ZONE  ARCH   WHY
a/also   Running  n     z     arm64  
a/runs   Running  n     z     arm64  device d/p/0
b/waits  Pending  -     -     -      X: 3 node(s) <full>
                                     Z: more

3 pods: 2 running on 1 of 7 nodes, 1 pending
not as expected: waits: is Pending
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestADeviceThatAReasonNamesIsNotListedAgain(t *testing.T) {
	r := New("plimsoll", []Pod{{Namespace: "a", Name: "runs", Phase: "Running", Node: "n", Zone: "z", Arch: "arm64",
		Devices: []string{"d/p/gpu-0", "d/p/gpu-1"}, Reasons: []verdict.Reason{{Plugin: "X", Code: "Y", Message: "took gpu-0"}}}}, 1, nil)
	r.Pictures = []string{"n gpu-0  [█]", "n gpu-1  [ ]"}
	var b strings.Builder
	if err := r.Print(&b, "table"); err != nil {
		t.Fatal(err)
	}
	const want = `POD     PHASE    NODE  ZONE  ARCH   WHY
a/runs  Running  n     z     arm64  X: took gpu-0
                                    device d/p/gpu-1

n gpu-0  [█]
n gpu-1  [ ]

1 pods: 1 running on 1 of 1 nodes, 0 pending
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUnknownFormats(t *testing.T) {
	for _, format := range []string{"", "xml", "JSON"} {
		if err := CheckFormat(format); err == nil || !strings.Contains(err.Error(), "want one of table, json, yaml") {
			t.Errorf("%q: error %v, want it to list what there is", format, err)
		}
	}
}
