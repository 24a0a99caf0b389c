package stack

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/keyutil"
)

const (
	// frontProxyName is the only name the API server accepts from a proxy that speaks for a user.
	frontProxyName = "front-proxy-client"
	// certLifetime outlasts any stack; the keys die with the folder.
	certLifetime = 365 * 24 * time.Hour
)

// credentials are the keys and certificates of one stack. File names are inside its folder.
type credentials struct {
	caPEM, adminCertPEM, adminKeyPEM []byte

	caFile                                string
	servingCertFile, servingKeyFile       string
	frontProxyCAFile                      string
	frontProxyCertFile, frontProxyKeyFile string
	serviceAccountKeyFile                 string
}

// newCredentials makes two authorities (clients and servers; front proxies) and what they sign.
func newCredentials(dir string) (*credentials, error) {
	dir = filepath.Join(dir, "pki")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	w := &keyWriter{dir: dir}
	c := &credentials{}

	ca := w.authority("plimsoll-ca")
	c.caFile = w.file("ca.crt", ca.certPEM())
	c.caPEM = ca.certPEM()

	serving := w.issue(ca, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
	})
	c.servingCertFile = w.file("apiserver.crt", serving.certPEM())
	c.servingKeyFile = w.file("apiserver.key", w.keyPEM(serving))

	// system:masters is allowed everything without any role, also before the roles exist.
	admin := w.issue(ca, clientTemplate("plimsoll-admin", "system:masters"))
	c.adminCertPEM, c.adminKeyPEM = admin.certPEM(), w.keyPEM(admin)

	// An authority of its own: a client certificate must never be able to pose as a front proxy.
	proxyCA := w.authority("plimsoll-front-proxy-ca")
	c.frontProxyCAFile = w.file("front-proxy-ca.crt", proxyCA.certPEM())
	proxy := w.issue(proxyCA, clientTemplate(frontProxyName))
	c.frontProxyCertFile = w.file("front-proxy.crt", proxy.certPEM())
	c.frontProxyKeyFile = w.file("front-proxy.key", w.keyPEM(proxy))

	// Of this one only the key counts.
	c.serviceAccountKeyFile = w.file("service-account.key", w.keyPEM(w.authority("service-account")))
	return c, w.err
}

func clientTemplate(user string, groups ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// identity is a private key with its certificate.
type identity struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func (i *identity) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})
}

// keyWriter makes keys and writes files until the first failure, which it keeps: after one, its methods
// return empty values and do nothing, so that the caller checks once.
type keyWriter struct {
	dir string
	err error
}

// authority makes a self-signed certificate that may sign others.
func (w *keyWriter) authority(name string) *identity {
	return w.issue(nil, &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageCertSign,
		IsCA:     true,
	})
}

// issue makes a key and has parent sign the template, or the key itself where parent is nil.
func (w *keyWriter) issue(parent *identity, template *x509.Certificate) *identity {
	if w.err != nil {
		return &identity{cert: &x509.Certificate{}}
	}
	id, err := issue(parent, template)
	if err != nil {
		w.err = fmt.Errorf("issuing certificate for %s: %w", template.Subject.CommonName, err)
		return &identity{cert: &x509.Certificate{}}
	}
	return id
}

func issue(parent *identity, template *x509.Certificate) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, err
	}
	// Backdated, for clocks that step back while the stack runs.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(certLifetime)
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true

	signer := &identity{key: key, cert: template}
	if parent != nil {
		signer = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &identity{key: key, cert: cert}, nil
}

func (w *keyWriter) keyPEM(i *identity) []byte {
	if w.err != nil {
		return nil
	}
	data, err := keyutil.MarshalPrivateKeyToPEM(i.key)
	if err != nil {
		w.err = fmt.Errorf("encoding key of %s: %w", i.cert.Subject.CommonName, err)
	}
	return data
}

// file writes one file for the owner's eyes and returns its path.
func (w *keyWriter) file(name string, data []byte) string {
	path := filepath.Join(w.dir, name)
	if w.err == nil {
		w.err = os.WriteFile(path, data, 0o600)
	}
	return path
}

// WriteKubeconfig writes a kubeconfig with the administrator's credentials inline, usable by kubectl as
// long as the stack runs, readable by its owner only. It replaces an existing file whole.
func (s *Stack) WriteKubeconfig(path string) error {
	const name = "plimsoll"
	data, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			name: {Server: s.config.Host, CertificateAuthorityData: s.certs.caPEM},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			name: {ClientCertificateData: s.certs.adminCertPEM, ClientKeyData: s.certs.adminKeyPEM},
		},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	})
	if err != nil {
		return fmt.Errorf("encoding kubeconfig: %w", err)
	}
	// A new file renamed over the old: the mode of an existing file would otherwise survive.
	tmp, err := os.CreateTemp(filepath.Dir(path), ".kubeconfig-") // mode 0600
	if err != nil {
		return fmt.Errorf("writing kubeconfig: %w", err)
	}
	_, err = tmp.Write(data)
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("writing kubeconfig: %w", err)
	}
	return nil
}
