package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"plimsoll.dev/scheduler/pkg/plugins/archaware"
	"plimsoll.dev/scheduler/pkg/plugins/binpack"
	"plimsoll.dev/scheduler/pkg/plugins/gpuslice"
	"plimsoll.dev/scheduler/pkg/plugins/topology"
)

const module = "plimsoll.dev/scheduler"

// plugin is one plugin with arguments: its name, where they are declared, and
// what they decode into.
type plugin struct {
	name, dir string
	args      any
}

func pluginsWithArguments() []plugin {
	return []plugin{
		{topology.Name, "pkg/plugins/topology", &topology.Args{}},
		{archaware.Name, "pkg/plugins/archaware", &archaware.Args{}},
		{gpuslice.Name, "pkg/plugins/gpuslice", &gpuslice.Args{}},
		{binpack.Name, "pkg/plugins/binpack", &binpack.Args{}},
	}
}

// schemaPath is where the plugin's JSON Schema goes.
func (p plugin) schemaPath() string {
	return "manifests/schema/" + strings.ToLower(p.name) + "-args.json"
}

// arguments documents every field of every plugin's arguments from its comment.
func arguments(root string) (string, error) {
	var b strings.Builder
	b.WriteString(generated("Plugin arguments"))
	b.WriteString("Arguments stand under `profiles[].pluginConfig` of the scheduler's configuration, " +
		"optionally headed by `apiVersion: plimsoll.dev/v1alpha1` and `kind: <plugin>Args`. They are decoded strictly: a field that is unknown, " +
		"of the wrong type or out of range stops the scheduler at start-up, and the message names its path. " +
		"`manifests/schema/` holds the same as JSON Schema.\n")
	for _, p := range pluginsWithArguments() {
		d, err := p.declarations(root)
		if err != nil {
			return "", err
		}
		for _, s := range d.structs {
			title := p.name
			if s.name != "Args" {
				title += ": " + s.name
			}
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", title, s.doc)
			for _, f := range s.fields {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, f.kind, f.doc)
			}
		}
		for _, w := range d.words {
			fmt.Fprintf(&b, "\n## %s: %s\n\n%s\n\n| value | meaning |\n|---|---|\n", p.name, w.name, w.doc)
			for _, v := range w.values {
				fmt.Fprintf(&b, "| `%s` | %s |\n", v.value, v.doc)
			}
		}
	}
	return b.String(), nil
}

// declarations are the types of a plugin's args.go, in their order.
type declarations struct {
	structs []structDoc
	words   []*wordsDoc
}

type structDoc struct {
	name, doc string
	fields    []fieldDoc
}

type fieldDoc struct{ goName, name, kind, doc string }

// wordsDoc is a string type of which only some values are valid: its constants.
type wordsDoc struct {
	name, doc string
	values    []wordDoc
}

type wordDoc struct{ value, doc string }

func (d *declarations) wordsOf(name string) *wordsDoc {
	for _, w := range d.words {
		if w.name == name {
			return w
		}
	}
	return nil
}

// declarations reads the plugin's args.go. String types come first: fields are
// of them.
func (p plugin) declarations(root string) (*declarations, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, p.dir, "args.go"), nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	out := &declarations{}
	specs := func(kind token.Token, do func(*ast.GenDecl, ast.Spec) error) {
		for _, decl := range file.Decls {
			if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == kind && err == nil {
				for _, spec := range gen.Specs {
					if err == nil {
						err = do(gen, spec)
					}
				}
			}
		}
	}
	specs(token.TYPE, func(gen *ast.GenDecl, spec ast.Spec) error {
		t := spec.(*ast.TypeSpec)
		if underlying, ok := t.Type.(*ast.Ident); ok && underlying.Name == "string" {
			out.words = append(out.words, &wordsDoc{name: t.Name.Name, doc: oneLine(gen.Doc.Text(), "")})
		}
		return nil
	})
	specs(token.CONST, func(_ *ast.GenDecl, spec ast.Spec) error { return out.addValue(spec.(*ast.ValueSpec)) })
	specs(token.TYPE, func(gen *ast.GenDecl, spec ast.Spec) error {
		t := spec.(*ast.TypeSpec)
		if s, ok := t.Type.(*ast.StructType); ok {
			return out.addStruct(t.Name.Name, gen.Doc.Text(), s)
		}
		return nil
	})
	return out, err
}

func (d *declarations) addValue(spec *ast.ValueSpec) error {
	t, ok := spec.Type.(*ast.Ident)
	if !ok {
		return nil
	}
	w := d.wordsOf(t.Name)
	if w == nil {
		return nil
	}
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok {
		return fmt.Errorf("%s: want a literal", spec.Names[0].Name)
	}
	value, err := strconv.Unquote(literal.Value)
	w.values = append(w.values, wordDoc{value, oneLine(spec.Doc.Text(), spec.Names[0].Name)})
	return err
}

func (d *declarations) addStruct(name, doc string, t *ast.StructType) error {
	s := structDoc{name: name, doc: oneLine(doc, "")}
	for _, f := range t.Fields.List {
		if len(f.Names) == 0 {
			continue // the type's own header
		}
		if f.Tag == nil || f.Doc == nil {
			return fmt.Errorf("%s.%s: want a json tag and a comment", name, f.Names[0].Name)
		}
		kind, err := d.kindOf(f.Type)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", name, f.Names[0].Name, err)
		}
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
		jsonName, _, _ := strings.Cut(tag, ",")
		s.fields = append(s.fields, fieldDoc{f.Names[0].Name, jsonName, kind, oneLine(f.Doc.Text(), f.Names[0].Name)})
	}
	d.structs = append(d.structs, s)
	return nil
}

// oneLine makes a table cell of a comment, without the declaration's Go name.
func oneLine(text, goName string) string {
	text = strings.Join(strings.Fields(text), " ")
	if goName == "" || text == "" {
		return text
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, goName+" "), "is ")
	text = strings.TrimPrefix(text, "are ")
	return strings.ToUpper(text[:1]) + text[1:]
}

// kindOf says what is written for a field of the type.
func (d *declarations) kindOf(t ast.Expr) (string, error) {
	switch t := t.(type) {
	case *ast.StarExpr:
		return d.kindOf(t.X)
	case *ast.ArrayType:
		kind, err := d.kindOf(t.Elt)
		return "list of " + kind, err
	case *ast.MapType:
		kind, err := d.kindOf(t.Value)
		return "map of " + kind + "s", err
	case *ast.Ident:
		switch t.Name {
		case "float64":
			return "number", nil
		case "int64":
			return "integer", nil
		case "bool":
			return "boolean", nil
		case "string":
			return "string", nil
		}
		if w := d.wordsOf(t.Name); w != nil {
			var values []string
			for _, v := range w.values {
				values = append(values, "`"+v.value+"`")
			}
			return strings.Join(values, ", "), nil
		}
		if ast.IsExported(t.Name) {
			return t.Name, nil // a struct of this file, documented below
		}
	}
	return "", fmt.Errorf("no words for a %T", t)
}

// schema is the JSON Schema of the plugin's arguments.
func (p plugin) schema(root string) (string, error) {
	d, err := p.declarations(root)
	if err != nil {
		return "", err
	}
	r := jsonschema.Reflector{RequiredFromJSONSchemaTags: true, Anonymous: true, CommentMap: p.comments(d), Mapper: func(t reflect.Type) *jsonschema.Schema {
		w := d.wordsOf(t.Name())
		if w == nil || t.PkgPath() != module+"/"+p.dir {
			return nil
		}
		s := &jsonschema.Schema{Type: "string"}
		for _, v := range w.values {
			s.Enum = append(s.Enum, v.value)
		}
		return s
	}}
	text, err := json.MarshalIndent(r.Reflect(p.args), "", "  ")
	return string(text) + "\n", err
}

// comments are what the library looks descriptions up in.
func (p plugin) comments(d *declarations) map[string]string {
	out := map[string]string{}
	for _, s := range d.structs {
		name := module + "/" + p.dir + "." + s.name
		out[name] = s.doc
		for _, f := range s.fields {
			out[name+"."+f.goName] = f.doc
		}
	}
	return out
}
