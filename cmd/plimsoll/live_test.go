package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"plimsoll.dev/scheduler/internal/placement"
	"plimsoll.dev/scheduler/internal/stack"
)

// TestALiveClusterIsSimulatedByKubeconfigAndContext reads a real API server the way a
// user would, and leaves it as it is.
func TestALiveClusterIsSimulatedByKubeconfigAndContext(t *testing.T) {
	dir, err := os.MkdirTemp("", "pl") // t.TempDir is too long for a unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	live, err := stack.Start(t.Context(), stack.Options{Dir: dir, NoFakeNodes: true, NoControllers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := live.Stop(); err != nil {
			t.Error(err)
		}
	})
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
	if _, err := live.Apply(t.Context(), []byte(namespace+smallCluster)); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "config")
	if err := live.WriteKubeconfig(kubeconfig); err != nil {
		t.Fatal(err)
	}
	context := addContexts(t, kubeconfig)

	for name, flags := range map[string][]string{
		"the context that is current": {"--kubeconfig", kubeconfig},
		"a context by its name":       {"--kubeconfig", kubeconfig, "--context", context},
	} {
		stdout, stderr, err := execute(t, append([]string{"simulate", "--engine", "memory", "--scheduler", "plimsoll", "-o", "json"}, flags...)...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, stderr)
		}
		var out placement.Simulation
		if err := json.Unmarshal([]byte(stdout), &out); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, stdout)
		}
		var got []string
		for _, p := range out.Results[0].Pods {
			got = append(got, p.Name+" "+p.Phase+" "+p.Node)
		}
		if want := []string{"huge Pending ", "web Running eu-a-01"}; !slices.Equal(got, want) || !strings.Contains(out.Source, context) {
			t.Errorf("%s: pods %q of %q, want %q of context %s", name, got, out.Source, want, context)
		}
		if strings.Contains(stdout+stderr, "hunter2") || strings.Contains(stdout+stderr, "aHVudGVyMg==") {
			t.Errorf("%s: the Secret is told", name)
		}
	}
	if _, stderr, err := execute(t, "simulate", "--kubeconfig", kubeconfig, "--context", "staging"); err == nil || !strings.Contains(err.Error()+stderr, `"staging"`) {
		t.Errorf("a context that is not there: error %v\n%s", err, stderr)
	}
	if _, _, err := execute(t, "explain", "huge", "--kubeconfig", kubeconfig, "--context", "nowhere"); err == nil || !strings.Contains(err.Error(), "reading") {
		t.Errorf("a server that does not answer: error %v", err)
	}
}

// addContexts adds a context with a server that does not answer, and returns the name of
// the one that is current.
func addContexts(t *testing.T, kubeconfig string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	nowhere, cluster := current.DeepCopy(), config.Clusters[current.Cluster].DeepCopy()
	nowhere.Cluster, cluster.Server = "nowhere", "https://127.0.0.1:1"
	config.Contexts["nowhere"], config.Clusters["nowhere"] = nowhere, cluster
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return config.CurrentContext
}
