package stack

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDocumentsAreSplitAndNumbered(t *testing.T) {
	const stream = "# heading\n---\n# only a comment\n---  # and one here\n\na: 1\n---\r\ntext: |\n  ---\n  not a separator\n----: key\n---"
	var got []string
	for _, d := range splitDocuments([]byte(stream)) {
		got = append(got, d.String())
	}
	if want := []string{"document 1 (line 6)", "document 2 (line 8)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer}}}
          status: {type: object, properties: {phase: {type: string}}}
---
apiVersion: v1
kind: List
items:
- apiVersion: example.org/v1
  kind: Widget
  metadata: {name: blue}
  spec: {size: 9007199254740993} # not a float64
  status: {phase: Painted}
- apiVersion: v1
  kind: ConfigMap
  metadata: {generateName: numbered-}
`

func TestApply(t *testing.T) {
	s := start(t, Options{NoFakeNodes: true})

	t.Run("writes status, follows definitions, opens lists", func(t *testing.T) {
		objects, err := s.Apply(t.Context(), []byte(widgets))
		if err != nil {
			t.Fatal(err)
		}
		if len(objects) != 3 {
			t.Fatalf("applied %d objects, want 3", len(objects))
		}
		widget, numbered := objects[1], objects[2]
		if phase, _, _ := unstructured.NestedString(widget.Object, "status", "phase"); phase != "Painted" {
			t.Errorf("status is %v", widget.Object["status"])
		}
		if size, _, _ := unstructured.NestedInt64(widget.Object, "spec", "size"); size != 9007199254740993 {
			t.Errorf("spec is %v", widget.Object["spec"])
		}
		if !strings.HasPrefix(numbered.GetName(), "numbered-") || numbered.GetNamespace() != "default" {
			t.Errorf("generated %s", describe(numbered))
		}
	})
	t.Run("overrides other writers and repeats itself", func(t *testing.T) { testReapply(t, s) })
	t.Run("allocated claim", func(t *testing.T) { testAllocatedClaim(t, s) })
	t.Run("says where a refused object is", func(t *testing.T) { testRefusals(t, s) })
}

func testReapply(t *testing.T, s *Stack) {
	apply(t, s, nodes)
	client := s.Client().CoreV1().Nodes()
	node, err := client.Get(t.Context(), "small", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Allocatable["pods"] = resource.MustParse("1")
	if _, err := client.UpdateStatus(t.Context(), node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	apply(t, s, nodes)
	if node, err = client.Get(t.Context(), "small", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := node.Status.Allocatable.Pods().Value(); got != 2 {
		t.Errorf("room for %d pods, want 2", got)
	}
}

func testAllocatedClaim(t *testing.T, s *Stack) {
	apply(t, s, `
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: taken}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu}}]}}
status:
  allocation:
    devices:
      results: [{request: gpu, driver: gpu.example.org, pool: large, device: gpu-0}]
`)
	claim, err := s.Client().ResourceV1().ResourceClaims("default").Get(t.Context(), "taken", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if claim.Status.Allocation == nil {
		t.Error("allocation is missing")
	}
}

func testRefusals(t *testing.T, s *Stack) {
	const good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\n---\n"
	for name, tc := range map[string]struct{ manifest, want string }{
		"unknown field": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad, namespace: default}\ndate: {}\n",
			"document 2 (line 5): ConfigMap default/bad: ",
		},
		"unknown field in status": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: bad}\nstatus: {allocable: {}}\n",
			"document 2 (line 5): Node bad: ",
		},
		"key twice":    {"kind: A\nkind: B\n", `document 2 (line 5): `},
		"no kind":      {"apiVersion: v1\nmetadata: {name: bad}\n", "document 2 (line 5): Object 'Kind' is missing"},
		"no name":      {"apiVersion: v1\nkind: ConfigMap\n", "metadata.name is missing"},
		"unknown kind": {"apiVersion: v1\nkind: Pot\nmetadata: {name: bad}\n", "Pot bad: finding the API of v1 Pot"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := s.Apply(t.Context(), []byte(good+tc.manifest))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q", err, tc.want)
			}
			if len(objects) != 1 {
				t.Errorf("%d objects applied ahead of it, want 1", len(objects))
			}
		})
	}
}
