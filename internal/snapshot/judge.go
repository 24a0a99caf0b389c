package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kjson "sigs.k8s.io/json"
)

// judge asks what an API server would ask about the object.
func (d *decoding) judge(obj runtime.Object, m metav1.Object) error {
	if m.GetName() == "" {
		return d.fails("metadata.name", "missing")
	}
	if bad := content.IsPathSegmentName(m.GetName()); len(bad) > 0 {
		return d.fails("metadata.name", fmt.Sprintf("%q %s", m.GetName(), strings.Join(bad, ", ")))
	}
	if !d.kind.namespaced && m.GetNamespace() != "" {
		return d.fails("metadata.namespace", fmt.Sprintf("%q, but a %s is in no namespace", m.GetNamespace(), d.kind.Kind))
	}
	if d.trusted || d.kind.strategy == nil {
		return nil
	}
	found, err := d.validate(obj, m)
	if err != nil {
		return d.fails("", err.Error())
	}
	if len(found) == 0 {
		return nil
	}
	errs := make([]error, 0, len(found))
	for _, f := range found {
		errs = append(errs, d.fails(f.Field, plain(f)))
	}
	return errors.Join(errs...)
}

// validate has upstream's own strategy judge the object: one that an API server has
// accepted as an update of itself, which spares it what was decided later.
func (d *decoding) validate(obj runtime.Object, m metav1.Object) (field.ErrorList, error) {
	internal, err := legacyscheme.Scheme.ConvertToVersion(obj.DeepCopyObject(), runtime.InternalGroupVersioner)
	if err != nil {
		return nil, fmt.Errorf("converting: %w", err)
	}
	ctx := request.WithRequestInfo(request.WithNamespace(context.Background(), m.GetNamespace()), &request.RequestInfo{
		APIGroup: d.version.Group, APIVersion: d.version.Version, Resource: d.kind.resource})
	if d.accepted {
		return d.kind.strategy.ValidateUpdate(ctx, internal, internal.DeepCopyObject()), nil
	}
	d.kind.strategy.PrepareForCreate(ctx, internal)
	return d.kind.strategy.Validate(ctx, internal), nil
}

// longest is how much of a value messages repeat, in bytes.
const longest = 100

// plain says what is wrong with a field. Values of environment variables are not
// repeated, nor those that are more than a word or a number.
func plain(f *field.Error) string {
	said := strings.ToLower(f.Type.String())
	value := reflect.ValueOf(f.BadValue)
	if value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	switch value.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		text := fmt.Sprint(value.Interface())
		if f.Type != field.ErrorTypeRequired && len(text) <= longest && !strings.Contains(f.Field, ".env") {
			said += " " + strconv.Quote(text)
		}
	}
	if f.Detail != "" {
		said += ": " + f.Detail
	}
	return said
}

// explain says which field the decoder stumbled over, and what it wanted there.
func (d *decoding) explain(err error) error {
	var whole any
	if kjson.UnmarshalCaseSensitivePreserveInts(d.data, &whole) != nil {
		return d.fails("", "this cannot be read as "+d.kind.Kind)
	}
	names := d.culprit(whole, err.Error())
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		got, _, _ := strings.Cut(wrong.Value, " ")
		return d.fails(joined(whole, names), fmt.Sprintf("want %s, got %s", inWords(wrong.Type), article(got)))
	}
	what := err.Error()
	if text, ok := follow(whole, names).(string); ok && len(text) <= longest {
		what = strconv.Quote(text) + ": " + what
	}
	return d.fails(joined(whole, names), what)
}

// joined is the path as upstream writes it: spec.containers[1].name.
func joined(whole any, names []string) string {
	out := ""
	for i, name := range names {
		if _, list := follow(whole, names[:i]).([]any); list {
			out += "[" + name + "]"
			continue
		}
		out += "." + name
	}
	return strings.TrimPrefix(out, ".")
}

// culprit finds the field that the error is about: the one that brings it about even
// if all others of its object are left out.
func (d *decoding) culprit(whole any, message string) []string {
	var path []string
	// place puts a part where it belongs, with nothing beside it.
	place := func(names []string, parts any) any {
		for i := len(names) - 1; i >= 0; i-- {
			if _, err := strconv.Atoi(names[i]); err == nil {
				if _, list := follow(whole, names[:i]).([]any); list {
					parts = []any{parts}
					continue
				}
			}
			parts = map[string]any{names[i]: parts}
		}
		return parts
	}
	fails := func(names []string, part any) bool {
		data, err := json.Marshal(place(names, part))
		if err != nil {
			return false
		}
		obj, err := d.empty()
		if err != nil {
			return false
		}
		_, err = kjson.UnmarshalStrict(data, obj)
		return err != nil && err.Error() == message
	}
	for {
		next := ""
		here := follow(whole, path)
		if fails(path, emptied(here)) {
			return path // it is not about what is in it
		}
		for _, name := range namesIn(here) {
			inner := slices.Concat(path, []string{name})
			if fails(inner, follow(whole, inner)) {
				next = name
				break
			}
		}
		if next == "" {
			return path
		}
		path = append(path, next)
	}
}

// emptied is a value of the same type with nothing in it.
func emptied(value any) any {
	switch value.(type) {
	case map[string]any:
		return map[string]any{}
	case []any:
		return []any{}
	}
	return value
}

// namesIn lists the fields or indices of a value.
func namesIn(value any) []string {
	var out []string
	switch v := value.(type) {
	case map[string]any:
		out = slices.Sorted(maps.Keys(v))
	case []any:
		for i := range v {
			out = append(out, strconv.Itoa(i))
		}
	}
	return out
}

// follow goes down into a value; nil if there is nothing.
func follow(value any, names []string) any {
	for _, name := range names {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// inWords is what YAML calls a type.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a map"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Pointer:
		return inWords(t.Elem())
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func article(got string) string {
	switch got {
	case "array":
		return "a list"
	case "object":
		return "a map"
	case "bool":
		return "true or false"
	}
	return "a " + got
}
