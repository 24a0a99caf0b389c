// Command scheduler is kube-scheduler with Plimsoll's plugins: the same flags,
// endpoints and configuration, and more plugins to name in a profile.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-scheduler/app"

	_ "plimsoll.dev/scheduler/internal/kubeversion" // --version
	"plimsoll.dev/scheduler/pkg/plugins"
)

func main() {
	os.Exit(cli.Run(app.NewSchedulerCommand(plugins.Options(plugins.Shared{})...)))
}
