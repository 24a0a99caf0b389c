package snapshot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	kjson "sigs.k8s.io/json"
)

const (
	// page is how many objects are asked for at a time.
	page = 500
	// pagesPerSecond is how often is asked, unless the configuration says otherwise.
	pagesPerSecond = 50
	// mostRestarts is how often a list that has expired is begun anew.
	mostRestarts = 3
)

// FromCluster reads a live cluster once: each of Kinds is listed, in pages, and
// nothing else is asked for; nothing is watched and nothing is written. The kinds are
// read one after the other, so what changes meanwhile may be seen in part. A kind
// that the API server does not have is left out; one that may not be listed is an
// error, and all of these are reported together.
func FromCluster(ctx context.Context, config *rest.Config, contextName string) (*Snapshot, error) {
	client, err := jsonClient(config)
	if err != nil {
		return nil, fmt.Errorf("reading context %s: %w", contextName, err)
	}
	l := &lister{client: client, reader: newReader(false)}
	l.trusted = true
	var forbidden []error
	for _, k := range known().kinds {
		if k.workload {
			continue
		}
		err := l.list(ctx, k)
		if apierrors.IsForbidden(err) {
			forbidden = append(forbidden, fmt.Errorf("may not list %s in all namespaces", k.GroupVersion().WithResource(k.resource).GroupResource()))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading context %s: listing %s: %w", contextName, k.resource, err)
		}
	}
	if len(forbidden) > 0 {
		forbidden = append(forbidden, errors.New("manifests/extras/simulate-reader.yaml has what it takes"))
		return nil, fmt.Errorf("reading context %s: %w", contextName, errors.Join(forbidden...))
	}
	s, err := l.done()
	if err != nil {
		return nil, fmt.Errorf("reading context %s: %w", contextName, err)
	}
	s.Source = fmt.Sprintf("context %s (read once)", contextName)
	s.places = nil // they were URLs
	s.settle()
	return s, nil
}

// jsonClient is a client for paths of all groups.
func jsonClient(config *rest.Config) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.GroupVersion = &schema.GroupVersion{}
	config.APIPath = "/"
	if config.QPS == 0 { // client-go's own would let pages wait
		config.QPS, config.Burst = pagesPerSecond, 2*pagesPerSecond
	}
	return rest.RESTClientFor(config)
}

// lister reads lists.
type lister struct {
	*reader
	client rest.Interface
}

// list reads all objects of a kind, in the newest version that there is.
func (l *lister) list(ctx context.Context, k *kind) error {
	var err error
	for _, version := range append([]string{k.Version}, k.older...) {
		err = l.listVersion(ctx, k, version)
		if !apierrors.IsNotFound(err) {
			return err
		}
	}
	if k.Group == "" || k.Group == "apps" {
		return err // every API server has these
	}
	if !k.optional {
		l.Notes = append(l.Notes, fmt.Sprintf("the API server has no %s (%s)", k.resource, k.GroupVersion()))
	}
	return nil
}

func (l *lister) listVersion(ctx context.Context, k *kind, version string) error {
	gv := schema.GroupVersion{Group: k.Group, Version: version}
	path := "/apis/" + gv.String() + "/" + k.resource
	if k.Group == "" {
		path = "/api/" + version + "/" + k.resource
	}
	var err error
	for range mostRestarts {
		attempt := &lister{client: l.client, reader: newReader(false)}
		attempt.trusted = true
		if err = attempt.pages(ctx, path, gv.WithKind(k.Kind)); err == nil {
			l.join(attempt.reader)
			return nil
		}
		if !apierrors.IsResourceExpired(err) {
			return err
		}
	}
	return err
}

// join adds what another reader has read of other kinds.
func (r *reader) join(other *reader) {
	r.Pods, r.Objects = append(r.Pods, other.Pods...), append(r.Objects, other.Objects...)
	r.errs = append(r.errs, other.errs...)
	for said, count := range other.skipped {
		r.skipped[said] += count
	}
	for field, count := range other.unknown {
		r.unknown[field] += count
	}
}

// pages reads all pages of a list.
func (l *lister) pages(ctx context.Context, path string, gvk schema.GroupVersionKind) error {
	for next := ""; ; {
		request := l.client.Get().AbsPath(path).Param("limit", strconv.Itoa(page))
		if next != "" {
			request = request.Param("continue", next)
		}
		result := request.Do(ctx)
		if err := result.Error(); err != nil {
			return plainStatus(err)
		}
		data, err := result.Raw()
		if err != nil {
			return err
		}
		if err := l.take(path, gvk, data); err != nil {
			return err
		}
		var list struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
		}
		if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &list); err != nil {
			return errors.New("the answer is not a list")
		}
		if next = list.Metadata.Continue; next == "" {
			return nil
		}
	}
}

// plainStatus makes a page that no API server sends, such as a proxy's, what it is:
// there is nothing there.
func plainStatus(err error) error {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code == http.StatusNotFound && !apierrors.IsNotFound(err) {
		return apierrors.NewNotFound(schema.GroupResource{}, "")
	}
	return err
}

// take reads the objects of a page. They do not say what they are.
func (l *lister) take(path string, gvk schema.GroupVersionKind, data []byte) error {
	values, err := parseJSON(data, 1)
	if err != nil || len(values) != 1 {
		return errors.New("the answer is not JSON")
	}
	h, err := values[0].head()
	if err != nil || !strings.HasSuffix(h.kind, "List") {
		return errors.New("the answer is not a list")
	}
	for _, item := range h.items {
		if err := l.object(path, item, head{apiVersion: gvk.GroupVersion().String(), kind: gvk.Kind}); err != nil {
			l.errs = append(l.errs, err)
		}
	}
	return nil
}
