package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"

	"plimsoll.dev/scheduler/internal/testkit"
)

// text is a file without the indentation of the code around it.
func text(lines string) string { return strings.ReplaceAll(strings.TrimLeft(lines, "\n"), "\t", "") }

// files writes files into a folder of the test.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// mustRead reads standard input.
func mustRead(t *testing.T, input string) *Snapshot {
	t.Helper()
	s, err := Read([]string{"-"}, strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustReadWhatIf reads what is to be added from standard input.
func mustReadWhatIf(t *testing.T, input string) *Snapshot {
	t.Helper()
	s, err := ReadWhatIf([]string{"-"}, strings.NewReader(input))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// names lists all objects and pods, but not the namespaces that are made for them.
func names(s *Snapshot) []string {
	var out []string
	for _, obj := range s.Objects {
		if ns, ok := obj.(*v1.Namespace); ok && ns.ResourceVersion == "" {
			continue
		}
		out = append(out, keyOf(obj).String())
	}
	for _, pod := range s.Pods {
		out = append(out, keyOf(pod).String())
	}
	return out
}

const (
	nodeA = `{apiVersion: v1, kind: Node, metadata: {name: a}, status: {allocatable: {cpu: "4", pods: "10"}}}`
	podX  = `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: shop}, spec: {containers: [{name: c, image: i}]}}`
)

func TestEveryFormOfInputIsRead(t *testing.T) {
	const both = "Node a\nPod shop/x"
	const jsonNode = `{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}`
	const jsonPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"shop"},"spec":{"containers":[{"name":"c","image":"i"}]}}`
	for name, tc := range map[string]struct{ input, want string }{
		"two documents":                      {nodeA + "\n---\n" + podX, both},
		"empty documents and comments":       {"# nothing\n---\n---\n" + nodeA + "\n---\n# more\n--- # x\n" + podX + "\n...\n---\n", both},
		"content on the separator's line":    {"--- " + nodeA + "\n--- " + podX, both},
		"lines that end in CRLF":             {"apiVersion: v1\r\nkind: Node\r\nmetadata:\r\n  name: a\r\n---\r\n" + podX, both},
		"a byte order mark":                  {"\uFEFF" + nodeA + "\n---\n" + podX, both},
		"a list":                             {"apiVersion: v1\nkind: List\nitems:\n- " + nodeA + "\n- " + podX, both},
		"a list within a list":               {"kind: List\napiVersion: v1\nitems:\n- kind: List\n  apiVersion: v1\n  items: [" + podX + "]\n- " + nodeA, both},
		"a typed list":                       {"apiVersion: v1\nkind: NodeList\nitems:\n- metadata: {name: a}\n---\n" + podX, both},
		"an empty typed list":                {"apiVersion: v1\nkind: PersistentVolumeList\nitems: []\n---\n" + nodeA, "Node a"},
		"JSON":                               {jsonNode, "Node a"},
		"JSON with tabs":                     {strings.ReplaceAll(jsonNode, ", ", ",\n\t\t"), "Node a"},
		"a stream of JSON":                   {jsonNode + "\n" + jsonPod, both},
		"a list in JSON":                     {`{"kind": "List", "items": [` + jsonNode + `,` + jsonPod + `], "apiVersion": "v1"}`, both},
		"JSON, then YAML":                    {jsonNode + "\n---\n" + podX, both},
		"anchors and merges":                 {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: &m {name: a, labels: {k: v}}}\n- {apiVersion: v1, kind: Pod, metadata: {<<: *m, name: x, namespace: shop}, spec: {containers: [{name: c, image: i}]}}", both},
		"a namespaced object without one":    {strings.Replace(podX, ", namespace: shop", "", 1), "Pod default/x"},
		"kinds that nobody reads":            {nodeA + "\n---\n{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}}\n---\n{apiVersion: v1, kind: Event}", "Node a"},
		"a PodGroup of scheduler-plugins":    {"{apiVersion: scheduling.x-k8s.io/v1alpha1, kind: PodGroup, metadata: {name: g, namespace: ml}, spec: {minMember: 4}}", "PodGroup ml/g"},
		"an alpha version that nobody knows": {nodeA + "\n---\n{apiVersion: scheduling.k8s.io/v1alpha9, kind: PodGroup, metadata: {name: g}}", "Node a"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(names(mustRead(t, tc.input)), "\n"); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestWhatIsLeftOutIsCounted(t *testing.T) {
	s := mustRead(t, text(`
		`+nodeA+`
		---
		{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {p: aHVudGVyMg==}}
		---
		{apiVersion: v1, kind: SecretList, items: [{metadata: {name: t}}, {metadata: {name: u}}]}
		---
		{apiVersion: v1, kind: ConfigMap, data: [wrong]}
		---
		{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
		---
		{apiVersion: example.com/v1, kind: Widget}
		---
		{apiVersion: v1, kind: Pod, metadata: {name: ended}, spec: {containers: [{name: c, image: i}]}, status: {phase: Succeeded}}
		---
		{apiVersion: v1, kind: Pod, metadata: {name: lost}, spec: {nodeName: gone, containers: [{name: c, image: i}]}}
		---
		{apiVersion: v1, kind: Pod, metadata: {name: leaving, deletionTimestamp: 2026-01-01T00:00:00Z, deletionGracePeriodSeconds: 1}, spec: {nodeName: a, containers: [{name: c, image: i}]}}
		---
		{apiVersion: v1, kind: Pod, metadata: {name: newer}, spec: {nodeName: a, priorityClassName: vital, telepathy: true, containers: [{name: c, image: i, mood: {}}, {name: d, image: i, mood: {}}]}}
	`))
	want := []string{
		"1 ConfigMap was skipped unread",
		"3 Secrets were skipped unread",
		"1 object of kind Deployment (apps/v1) was left out: pods are read, not made; to make them, add them",
		"1 object of kind Widget (example.com/v1) was left out: no scheduler reads them",
		"3 fields that this build does not know, such as spec.containers.mood of Pod",
		"1 pod that has ended was left out",
		"1 pod was left out: its node is not there (gone)",
		"1 pod is being deleted and still holds its place",
		"1 namespace is not there and stands without labels (default)",
		"1 pod names PriorityClass vital, which is not there: priority 0",
	}
	if diff := cmp.Diff(want, s.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Node a", "Pod default/leaving", "Pod default/newer"}, names(s)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestErrorsNameFileLineObjectAndField(t *testing.T) {
	const head = "# a comment\n" + nodeA + "\n---\n"
	const pod = head + "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  namespace: shop\nspec:\n"
	const containers = "  containers:\n  - name: c\n    image: i\n"
	for name, tc := range map[string]struct{ input, want string }{
		"a tab":                            {pod + "\tcontainers: []\n", "standard input:10: this is not YAML: found character that cannot start any token (a tab does not indent)"},
		"half a quoted word":               {pod + "  nodeName: \"a\n", "standard input:10: this is not YAML: found unexpected end of stream"},
		"half a flow":                      {head + "{apiVersion: v1, kind: Pod,\n metadata: {name: x", "standard input:5: this is not YAML: did not find expected ',' or '}'"},
		"a word without its value":         {pod + containers + "  restartPol", "standard input:13: this is not YAML: could not find expected ':'"},
		"a file that ends too early":       {pod + "  contain", "standard input:9: Pod shop/x: spec: want a map, got a string"},
		"an indentation that fits nowhere": {pod + containers + " restartPolicy: Never\n", "standard input:13: this is not YAML: did not find expected key"},
		"two maps on a line":               {pod + "  a: b: c\n", "standard input:10: this is not YAML: mapping values are not allowed in this context"},
		"an alias of nothing":              {pod + "  nodeName: *nobody\n", "standard input:10: this is not YAML: an alias without its anchor"},
		"words after the document":         {head + "{apiVersion: v1, kind: List, items: []}\nmore: words\n", "standard input:5: this is not YAML: did not find expected <document start>"},
		"a circle":                         {head + "apiVersion: v1\nkind: Pod\nmetadata: &m\n  labels: *m\n", "standard input:"},
		"a key twice":                      {pod + containers + "  nodeName: a\n  nodeName: b\n", "standard input:14: a key is there twice"},
		"half of JSON":                     {"{\"kind\": \"Node\",\n \"apiVersion\": \"v1\",\n \"metadata\": {", "standard input:3: the text ends within a JSON value"},
		"wrong JSON":                       {"{\"kind\": \"Node\",\n \"apiVersion\": v1\n}", "standard input:2: this is not JSON"},
		"JSON with a key twice":            {`{"apiVersion": "v1", "kind": "Node",` + "\n" + `"metadata": {"name": "a",` + "\n" + `"name": "b"}}`, "standard input:2: Node b: metadata.name: a key is there twice"},
		"a word alone":                     {"hello\n", "standard input:1: want an object with apiVersion and kind"},
		"no kind":                          {head + "metadata: {name: x}\n", "standard input:4: an object without kind"},
		"no version":                       {head + "kind: Pod\n", "standard input:4: an object without apiVersion"},
		"an item without kind":             {"apiVersion: v1\nkind: List\nitems:\n- metadata: {}\n", "standard input:4: an object without kind"},
		"a list without items":             {"apiVersion: v1\nkind: PodList\n", "standard input:1: a list without items"},
		"a version that nobody knows":      {"{apiVersion: resource.k8s.io/v9, kind: ResourceClaim}", "standard input:1: ResourceClaim in version resource.k8s.io/v9, of which this build knows resource.k8s.io/v1"},
		"a version that is none":           {"{apiVersion: a/b/c, kind: Pod}", `standard input:1: apiVersion "a/b/c": want version or group/version`},
		"a map in the place of a list":     {pod + "  containers:\n    name: c\n", "standard input:10: Pod shop/x: spec.containers: want a list, got a map"},
		"a word in the place of a number":  {pod + containers + "  priority: high\n", "standard input:13: Pod shop/x: spec.priority: want a whole number, got a string"},
		"a number in the place of a word":  {pod + "  containers:\n  - name: c\n    image: i\n  - name: 7\n    image: i\n", "standard input:13: Pod shop/x: spec.containers[1].name: want a string, got a number"},
		"a quantity that is none":          {pod + containers + "  - name: d\n    image: i\n    resources:\n      requests:\n        memory: 1Gi\n        cpu: four\n", `standard input:18: Pod shop/x: spec.containers[1].resources.requests.cpu: "four": quantities must match the regular expression`},
		"no containers":                    {pod + "  nodeName: a\n", "standard input:9: Pod shop/x: spec.containers: required value"},
		"less than nothing":                {pod + containers + "    resources:\n      requests: {cpu: -1}\n", `standard input:14: Pod shop/x: spec.containers[0].resources.requests[cpu]: invalid value "-1": must be greater than or equal to 0`},
		"no name":                          {head + "{apiVersion: v1, kind: Node, metadata: {labels: {}}}", "standard input:4: Node: metadata.name: missing"},
		"a node in a namespace":            {"apiVersion: v1\nkind: Node\nmetadata:\n  name: a\n  namespace: b\n", `standard input:5: Node b/a: metadata.namespace: "b", but a Node is in no namespace`},
		"an object twice":                  {head + podX + "\n---\n" + podX, "standard input:6: Pod shop/x is there already, at standard input:4"},
		"a claim without requests":         {"apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {name: c}\nspec:\n  devices:\n    requests:\n    - name: r\n", "standard input:7: ResourceClaim default/c: spec.devices.requests[0]: required value"},
		"nothing":                          {"# nothing\n", "standard input: there is no object"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Read([]string{"-"}, strings.NewReader(tc.input))
			if err == nil {
				t.Fatalf("no error, but %v", names(s))
			}
			if !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if s != nil {
				t.Error("there is a snapshot all the same")
			}
		})
	}
}

func TestFilesAndFolders(t *testing.T) {
	dir := files(t, map[string]string{
		"b.yaml": nodeA, "sub/deep/a.yml": podX, "c.json": `{"apiVersion":"v1","kind":"Node","metadata":{"name":"b"}}`,
		"README.md": "not: [read", "none/x.txt": "",
	})
	s, err := Read([]string{dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Node a", "Node b", "Pod shop/x"}, names(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "3 files of " + dir; s.Source != want {
		t.Errorf("source %q, want %q", s.Source, want)
	}
	for name, tc := range map[string]struct {
		paths []string
		want  string
	}{
		"no path":               {nil, "no file to read"},
		"a folder without any":  {[]string{filepath.Join(dir, "none")}, "the folder has no file *.yaml, *.yml or *.json"},
		"a file that is not":    {[]string{filepath.Join(dir, "nope.yaml")}, "no such file"},
		"a file and its folder": {[]string{dir, filepath.Join(dir, "b.yaml")}, "b.yaml is given twice"},
		"no standard input":     {[]string{"-"}, "there is no standard input"},
		"twice in two files":    {[]string{filepath.Join(dir, "b.yaml"), filepath.Join(dir, "sub"), filepath.Join(files(t, map[string]string{"z.yaml": "\n" + nodeA}), "z.yaml")}, "z.yaml:2: Node a is there already, at "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(tc.paths, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestManyErrorsAreReportedTogether(t *testing.T) {
	var input strings.Builder
	for range 25 {
		input.WriteString("---\n{apiVersion: v1, kind: Node}\n")
	}
	_, err := Read([]string{"-"}, strings.NewReader(input.String()))
	if err == nil || strings.Count(err.Error(), "metadata.name: missing") != mostErrors || !strings.HasSuffix(err.Error(), "and 15 more errors") {
		t.Errorf("got %v", err)
	}
}

func TestObjectsArriveAsAnAPIServerWouldHaveThem(t *testing.T) {
	s := mustRead(t, text(`
		{apiVersion: v1, kind: Node, metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: x}, managedFields: [{manager: kubectl}]}}
		---
		{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 700, preemptionPolicy: Never}
		---
		{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: usual}, value: 5, globalDefault: true}
		---
		{apiVersion: v1, kind: Pod, metadata: {name: first}, spec: {priorityClassName: high, containers: [{name: c, image: i, resources: {limits: {cpu: 2}}}]}}
		---
		{apiVersion: v1, kind: Pod, metadata: {name: second}, spec: {containers: [{name: c, image: i}]}}
		---
		{apiVersion: v1, kind: Pod, metadata: {name: system}, spec: {priorityClassName: system-node-critical, containers: [{name: c, image: i}]}}
	`))
	node := objectsOf[*v1.Node](s)[0]
	if node.Annotations != nil || node.ManagedFields != nil {
		t.Errorf("what kubectl noted is kept: %v %v", node.Annotations, node.ManagedFields)
	}
	if again := objectsOf[*v1.Node](mustRead(t, nodeA))[0]; len(node.UID) != 36 || node.UID != again.UID || node.UID == s.Pods[0].UID || node.Kind != "Node" || node.APIVersion != "v1" {
		t.Errorf("UID %q, kind %s %s", node.UID, node.APIVersion, node.Kind)
	}
	first := s.Pods[0]
	if cpu := first.Spec.Containers[0].Resources.Requests.Cpu().String(); cpu != "2" {
		t.Errorf("requests %s cpu, want its limit", cpu)
	}
	if first.Spec.SchedulerName != v1.DefaultSchedulerName || first.Spec.RestartPolicy != v1.RestartPolicyAlways || len(first.Spec.Tolerations) > 0 || first.Status.Phase != v1.PodPending {
		t.Errorf("defaults: %+v", first.Spec)
	}
	var priorities []int32
	for _, pod := range s.Pods {
		priorities = append(priorities, *pod.Spec.Priority)
	}
	if diff := cmp.Diff([]int32{700, 5, 2000001000}, priorities); diff != "" {
		t.Errorf("priorities (-want +got):\n%s", diff)
	}
	if *first.Spec.PreemptionPolicy != v1.PreemptNever {
		t.Errorf("preemption policy %s", *first.Spec.PreemptionPolicy)
	}
}

func TestOlderVersionsAreConverted(t *testing.T) {
	s := mustRead(t, text(`
		{apiVersion: resource.k8s.io/v1beta1, kind: ResourceClaim, metadata: {name: c}, spec: {devices: {requests: [{name: r, deviceClassName: gpu}]}}}
		---
		{apiVersion: resource.k8s.io/v1beta2, kind: ResourceSlice, metadata: {name: s}, spec: {driver: d.example, nodeName: a, pool: {name: a, generation: 1, resourceSliceCount: 1}, devices: [{name: gpu-0}]}}
	`))
	claim := objectsOf[*resourceapi.ResourceClaim](s)[0]
	if got := claim.Spec.Devices.Requests[0].Exactly; got == nil || got.DeviceClassName != "gpu" || got.Count != 1 || claim.APIVersion != "resource.k8s.io/v1" {
		t.Errorf("claim %+v in %s", claim.Spec, claim.APIVersion)
	}
	if slice := objectsOf[*resourceapi.ResourceSlice](s)[0]; slice.Spec.Devices[0].Name != "gpu-0" {
		t.Errorf("slice %+v", slice.Spec)
	}
}

func TestTheOrderOfFilesDoesNotMatter(t *testing.T) {
	aged := func(name, created string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + ", creationTimestamp: " + created + "}, spec: {containers: [{name: c, image: i}]}}"
	}
	documents := []string{nodeA, podX, strings.ReplaceAll(nodeA, "name: a", "name: b"), aged("young", "2026-03-01T00:00:00Z"), aged("old", "2025-03-01T00:00:00Z")}
	first := mustRead(t, strings.Join(documents, "\n---\n"))
	slicesReverse := []string{documents[4], documents[3], documents[2], documents[1], documents[0]}
	second := mustRead(t, strings.Join(slicesReverse, "\n---\n"))
	if diff := cmp.Diff(names(first), names(second)); diff != "" {
		t.Errorf("(-forward +backward):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Node a", "Node b", "Pod default/old", "Pod default/young", "Pod shop/x"}, names(first)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What an API server has accepted is judged as an update of itself: a new pod with
// ephemeral containers would be refused, one that runs is not.
func TestWhatAnAPIServerHasAcceptedStaysAccepted(t *testing.T) {
	input := "{apiVersion: v1, kind: Pod, metadata: {name: x, %s}, spec: {containers: [{name: c, image: i, imagePullPolicy: Always, terminationMessagePolicy: File}], ephemeralContainers: [{name: e, image: i, imagePullPolicy: Always, terminationMessagePolicy: File}]}}"
	mustRead(t, strings.Replace(input, "%s", `uid: u, resourceVersion: "7"`, 1))
	if _, err := Read([]string{"-"}, strings.NewReader(strings.Replace(input, "%s", "uid: u", 1))); err == nil || !strings.Contains(err.Error(), "spec.ephemeralContainers: forbidden") {
		t.Errorf("got %v", err)
	}
	admin := "{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: c, %s}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu, adminAccess: true}}]}}}"
	mustRead(t, strings.Replace(admin, "%s", "uid: u", 1))
	mustRead(t, strings.Replace(admin, "%s", `uid: u, resourceVersion: "7"`, 1))
}

func TestSamplesOfDriversAreRead(t *testing.T) {
	s, err := Read([]string{filepath.Join(testkit.RepoRoot(t), "internal/samples/gpu/nodes-nvidia.yaml"), filepath.Join(testkit.RepoRoot(t), "internal/samples/gpu/resourceslices-a100-80gb-8x-dynamic-mig.yaml")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(objectsOf[*v1.Node](s)) == 0 || len(objectsOf[*resourceapi.ResourceSlice](s)) == 0 {
		t.Errorf("only %v", names(s))
	}
}
