package speed

import (
	"fmt"
	"path/filepath"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"plimsoll.dev/scheduler/internal/stack"
)

// serveAPI is the role of API server and etcd.
func serveAPI(q questions) error {
	stack.Quiet()
	// By default a connection takes a hundred requests at a time. Where pods are bound
	// faster than that, clients dial for every other request, and handshakes take more
	// of the machine than what is measured.
	s, err := stack.Start(q.ctx, stack.Options{NoFakeNodes: true, NoControllers: true,
		APIServerFlags: []string{"--http2-max-streams-per-connection=10000"}})
	if err != nil {
		return err
	}
	kubeconfig, err := writeKubeconfig(s)
	if err == nil {
		err = q.serve(map[string]func() (answer, error){
			"ready": func() (answer, error) { return answer{Kubeconfig: kubeconfig}, nil },
		})
	}
	if stopErr := s.Stop(); err == nil {
		err = stopErr
	}
	return err
}

// writeKubeconfig writes the administrator's into the stack's folder, which Stop
// removes.
func writeKubeconfig(s *stack.Stack) (string, error) {
	const name = "admin"
	config, admin := clientcmdapi.NewConfig(), s.RESTConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: admin.Host, CertificateAuthorityData: admin.CAData}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: admin.CertData, ClientKeyData: admin.KeyData}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	path := filepath.Join(s.Dir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return path, nil
}

// newClient is a client without a rate limit that speaks protobuf.
func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	const protobuf = "application/vnd.kubernetes.protobuf"
	config.ContentType, config.AcceptContentTypes = protobuf, protobuf+",application/json"
	config.QPS = -1
	config.DisableCompression = true
	return kubernetes.NewForConfig(config)
}
