package registry

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"plimsoll.dev/scheduler/pkg/arch"
)

// acceptManifest lists the manifests we can read, best first: a registry that
// converts would otherwise pick one platform for us.
var acceptManifest = strings.Join([]string{
	string(types.OCIImageIndex), string(types.DockerManifestList),
	string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed), string(types.DockerManifestSchema1),
}, ", ")

// session asks one endpoint for one repository.
type session struct {
	client *http.Client
	// base is where the repository is: https://host/v2/library/nginx.
	base url.URL
}

// inspect reads what the reference names. Something that known knows costs no
// more than the question which digest it has, and whether we may read it.
func (s *session) inspect(ctx context.Context, ref Reference, sparse bool, known func(string) (Manifest, bool)) (Manifest, error) {
	recall := func(digest string) (Manifest, bool) {
		m, found := known(digest)
		if sparse && m.Kind == Index {
			// What a sparse endpoint has of an index is not told by its digest.
			return Manifest{}, false
		}
		return m, found
	}
	digest, err := s.head(ctx, ref)
	if err != nil {
		return Manifest{}, err
	}
	if digest != "" {
		if m, found := recall(digest); found {
			return m, nil
		}
	}
	wanted := ref
	if digest != "" {
		wanted.Digest = digest // the tag may move in between
	}
	body, err := s.get(ctx, wanted.manifestPath())
	if err != nil {
		return Manifest{}, err
	}
	body, found, err := verify(body, wanted.Digest)
	if err != nil {
		return Manifest{}, err
	}
	if digest == "" {
		if m, ok := recall(found); ok {
			return m, nil
		}
	}
	return s.read(ctx, body, found, sparse)
}

// read completes what a manifest says by what it refers to.
func (s *session) read(ctx context.Context, body []byte, digest string, sparse bool) (Manifest, error) {
	c, err := decode(body)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Digest: digest, Kind: c.kind, Mountable: c.kind != Index || c.loose}
	platforms := c.platforms
	switch c.kind {
	case Index:
		m.Sparse = sparse
		platforms = s.present(ctx, c.children, sparse)
	case Image:
		config, err := s.get(ctx, "/blobs/"+c.config)
		if err != nil {
			return Manifest{}, err
		}
		if !verifyBlob(config, c.config) {
			return Manifest{}, fail(Malformed, "its config has another digest than its manifest says")
		}
		if platforms, err = decodeConfig(config); err != nil {
			return Manifest{}, err
		}
	}
	m.Platforms = arch.NewSet(platforms...)
	return m, nil
}

// present returns the platforms of an index whose manifests are there. Only a
// clear no counts: an endpoint that fails may have them all.
func (s *session) present(ctx context.Context, children []child, sparse bool) (platforms []arch.Platform) {
	for _, c := range children {
		if sparse && c.digest != "" {
			_, err := s.head(ctx, Reference{Digest: c.digest})
			if err != nil && explain(err, Unreachable).problem == NotFound {
				continue
			}
		}
		platforms = append(platforms, c.platform)
	}
	return platforms
}

// manifestPath is where the manifest is within a repository.
func (r Reference) manifestPath() string {
	if r.Digest != "" {
		return "/manifests/" + r.Digest
	}
	return "/manifests/" + r.Tag
}

// head returns the digest of the manifest, so far as the endpoint tells without
// sending it; empty if it does not.
func (s *session) head(ctx context.Context, ref Reference) (string, error) {
	resp, err := s.do(ctx, http.MethodHead, ref.manifestPath())
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
		if ref.Digest != "" {
			// Many registries get the header wrong; the content will be verified.
			return ref.Digest, nil
		}
		if digest := resp.Header.Get("Docker-Content-Digest"); sha256Digest.MatchString(digest) {
			return digest, nil
		}
		return "", nil
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return "", nil
	}
	return "", fromResponse(resp)
}

func (s *session) get(ctx context.Context, path string) ([]byte, error) {
	resp, err := s.do(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fromResponse(resp)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, explain(err, Malformed)
	}
	return body, nil
}

// do sends one request; the caller closes the answer.
func (s *session) do(ctx context.Context, method, path string) (*http.Response, error) {
	u := s.base
	u.Path += path
	req, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err != nil {
		return nil, fail(Malformed, "%s: cannot be asked for", clean(path, 100))
	}
	if strings.HasPrefix(path, "/manifests/") {
		req.Header.Set("Accept", acceptManifest)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		// An answer would be no error here, unless it is a token server's.
		return nil, explain(err, Unreachable).notOfTheImage()
	}
	return resp, nil
}
