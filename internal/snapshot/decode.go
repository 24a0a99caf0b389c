package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
)

// reader collects objects.
type reader struct {
	*Snapshot
	// trusted: everything comes from an API server just now.
	trusted bool
	errs    []error
	// skipped counts what is left out, by how to say so of one and of several.
	skipped map[[2]string]int
	// generated counts the names that were made of a generateName, by that.
	generated map[string]int
	// unknown counts fields that this build does not know, by where they were.
	unknown map[string]int
}

func newReader(whatIf bool) *reader {
	return &reader{Snapshot: &Snapshot{places: map[key]string{}, whatIf: whatIf}, skipped: map[[2]string]int{}, unknown: map[string]int{}, generated: map[string]int{}}
}

// done returns what was read, or the first errors.
func (r *reader) done() (*Snapshot, error) {
	if len(r.errs) > 0 {
		if more := len(r.errs) - mostErrors; more > 0 {
			r.errs = append(r.errs[:mostErrors], fmt.Errorf("and %d more errors", more))
		}
		return nil, errors.Join(r.errs...)
	}
	inOrder := func(a, b [2]string) int { return strings.Compare(a[0], b[0]) }
	for _, said := range slices.SortedFunc(maps.Keys(r.skipped), inOrder) {
		r.note(r.skipped[said], said[0], said[1])
	}
	fields := 0
	for _, count := range r.unknown {
		fields += count
	}
	if fields > 0 {
		r.note(fields, "field", "fields")
		first := slices.Min(slices.Collect(maps.Keys(r.unknown)))
		r.Notes[len(r.Notes)-1] += fmt.Sprintf(" that this build does not know, such as %s", first)
	}
	if !r.whatIf {
		r.sort()
	}
	return r.Snapshot, nil
}

// file reads a file. The error ends the reading: what follows cannot be told apart.
func (r *reader) file(name string, data []byte) error {
	for _, d := range split(data) {
		values, err := d.parse()
		if err != nil {
			return errors.Join(append(r.errs, placed(name, err))...)
		}
		for _, v := range values {
			r.value(name, v, head{}, 0)
		}
	}
	return nil
}

// placed puts the file before a problem: dump.yaml:12: ...
func placed(file string, err error) error {
	var p *problem
	if errors.As(err, &p) {
		return fmt.Errorf("%s:%d: %s", file, p.line, p.what)
	}
	return fmt.Errorf("%s: %w", file, err)
}

// mostNested is how deep lists may be within lists.
const mostNested = 10

// value reads an object, or all of a list. An item of a typed list, such as PodList,
// need not say what it is.
func (r *reader) value(file string, v value, list head, depth int) {
	h, err := v.head()
	if err != nil {
		r.errs = append(r.errs, placed(file, err))
		return
	}
	if h.kind == "" && h.apiVersion == "" && strings.HasSuffix(list.kind, "List") && list.kind != "List" {
		h.kind, h.apiVersion = strings.TrimSuffix(list.kind, "List"), list.apiVersion
	}
	what := ""
	switch {
	case private(h.kind), private(strings.TrimSuffix(h.kind, "List")):
		n := 1
		if h.kind != "Secret" && h.kind != "ConfigMap" {
			n = len(h.items)
		}
		name := strings.TrimSuffix(h.kind, "List")
		r.skip(n, name+" was skipped unread", name+"s were skipped unread")
		return
	case h.kind == "":
		what = "an object without kind"
	case h.apiVersion == "":
		what = "an object without apiVersion"
	case strings.HasSuffix(h.kind, "List") && !h.hasItems:
		what = "a list without items"
	case strings.HasSuffix(h.kind, "List") && depth >= mostNested:
		what = "lists within lists within lists"
	}
	if what != "" {
		r.errs = append(r.errs, fmt.Errorf("%s:%d: %s", file, v.line(nil), what))
		return
	}
	if strings.HasSuffix(h.kind, "List") {
		for _, item := range h.items {
			r.value(file, item, h, depth+1)
		}
		return
	}
	if err := r.object(file, v, h); err != nil {
		r.errs = append(r.errs, err)
	}
}

func (r *reader) skip(n int, one, many string) {
	if n > 0 {
		r.skipped[[2]string{one, many}] += n
	}
}

// skipKind counts an object that is left out because of its kind.
func (r *reader) skipKind(h head, why string) {
	of := fmt.Sprintf("of kind %s (%s)", h.kind, h.apiVersion)
	r.skip(1, "object "+of+" was left out: "+why, "objects "+of+" were left out: "+why)
}

// object reads one object, unless nobody needs it.
func (r *reader) object(file string, v value, h head) error {
	gv, err := schema.ParseGroupVersion(h.apiVersion)
	if err != nil {
		return fmt.Errorf("%s:%d: apiVersion %q: want version or group/version", file, v.line([]string{"apiVersion"}), h.apiVersion)
	}
	k := known().byKind[schema.GroupKind{Group: gv.Group, Kind: h.kind}]
	switch {
	case k == nil:
		r.skipKind(h, "no scheduler reads them")
		return nil
	case k.workload && !r.whatIf:
		r.skipKind(h, "pods are read, not made; to make them, add them")
		return nil
	case !k.reads(gv.Version) && k.optional:
		r.skipKind(h, "this build knows version "+k.Version)
		return nil
	case !k.reads(gv.Version):
		return fmt.Errorf("%s:%d: %s in version %s, of which this build knows %s", file, v.line([]string{"apiVersion"}), h.kind, h.apiVersion, k.GroupVersion())
	}
	d := &decoding{file: file, value: v, kind: k, version: gv.WithKind(h.kind), strict: r.whatIf, trusted: r.trusted}
	if r.whatIf {
		d.generated = r.generated
	}
	obj, err := d.decode()
	if err != nil {
		return err
	}
	for _, field := range d.unknown {
		r.unknown[field+" of "+h.kind]++
	}
	return r.keep(obj, file, v.line(nil))
}

// reads tells whether objects of a version can be converted to the one that is kept.
func (k *kind) reads(version string) bool {
	return version == k.Version || k.strategy != nil && legacyscheme.Scheme.Recognizes(k.GroupKind().WithVersion(version))
}

// keep adds an object, if there is none of its name.
func (r *reader) keep(obj runtime.Object, file string, line int) error {
	k := keyOf(obj)
	place := fmt.Sprintf("%s:%d", file, line)
	if before, found := r.places[k]; found {
		return fmt.Errorf("%s: %s is there already, at %s", place, k, before)
	}
	r.places[k] = place
	if pod, ok := obj.(*v1.Pod); ok {
		r.Pods = append(r.Pods, pod)
	} else {
		r.Objects = append(r.Objects, obj)
	}
	return nil
}

// decoding is the reading of one object.
type decoding struct {
	file    string
	value   value
	kind    *kind
	version schema.GroupVersionKind
	// generated counts names; nil where a generateName is no name.
	generated map[string]int
	// strict: unknown fields are errors; trusted: it is right in all other ways.
	strict, trusted bool

	data []byte
	// accepted: an API server had it before.
	accepted bool
	// unknown lists the fields that nobody knows.
	unknown []string
}

// fails says where and about which object.
func (d *decoding) fails(field, what string) error {
	said := fmt.Sprintf("%s:%d: %s", d.file, d.value.line(pathOf(field)), d.kind.Kind)
	if name := d.name(); name != "" {
		said += " " + name
	}
	if field != "" {
		said += ": " + field
	}
	return fmt.Errorf("%s: %s", said, what)
}

// decode returns the object in the version of its kind, with defaults.
func (d *decoding) decode() (runtime.Object, error) {
	var err error
	if d.data, err = d.value.json(); err != nil {
		return nil, placed(d.file, err)
	}
	obj, err := d.decodeVersion()
	if err != nil {
		return nil, err
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return nil, d.fails("", err.Error())
	}
	d.clean(m)
	if err := d.judge(obj, m); err != nil {
		return nil, err
	}
	return d.convert(obj)
}

// name looks for the name of an object that may be wrong elsewhere.
func (d *decoding) name() string {
	var partial struct {
		Metadata struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"metadata"`
	}
	_ = kjson.UnmarshalCaseSensitivePreserveInts(d.data, &partial) // what cannot be read has no name
	namespace, name := partial.Metadata.Namespace, partial.Metadata.Name
	if d.kind.namespaced {
		namespace = cmp.Or(namespace, metav1.NamespaceDefault)
	}
	if name == "" || namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// decodeVersion reads the object as its text says it is.
func (d *decoding) decodeVersion() (runtime.Object, error) {
	obj, err := d.empty()
	if err != nil {
		return nil, d.fails("apiVersion", err.Error())
	}
	strict, err := kjson.UnmarshalStrict(d.data, obj)
	if err != nil {
		return nil, d.explain(err)
	}
	for _, err := range strict {
		var field kjson.FieldError
		path := ""
		if errors.As(err, &field) {
			path = field.FieldPath()
		}
		if strings.HasPrefix(err.Error(), "duplicate") {
			return nil, d.fails(path, twice)
		}
		if d.strict {
			return nil, d.fails(path, "there is no such field")
		}
		d.unknown = append(d.unknown, withoutIndices(path))
	}
	legacyscheme.Scheme.Default(obj)
	return obj, nil
}

func (d *decoding) empty() (runtime.Object, error) {
	if d.kind.strategy == nil {
		return &v1alpha1.PodGroup{}, nil
	}
	return legacyscheme.Scheme.New(d.version)
}

// withoutIndices makes alike what is the same field of several elements.
func withoutIndices(path string) string {
	var out []string
	for _, name := range pathOf(path) {
		if strings.Trim(name, "0123456789") != "" {
			out = append(out, name)
		}
	}
	return strings.Join(out, ".")
}

// clean drops what is large or repeats the object, and says what is left unsaid.
func (d *decoding) clean(m metav1.Object) {
	m.SetManagedFields(nil)
	m.SetSelfLink("")
	if annotations := m.GetAnnotations(); annotations[v1.LastAppliedConfigAnnotation] != "" {
		delete(annotations, v1.LastAppliedConfigAnnotation)
		if len(annotations) == 0 {
			annotations = nil
		}
		m.SetAnnotations(annotations)
	}
	if d.kind.namespaced {
		m.SetNamespace(cmp.Or(m.GetNamespace(), metav1.NamespaceDefault))
	}
	d.accepted = m.GetUID() != "" && m.GetResourceVersion() != ""
	if m.GetName() == "" && m.GetGenerateName() != "" && d.generated != nil {
		n := d.generated[m.GetGenerateName()]
		d.generated[m.GetGenerateName()]++
		m.SetName(m.GetGenerateName() + strconv.Itoa(n))
	}
	if m.GetUID() == "" {
		m.SetUID(stableUID(key{d.kind.GroupKind(), m.GetNamespace(), m.GetName()}))
	}
}

// convert brings the object to the version that is kept.
func (d *decoding) convert(obj runtime.Object) (runtime.Object, error) {
	target := d.kind.GroupVersionKind
	if d.kind.strategy == nil {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil, d.fails("", err.Error())
		}
		out := &unstructured.Unstructured{Object: fields}
		out.SetGroupVersionKind(target)
		return out, nil
	}
	if d.version != target {
		internal, err := legacyscheme.Scheme.ConvertToVersion(obj, runtime.InternalGroupVersioner)
		if err == nil {
			obj, err = legacyscheme.Scheme.ConvertToVersion(internal, target.GroupVersion())
		}
		if err != nil {
			return nil, d.fails("", fmt.Sprintf("converting to %s: %v", target.GroupVersion(), err))
		}
	}
	obj.GetObjectKind().SetGroupVersionKind(target)
	return obj, nil
}
