package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"sigs.k8s.io/yaml"
)

// dump is what kubectl prints of a cluster with so many nodes and 20 pods on each.
func dump(b *testing.B, nodes int) (asJSON, asYAML []byte) {
	b.Helper()
	var items []json.RawMessage
	add := func(object string) {
		data, err := yaml.YAMLToJSON([]byte(object))
		if err != nil {
			b.Fatal(err)
		}
		items = append(items, data)
	}
	for i := range nodes {
		add(fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: node-%d, uid: n%d, resourceVersion: "1", labels: {kubernetes.io/hostname: node-%d, topology.kubernetes.io/zone: eu-1a}}, status: {allocatable: {cpu: "64", memory: 256Gi, pods: "110"}, capacity: {cpu: "64", memory: 256Gi, pods: "110"}}}`, i, i, i))
		for j := range 20 {
			add(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: pod-%d-%d, namespace: shop, uid: p%d-%d, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z", labels: {app: web}}, spec: {nodeName: node-%d, priority: 0, schedulerName: default-scheduler, restartPolicy: Always, dnsPolicy: ClusterFirst, terminationGracePeriodSeconds: 30, containers: [{name: c, image: registry.example/web:1, imagePullPolicy: IfNotPresent, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File, resources: {requests: {cpu: 250m, memory: 512Mi}, limits: {memory: 512Mi}}, env: [{name: A, value: b}], volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, emptyDir: {}}], tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}]}, status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}}`, i, j, i, j, i))
		}
	}
	list, err := json.MarshalIndent(map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, "", "    ")
	if err != nil {
		b.Fatal(err)
	}
	if asYAML, err = yaml.JSONToYAML(list); err != nil {
		b.Fatal(err)
	}
	return list, asYAML
}

// BenchmarkRead reads a cluster of 100 nodes and 2,000 pods.
func BenchmarkRead(b *testing.B) {
	asJSON, asYAML := dump(b, 100)
	for name, data := range map[string][]byte{"json": asJSON, "yaml": asYAML} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Read([]string{"-"}, bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
