package devices

import (
	"slices"
	"strconv"
	"strings"

	"github.com/blang/semver/v4"
	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	resourceapi "k8s.io/api/resource/v1"
)

// Twins are devices that an expression cannot tell apart: they have the same of
// all that it reads. The eight GPUs of a thousand nodes differ by UUID, which few
// expressions look at, so that each is evaluated some twenty times instead of a
// hundred thousand times, at ten microseconds.

// reads collects the names of attributes and capacities that expressions look at,
// whatever their domain.
type reads map[string]bool

// The parts of the variable "device" that depend on more than the names below.
const (
	deviceVariable = "device"
	attributes     = "attributes"
	capacities     = "capacity"
)

// add notes what an expression reads. It reports false if that cannot be told,
// because it computes names or looks at all of them.
func (r reads) add(env *celgo.Env, expression string) bool {
	parsed, issues := env.Parse(expression)
	if issues.Err() != nil {
		return false
	}
	return r.walk(parsed.NativeRep().Expr())
}

func (r reads) walk(e ast.Expr) bool {
	if path, ok := pathOf(e); ok {
		return r.read(path, e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly())
	}
	all := func(list []ast.Expr) bool {
		return !slices.ContainsFunc(list, func(e ast.Expr) bool { return !r.walk(e) })
	}
	switch e.Kind() {
	case ast.LiteralKind:
		return true
	case ast.IdentKind:
		return !isDevice(e)
	case ast.SelectKind:
		return r.walk(e.AsSelect().Operand())
	case ast.ListKind:
		return all(e.AsList().Elements())
	case ast.CallKind:
		call := e.AsCall()
		if name, in := presence(call); in != nil {
			return r.read(append(in, name), true)
		}
		return (!call.IsMemberFunction() || r.walk(call.Target())) && all(call.Args())
	}
	return false // maps, structs, and loops over whatever there is
}

// read notes one path below the device: attributes, domain, name. A test for
// presence may end at the domain.
func (r reads) read(path []string, test bool) bool {
	if len(path) == 0 {
		return false
	}
	if path[0] != attributes && path[0] != capacities {
		return true // of the driver, or whether it may be shared
	}
	switch {
	case len(path) >= 3:
		r[path[2]] = true
		return true
	case len(path) == 2:
		return test
	}
	return false
}

// presence reads `"name" in device.attributes["domain"]`, or of the domain itself.
func presence(call ast.CallExpr) (name string, in []string) {
	if call.FunctionName() != operators.In || len(call.Args()) != 2 {
		return "", nil
	}
	name, literal := textOf(call.Args()[0])
	path, ok := pathOf(call.Args()[1])
	if !literal || !ok || len(path) < 1 || len(path) > 2 {
		return "", nil
	}
	return name, path
}

// pathOf unwinds selections and constant indices down to the device.
func pathOf(e ast.Expr) ([]string, bool) {
	switch e.Kind() {
	case ast.IdentKind:
		return nil, isDevice(e)
	case ast.SelectKind:
		path, ok := pathOf(e.AsSelect().Operand())
		return append(path, e.AsSelect().FieldName()), ok
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 {
			return nil, false
		}
		name, literal := textOf(call.Args()[1])
		path, ok := pathOf(call.Args()[0])
		return append(path, name), ok && literal
	}
	return nil, false
}

// isDevice recognises the variable, with or without a dot that makes it absolute.
func isDevice(e ast.Expr) bool { return strings.TrimPrefix(e.AsIdent(), ".") == deviceVariable }

func textOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().(types.String)
	return string(text), ok
}

// twin is what all devices with the same key have in common: whether the class
// and the request's own selectors accept them.
type twin struct {
	ofClass, selected bool
	err               error
}

// keyOf is the same for devices that the expressions cannot tell apart. It reports
// false for a device with a value that could fail without being looked at.
func (r reads) keyOf(driver string, d *resourceapi.Device) (string, bool) {
	shareable := d.AllowMultipleAllocations != nil && *d.AllowMultipleAllocations
	parts := make([]string, 0, 8)
	note := func(kind string, name resourceapi.QualifiedName) (id string) {
		domain, id, qualified := strings.Cut(string(name), "/")
		if !qualified {
			domain, id = driver, string(name)
		}
		// That there is such a domain can be asked for by itself.
		if part := kind + domain; !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
		return id
	}
	for name := range d.Attributes {
		a := d.Attributes[name]
		value, plain := plainValue(&a)
		if !plain {
			return "", false
		}
		if id := note(attributes, name); r[id] {
			parts = append(parts, attributes+string(name)+"="+value)
		}
	}
	for name := range d.Capacity {
		if id := note(capacities, name); r[id] {
			c := d.Capacity[name]
			parts = append(parts, capacities+string(name)+"="+c.Value.String())
		}
	}
	slices.Sort(parts)
	return driver + strconv.FormatBool(shareable) + "\n" + strings.Join(parts, "\n"), true
}

// plainValue writes an attribute's value. Lists may be switched off, and a version
// may not be one: these can fail without being looked at.
func plainValue(a *resourceapi.DeviceAttribute) (string, bool) {
	switch {
	case a.IntValues != nil || a.BoolValues != nil || a.StringValues != nil || a.VersionValues != nil:
		return "", false
	case a.IntValue != nil:
		return "i" + strconv.FormatInt(*a.IntValue, 10), true
	case a.BoolValue != nil:
		return "b" + strconv.FormatBool(*a.BoolValue), true
	case a.StringValue != nil:
		return "s" + strconv.Quote(*a.StringValue), true
	case a.VersionValue != nil:
		_, err := semver.Parse(*a.VersionValue)
		return "v" + *a.VersionValue, err == nil
	}
	return "", false
}
