package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	basecompatibility "k8s.io/component-base/compatibility"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/apis/scheduling"

	_ "plimsoll.dev/scheduler/internal/kubeversion" // what /version says
)

const (
	// serviceCIDR is where Services get their addresses; nothing routes to them.
	serviceCIDR = "10.96.0.0/16"
	// serviceAccountIssuer goes into service account tokens, which only this server ever checks.
	serviceAccountIssuer = "https://kubernetes.default.svc"
	// protobuf is what in-process clients of built-in types speak; it is several times cheaper than JSON.
	protobuf = "application/vnd.kubernetes.protobuf"
	// shutdownGrace is what requests in flight get once a stop has begun. Our own clients are gone by
	// then; watches of others never end by themselves, so waiting for them longer would be pointless.
	shutdownGrace = 200 * time.Millisecond
	// hookGrace bounds the wait for start hooks of a server that is to stop before it is ready.
	hookGrace = 20 * time.Second
)

// apiServer is a kube-apiserver with CRDs and aggregation, serving on a loopback port.
type apiServer struct {
	listener *trackingListener
	cancel   context.CancelFunc
	// done is closed when Run has returned; runErr may be read from then on.
	done   <-chan struct{}
	runErr error
	// ready reports nil once every start hook is through.
	ready func(ctx context.Context) error
}

// startAPIServer starts kube-apiserver, makes the administrator's clients, and waits until it is ready.
func (s *Stack) startAPIServer(ctx context.Context, o Options) error {
	listener, err := listenOnLoopback()
	if err != nil {
		return err
	}
	// Harmless where the server has closed it already; needed where it never got that far.
	s.onStop("listener", func(context.Context) error { _ = listener.Close(); return nil })

	opts, err := s.apiServerOptions(listener, o.APIServerFlags)
	if err != nil {
		return err
	}
	// Detached: a running server lives until Stop, not until the caller's context ends.
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	server, err := newAPIServer(runCtx, opts)
	if err != nil {
		cancel()
		return err
	}
	prepared, err := server.PrepareRun()
	if err != nil {
		cancel()
		server.GenericAPIServer.Destroy()
		return err
	}

	s.config = s.newRESTConfig(listener)
	if s.client, err = kubernetes.NewForConfig(s.componentConfig("plimsoll")); err != nil {
		cancel()
		server.GenericAPIServer.Destroy()
		return err
	}
	s.api = &apiServer{listener: listener, cancel: cancel, ready: s.isReady}
	s.api.done = inBackground(func() { s.api.runErr = prepared.Run(runCtx) })
	s.onStop("kube-apiserver", s.api.stop)
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	s.applier, err = newApplier(s)
	return err
}

// newAPIServer builds the chain of servers. It has no way back: a fault found only here, such as a flag
// that names a file that is not there, leaves some dozens of goroutines, mostly etcd clients, that upstream
// gives no handle to stop; they end with the process. Faults in flags as such are found before.
func newAPIServer(ctx context.Context, opts *options.ServerRunOptions) (*aggregatorapiserver.APIAggregator, error) {
	completedOptions, err := opts.Complete(ctx)
	if err != nil {
		return nil, fmt.Errorf("completing options: %w", err)
	}
	if errs := completedOptions.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("validating options: %w", utilerrors.NewAggregate(errs))
	}
	config, err := app.NewConfig(completedOptions)
	if err != nil {
		return nil, fmt.Errorf("building configuration: %w", err)
	}
	completed, err := config.Complete()
	if err != nil {
		return nil, fmt.Errorf("completing configuration: %w", err)
	}
	server, err := app.CreateServerChain(completed)
	if err != nil {
		return nil, fmt.Errorf("creating server chain: %w", err)
	}
	// Upstream would wait a whole request timeout, a minute, for connections to go idle.
	server.GenericAPIServer.ShutdownTimeout = 2 * time.Second
	return server, nil
}

// apiServerOptions are upstream's defaults, made local, plus the caller's flags.
func (s *Stack) apiServerOptions(listener *trackingListener, flags []string) (*options.ServerRunOptions, error) {
	registry, err := newGlobalsRegistry()
	if err != nil {
		return nil, err
	}
	o := options.NewServerRunOptions()
	// Before Flags: the flag set is bound to whatever registry the options hold.
	o.GenericServerRunOptions.ComponentGlobalsRegistry = registry
	named := o.Flags()

	o.SecureServing.Listener = listener
	o.SecureServing.BindAddress = listener.address().IP
	o.SecureServing.BindPort = listener.address().Port
	o.GenericServerRunOptions.AdvertiseAddress = listener.address().IP
	o.Etcd.StorageConfig.Transport.ServerList = []string{s.store.endpoint}
	o.Etcd.StorageConfig.CompactionInterval = 0 // history is kept: a stack is too short-lived to outgrow it
	o.ServiceClusterIPRanges = serviceCIDR
	// The endpoints of the kubernetes service would be kept up to date, also while shutting down.
	o.EndpointReconcilerType = "none"
	o.AllowPrivileged = true
	o.Authorization.Modes = []string{"Node", "RBAC"}
	// Both wait for controllers that are absent: one makes service accounts, the other untaints nodes.
	o.Admission.GenericAdmission.DisablePlugins = []string{"ServiceAccount", "TaintNodesByCondition"}
	s.certs.applyTo(o)

	fs := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	for _, f := range named.FlagSets {
		fs.AddFlagSet(f)
	}
	if err := fs.Parse(flags); err != nil {
		return nil, fmt.Errorf("parsing flags: %w", err)
	}
	if err := registry.Set(); err != nil {
		return nil, fmt.Errorf("setting feature gates: %w", err)
	}
	return o, nil
}

// newGlobalsRegistry copies the process-wide feature gates and versions, so that two servers in one
// process neither share nor fight over them.
func newGlobalsRegistry() (basecompatibility.ComponentGlobalsRegistry, error) {
	gates := utilfeature.DefaultMutableFeatureGate.DeepCopy()
	version := compatibility.DefaultKubeEffectiveVersionForTest()
	version.SetEmulationVersion(gates.EmulationVersion())
	version.SetMinCompatibilityVersion(gates.MinCompatibilityVersion())
	registry := basecompatibility.NewComponentGlobalsRegistry()
	if err := registry.Register(basecompatibility.DefaultKubeComponent, version, gates); err != nil {
		return nil, fmt.Errorf("copying feature gates: %w", err)
	}
	return registry, nil
}

// applyTo points the server at the stack's own keys: its built-in defaults lie outside the folder.
func (c *credentials) applyTo(o *options.ServerRunOptions) {
	o.SecureServing.ServerCert.CertKey.CertFile = c.servingCertFile
	o.SecureServing.ServerCert.CertKey.KeyFile = c.servingKeyFile
	o.SecureServing.ServerCert.CertDirectory = ""
	o.Authentication.ClientCert.ClientCA = c.caFile

	o.Authentication.RequestHeader.ClientCAFile = c.frontProxyCAFile
	o.Authentication.RequestHeader.AllowedNames = []string{frontProxyName}
	o.Authentication.RequestHeader.UsernameHeaders = []string{"X-Remote-User"}
	o.Authentication.RequestHeader.GroupHeaders = []string{"X-Remote-Group"}
	o.Authentication.RequestHeader.ExtraHeaderPrefixes = []string{"X-Remote-Extra-"}
	o.ProxyClientCertFile = c.frontProxyCertFile
	o.ProxyClientKeyFile = c.frontProxyKeyFile

	o.ServiceAccountSigningKeyFile = c.serviceAccountKeyFile
	o.Authentication.ServiceAccounts.KeyFiles = []string{c.serviceAccountKeyFile}
	o.Authentication.ServiceAccounts.Issuers = []string{serviceAccountIssuer}
}

// newRESTConfig is the administrator's client configuration. Keys are inline rather than in files, which
// client-go would watch for rotation for the rest of the process's life.
func (s *Stack) newRESTConfig(listener net.Listener) *rest.Config {
	return &rest.Config{
		Host: "https://" + listener.Addr().String(),
		TLSClientConfig: rest.TLSClientConfig{
			CAData: s.certs.caPEM, CertData: s.certs.adminCertPEM, KeyData: s.certs.adminKeyPEM,
		},
		QPS:                -1, // no limit: priority and fairness in the server is limit enough
		DisableCompression: true,
		WarningHandler:     rest.NoWarnings{},
	}
}

// componentConfig is a client configuration for one of our own components.
func (s *Stack) componentConfig(userAgent string) *rest.Config {
	config := rest.AddUserAgent(s.RESTConfig(), userAgent)
	config.ContentType = protobuf
	config.AcceptContentTypes = protobuf + ",application/json"
	return config
}

// isReady reports nil once the server calls itself ready, which includes all its start hooks.
func (s *Stack) isReady(ctx context.Context) error {
	return s.client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// waitReady waits until the server is ready and what it creates by itself is there.
func (s *Stack) waitReady(ctx context.Context) error {
	checks := []func(context.Context) error{s.isReady}
	for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem} {
		checks = append(checks, func(ctx context.Context) error {
			_, err := s.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
			return err
		})
	}
	for _, name := range []string{scheduling.SystemClusterCritical, scheduling.SystemNodeCritical} {
		checks = append(checks, func(ctx context.Context) error {
			_, err := s.client.SchedulingV1().PriorityClasses().Get(ctx, name, metav1.GetOptions{})
			return err
		})
	}
	for _, check := range checks {
		if err := s.api.waitFor(ctx, check); err != nil {
			return fmt.Errorf("waiting to be ready: %w", err)
		}
	}
	return nil
}

// waitFor polls until the check passes, the server ends, or the context does; then it says what the
// check said last.
func (a *apiServer) waitFor(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		last := check(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-a.done:
			return fmt.Errorf("server ended: %w", errors.Join(a.runErr, last))
		case <-ctx.Done():
			return fmt.Errorf("%w (last answer: %w)", context.Cause(ctx), last)
		}
	}
}

// stop shuts the server down: gracefully for shutdownGrace, then by closing its connections.
func (a *apiServer) stop(ctx context.Context) error {
	defer a.cancel()
	// Start hooks of a server that goes away beneath them end the process (klog.Fatal in upstream's
	// runPostStartHook), so a server that is not ready yet gets the time to become so.
	hookCtx, cancel := context.WithTimeout(ctx, hookGrace)
	_ = a.waitFor(hookCtx, a.ready)
	cancel()

	a.cancel()
	select {
	case <-a.done:
	case <-time.After(shutdownGrace):
	}
	err := a.closeConnectionsUntilDone(ctx)
	a.listener.closeConnections()
	if err != nil {
		return err
	}
	return a.runErr
}

// closeConnectionsUntilDone closes what is open, again and again, as clients with a watch reconnect for
// as long as the port listens.
func (a *apiServer) closeConnectionsUntilDone(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-a.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			a.listener.closeConnections()
		}
	}
}
