package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"
)

const (
	// fieldManager owns, in the server's books, every field that Apply has set.
	fieldManager = "plimsoll"
	// crdTimeout bounds the wait for the API of a CustomResourceDefinition just applied.
	crdTimeout = 30 * time.Second
)

// applier writes manifests of any kind the API server knows.
type applier struct {
	client    dynamic.Interface
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func newApplier(s *Stack) (*applier, error) {
	config := s.RESTConfig()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	uncached, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	cached := memory.NewMemCacheClient(uncached)
	return &applier{client, cached, restmapper.NewDeferredDiscoveryRESTMapper(cached)}, nil
}

// Apply applies a YAML stream on the server's side, document by document in the order given, as kubectl
// apply --server-side --force-conflicts --validate=strict would, and returns the objects as stored. An
// object with only a generateName is created. Beyond kubectl, a .status in a manifest is written too,
// where the kind has a status: capacity of Nodes, allocations of ResourceClaims. An object in no namespace
// goes to "default". A CustomResourceDefinition is waited for, so its objects may follow it.
//
// It stops at the first object the server refuses; the error says where in the stream that object is, and
// the objects before it are returned.
func (s *Stack) Apply(ctx context.Context, manifests []byte) ([]*unstructured.Unstructured, error) {
	var applied []*unstructured.Unstructured
	for _, doc := range splitDocuments(manifests) {
		objects, err := doc.decode()
		if err != nil {
			return applied, fmt.Errorf("%s: %w", doc, err)
		}
		for _, object := range objects {
			result, err := s.applier.apply(ctx, object)
			if err != nil {
				return applied, fmt.Errorf("%s: %s: %w", doc, describe(object), err)
			}
			applied = append(applied, result)
		}
	}
	return applied, nil
}

// document is one part of a YAML stream.
type document struct {
	// number counts documents with content from 1; line is that of the first content, from 1.
	number, line int
	data         []byte
}

func (d document) String() string { return fmt.Sprintf("document %d (line %d)", d.number, d.line) }

// splitDocuments cuts a stream at its separator lines and drops documents without content.
func splitDocuments(stream []byte) []document {
	var docs []document
	var current document
	flush := func() {
		if current.line != 0 {
			current.number = len(docs) + 1
			docs = append(docs, current)
		}
		current = document{}
	}
	for i, line := range bytes.SplitAfter(stream, []byte("\n")) {
		text := bytes.TrimSpace(line)
		separator := bytes.HasPrefix(line, []byte("---")) && (len(text) == 3 || bytes.ContainsAny(line[3:4], " \t"))
		if separator {
			flush()
			continue
		}
		if current.line == 0 && len(text) > 0 && text[0] != '#' {
			current.line = i + 1
		}
		current.data = append(current.data, line...)
	}
	flush()
	return docs
}

// decode returns the document's object, or the items of its list.
func (d document) decode() ([]*unstructured.Unstructured, error) {
	data, err := yaml.YAMLToJSONStrict(d.data)
	if err != nil {
		return nil, err
	}
	decoded, _, err := unstructured.UnstructuredJSONScheme.Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	if object, ok := decoded.(*unstructured.Unstructured); ok {
		return []*unstructured.Unstructured{object}, nil
	}
	var items []*unstructured.Unstructured
	err = meta.EachListItem(decoded, func(item runtime.Object) error {
		object, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("list item is a %T", item)
		}
		items = append(items, object)
		return nil
	})
	return items, err
}

// describe names an object as a reader of the manifest would.
func describe(o *unstructured.Unstructured) string {
	name := o.GetName()
	if name == "" {
		name = o.GetGenerateName() + "*"
	}
	if o.GetNamespace() != "" {
		name = o.GetNamespace() + "/" + name
	}
	return o.GetKind() + " " + name
}

// apply writes one object and then its status.
func (a *applier) apply(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	mapping, err := a.mapping(object.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	client := a.resource(mapping, object)

	if object.GetName() == "" && object.GetGenerateName() != "" {
		return client.Create(ctx, object, metav1.CreateOptions{
			FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict,
		})
	}
	if object.GetName() == "" {
		return nil, errors.New("metadata.name is missing")
	}
	// The status stays in: a Node's is stored on creation, so that nobody, kwok and the scheduler
	// included, ever sees the node without its capacity. Elsewhere the server ignores it.
	result, err := patch(ctx, client, object)
	if err != nil {
		return nil, err
	}
	if status, ok := object.Object["status"]; ok {
		has, err := a.hasStatus(mapping)
		if err != nil {
			return nil, err
		}
		if has {
			if result, err = patch(ctx, client, statusOnly(object, status), "status"); err != nil {
				return nil, fmt.Errorf("writing status: %w", err)
			}
		}
	}
	if mapping.GroupVersionKind.GroupKind() == crdKind {
		return result, a.waitForCRD(ctx, result)
	}
	return result, nil
}

// patch is a server-side apply. The dynamic client's own Apply cannot ask for strict validation.
func patch(ctx context.Context, client dynamic.ResourceInterface, object *unstructured.Unstructured, subresources ...string) (*unstructured.Unstructured, error) {
	data, err := object.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	force := true
	return client.Patch(ctx, object.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{
		FieldManager: fieldManager, FieldValidation: metav1.FieldValidationStrict, Force: &force,
	}, subresources...)
}

// statusOnly is what a status subresource takes: identity and status.
func statusOnly(object *unstructured.Unstructured, status any) *unstructured.Unstructured {
	only := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	only.SetGroupVersionKind(object.GroupVersionKind())
	only.SetName(object.GetName())
	only.SetNamespace(object.GetNamespace())
	return only
}

// mapping finds the resource of a kind. The deferred mapper looks a second time, with fresh discovery,
// for a kind it does not know.
func (a *applier) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("finding the API of %s %s: %w", gvk.GroupVersion(), gvk.Kind, err)
	}
	return mapping, nil
}

// resource is the client for the object's kind and namespace; it fills in the default namespace.
func (a *applier) resource(mapping *meta.RESTMapping, object *unstructured.Unstructured) dynamic.ResourceInterface {
	client := a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return client
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(metav1.NamespaceDefault)
	}
	return client.Namespace(object.GetNamespace())
}

// hasStatus says whether the kind's status is a subresource; otherwise it has been written already.
func (a *applier) hasStatus(mapping *meta.RESTMapping) (bool, error) {
	list, err := a.discovery.ServerResourcesForGroupVersion(mapping.Resource.GroupVersion().String())
	if err != nil {
		return false, fmt.Errorf("looking for the status of %s: %w", mapping.Resource.Resource, err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool {
		return r.Name == mapping.Resource.Resource+"/status"
	}), nil
}

var crdKind = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// waitForCRD waits until discovery serves every version of a definition just applied.
func (a *applier) waitForCRD(ctx context.Context, crd *unstructured.Unstructured) error {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	var missing []string
	err := wait.PollUntilContextTimeout(ctx, pollInterval, crdTimeout, true, func(context.Context) (bool, error) {
		a.mapper.Reset()
		missing = nil
		for _, v := range versions {
			version, _ := v.(map[string]any)
			if version["served"] != true {
				continue
			}
			name, _ := version["name"].(string)
			if _, err := a.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind}, name); err != nil {
				missing = append(missing, name)
			}
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for versions %s to be served: %w", strings.Join(missing, ", "), err)
	}
	return nil
}
