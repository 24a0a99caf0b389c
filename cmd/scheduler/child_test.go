package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	authv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"plimsoll.dev/scheduler/internal/fleet"
	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/stack"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/manifests"
	"plimsoll.dev/scheduler/pkg/plugins/archaware"
)

// clusterUnderTest is a mixed cluster on which manifests/base is installed.
type clusterUnderTest struct {
	*testing.T
	stack  *stack.Stack
	client kubernetes.Interface
}

func startCluster(t *testing.T) *clusterUnderTest {
	t.Helper()
	s, err := stack.Start(t.Context(), stack.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	mixed, err := fleet.Mixed(fleet.MinNodes)
	if err != nil {
		t.Fatal(err)
	}
	if err := mixed.Create(t.Context(), s.Client()); err != nil {
		t.Fatal(err)
	}
	base, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(testkit.RepoRoot(t), "manifests/base"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := base.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	return &clusterUnderTest{t, s, s.Client()}
}

// kubeconfig logs in as the shipped ServiceAccount.
func (c *clusterUnderTest) kubeconfig() string {
	c.Helper()
	const user = "plimsoll-scheduler"
	token, err := c.client.CoreV1().ServiceAccounts("plimsoll-system").CreateToken(c.Context(), user, &authv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		c.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	rest := c.stack.RESTConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: rest.Host, CertificateAuthorityData: rest.CAData, CertificateAuthority: rest.CAFile}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	path := filepath.Join(c.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		c.Fatal(err)
	}
	return path
}

// startChild runs the command with the shipped configuration, changed by edit.
func (c *clusterUnderTest) startChild(name string, edit func(map[string]any), args ...string) *child {
	c.Helper()
	var config map[string]any
	// No test asks registries outside.
	shipped, err := schedconfig.WithArgs(manifests.SchedulerConfig, archaware.Name, map[string]any{"inspect": false})
	if err != nil {
		c.Fatal(err)
	}
	if err := yaml.Unmarshal(shipped, &config); err != nil {
		c.Fatal(err)
	}
	kubeconfig := c.kubeconfig()
	config["clientConnection"] = map[string]any{"kubeconfig": kubeconfig}
	if edit != nil {
		edit(config)
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		c.Fatal(err)
	}
	path := filepath.Join(c.TempDir(), name+".yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		c.Fatal(err)
	}
	return run(c.T, append([]string{"--config=" + path, "--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig}, args...)...)
}

func setBinPackArgs(config, args map[string]any) {
	for _, pc := range config["profiles"].([]any)[0].(map[string]any)["pluginConfig"].([]any) {
		if pc := pc.(map[string]any); pc["name"] == "BinPack" {
			pc["args"] = args
		}
	}
}

// runsPod creates a pod and waits until it runs.
func (c *clusterUnderTest) runsPod(ch *child, name string) {
	c.Helper()
	pods, err := testkit.Pods(name + " cpu=1 memory=1Gi")
	if err != nil {
		c.Fatal(err)
	}
	pods[0].UID = ""
	c.runs(ch, pods[0])
}

// runsPodWithClaim does the same for a pod that claims a MIG slice, which takes
// every permission that dynamic resource allocation needs.
func (c *clusterUnderTest) runsPodWithClaim(ch *child, name string) {
	c.Helper()
	const template = `
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: slice, namespace: default}
spec: {spec: {devices: {requests: [{name: slice, exactly: {deviceClassName: mig.nvidia.com}}]}}}
`
	if _, err := c.stack.Apply(c.Context(), []byte(template)); err != nil {
		c.Fatal(err)
	}
	pods, err := testkit.Pods(name + " cpu=1 memory=1Gi")
	if err != nil {
		c.Fatal(err)
	}
	pod, slice := pods[0], "slice"
	pod.UID = ""
	pod.Spec.Tolerations = []v1.Toleration{{Key: "nvidia.com/gpu", Operator: v1.TolerationOpExists}}
	pod.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: slice, ResourceClaimTemplateName: &slice}}
	pod.Spec.Containers[0].Resources.Claims = []v1.ResourceClaim{{Name: slice}}
	c.runs(ch, pod)
}

func (c *clusterUnderTest) runs(ch *child, pod *v1.Pod) {
	c.Helper()
	if _, err := c.client.CoreV1().Pods("default").Create(c.Context(), pod, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
	eventually(c.T, ch, func() error {
		got, err := c.client.CoreV1().Pods("default").Get(c.Context(), pod.Name, metav1.GetOptions{})
		if err == nil && got.Status.Phase != v1.PodRunning {
			err = fmt.Errorf("pod %s is %s: %v", pod.Name, got.Status.Phase, got.Status.Conditions)
		}
		return err
	})
}

// child is the command as a process.
type child struct {
	*testing.T
	cmd  *exec.Cmd
	out  output
	done chan struct{}
}

// output collects what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func run(t *testing.T, args ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{T: t, cmd: exec.Command(self, args...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), asScheduler+"=1")
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.cmd.Wait(); close(c.done) }()
	t.Cleanup(c.kill)
	return c
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) log() string {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.text.String()
}

// wait returns the exit code.
func (c *child) wait() int {
	<-c.done
	return c.cmd.ProcessState.ExitCode()
}

func (c *child) kill() { c.signal(syscall.SIGKILL) }

// stop asks the process to end, as a kubelet would.
func (c *child) stop() { c.signal(syscall.SIGTERM) }

func (c *child) signal(s syscall.Signal) {
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.Error(err)
	}
	<-c.done
}
