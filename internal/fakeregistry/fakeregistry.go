// Package fakeregistry is a container registry in this process: go-containerregistry's
// own, over TLS on loopback, holding images of a few bytes built for whatever
// platforms one asks for. The demo and the integration tests have images
// inspected there.
package fakeregistry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"k8s.io/client-go/util/cert"

	"plimsoll.dev/scheduler/pkg/arch"
)

// Registry is a running registry.
type Registry struct {
	// Host is its address, with the port.
	Host string
	// CAFile holds the certificate to trust.
	CAFile string

	server *http.Server
	client http.RoundTripper
}

// Start starts a registry, which keeps its certificate in the folder. wrap, which
// may be nil, sees every request first.
func Start(dir string, wrap func(http.Handler) http.Handler) (*Registry, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, fmt.Errorf("making the registry's certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	r := &Registry{
		CAFile: filepath.Join(dir, "registry-ca.crt"),
		client: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}
	if err := os.WriteFile(r.CAFile, certificate, 0o600); err != nil {
		return nil, err
	}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the registry: %w", err)
	}
	r.Host = listener.Addr().String()
	r.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = r.server.ServeTLS(listener, "", "") }() // ends at Close
	return r, nil
}

// Close ends the registry and its connections.
func (r *Registry) Close() error { return r.server.Close() }

// Push stores an index of images, one for each platform. The name is the whole
// image's, docker.io/shop/api:1.4 or so: a mirror holds the images of others
// under their path.
func (r *Registry) Push(ctx context.Context, image string, platforms ...string) error {
	index := v1.ImageIndex(empty.Index)
	for _, text := range platforms {
		one, platform, err := build(image, text)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return r.PushIndex(ctx, image, index)
}

// PushSingle stores an image of one platform, without an index.
func (r *Registry) PushSingle(ctx context.Context, image, platform string) error {
	one, _, err := build(image, platform)
	if err != nil {
		return err
	}
	ref, err := r.reference(image)
	if err != nil {
		return err
	}
	return errors.Join(remote.Write(ref, one, remote.WithTransport(r.client), remote.WithContext(ctx)))
}

// PushIndex stores an index as it is.
func (r *Registry) PushIndex(ctx context.Context, image string, index v1.ImageIndex) error {
	ref, err := r.reference(image)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(ref, mutate.IndexMediaType(index, types.OCIImageIndex), remote.WithTransport(r.client), remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("pushing %s: %w", image, err)
	}
	return nil
}

// reference is the image's place in this registry.
func (r *Registry) reference(image string) (name.Reference, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, err
	}
	repository := strings.TrimPrefix(ref.Context().RepositoryStr(), "/")
	return name.ParseReference(fmt.Sprintf("%s/%s:%s", r.Host, repository, ref.Identifier()))
}

// build makes an image without layers. Its label tells it from others.
func build(image, text string) (v1.Image, *v1.Platform, error) {
	p, err := arch.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("image %s: %w", image, err)
	}
	one, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion,
		Config: v1.Config{Labels: map[string]string{"image": image}},
	})
	return one, &v1.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion}, err
}

// Digest is that of an image's index or manifest.
func (r *Registry) Digest(ctx context.Context, image string) (string, error) {
	ref, err := r.reference(image)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(ref, remote.WithTransport(r.client), remote.WithContext(ctx))
	if err != nil {
		return "", fmt.Errorf("reading the digest of %s: %w", image, err)
	}
	return d.Digest.String(), nil
}
