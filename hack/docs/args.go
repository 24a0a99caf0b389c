package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"plimsoll.dev/scheduler/pkg/plugins/binpack"
)

const (
	binpackDir  = "pkg/plugins/binpack"
	binpackRoot = "plimsoll.dev/scheduler"
)

// arguments documents every field of a plugin's arguments from its comment.
func arguments(root string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, binpackDir, "args.go"), nil, parser.ParseComments)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(generated("Plugin arguments"))
	b.WriteString("Arguments stand under `profiles[].pluginConfig` of the scheduler's configuration, " +
		"optionally headed by `apiVersion: plimsoll.dev/v1alpha1` and `kind: <plugin>Args`. They are decoded strictly: a field that is unknown, " +
		"of the wrong type or out of range stops the scheduler at start-up, and the message names its path. " +
		"`manifests/schema/` holds the same as JSON Schema.\n\n" +
		"Topology, ArchAware and GPUSlice take no arguments in this version.\n")
	for _, name := range []string{"Args", "ResourceArgs", "PoolArgs", "UsageArgs"} {
		fields, doc, err := structFields(file, name)
		if err != nil {
			return "", err
		}
		title := "BinPack"
		if name != "Args" {
			title += ": " + name
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", title, doc)
		for _, f := range fields {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.name, f.kind, f.doc)
		}
	}
	return b.String(), nil
}

type fieldDoc struct{ name, kind, doc string }

func structFields(file *ast.File, name string) ([]fieldDoc, string, error) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		spec := gen.Specs[0].(*ast.TypeSpec)
		if spec.Name.Name != name {
			continue
		}
		var out []fieldDoc
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			if len(f.Names) == 0 {
				continue // the type's own header
			}
			tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
			jsonName, _, _ := strings.Cut(tag, ",")
			out = append(out, fieldDoc{jsonName, kindOf(f.Type), oneLine(f.Doc.Text(), f.Names[0].Name)})
		}
		return out, oneLine(gen.Doc.Text(), ""), nil
	}
	return nil, "", fmt.Errorf("no struct %s in %s", name, binpackDir)
}

// oneLine makes a table cell of a comment, without the field's Go name.
func oneLine(text, goName string) string {
	text = strings.Join(strings.Fields(text), " ")
	if goName == "" {
		return text
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, goName+" "), "is ")
	text = strings.TrimPrefix(text, "are ")
	return strings.ToUpper(text[:1]) + text[1:]
}

func kindOf(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return kindOf(t.X)
	case *ast.ArrayType:
		return "list of " + kindOf(t.Elt)
	case *ast.MapType:
		return "map of strings"
	case *ast.Ident:
		switch t.Name {
		case "int64":
			return "integer"
		case "bool":
			return "boolean"
		}
		return t.Name
	}
	return fmt.Sprintf("%T", t)
}

// schema is the JSON Schema of BinPack's arguments.
func schema(root string) (string, error) {
	r := jsonschema.Reflector{RequiredFromJSONSchemaTags: true, Anonymous: true}
	if err := addComments(&r, root); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(r.Reflect(&binpack.Args{}), "", "  ")
	return string(text) + "\n", err
}

// addComments reads the fields' comments; the library wants a path relative to
// the working directory that is also the import path's tail.
func addComments(r *jsonschema.Reflector, root string) error {
	r.CommentMap = map[string]string{}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, binpackDir, "args.go"), nil, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.TYPE {
			continue
		}
		spec := gen.Specs[0].(*ast.TypeSpec)
		name := binpackRoot + "/" + binpackDir + "." + spec.Name.Name
		r.CommentMap[name] = oneLine(gen.Doc.Text(), "")
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			if len(f.Names) > 0 {
				r.CommentMap[name+"."+f.Names[0].Name] = oneLine(f.Doc.Text(), f.Names[0].Name)
			}
		}
	}
	return nil
}
