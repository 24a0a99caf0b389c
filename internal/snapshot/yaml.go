package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// deepest is how far values may be within values; aliases can go in circles.
	deepest = 200
	// largest is the size of one object as JSON, in bytes; an API server takes less
	// than 2 MiB, and aliases can make much out of little.
	largest = 16 << 20
	// mostMerges is how often one object may merge a map into another.
	mostMerges = 1000
	// searched is up to which size, in bytes, the line of a syntax error is searched
	// for by parsing again and again.
	searched = 4 << 20
)

// tooMuch is the trouble of an object that has no end.
const tooMuch = "too much within one object: are there aliases that go in circles?"

// yamlValue is a YAML node.
type yamlValue struct {
	node *yaml.Node
	// above is how many lines of the file come before its document.
	above int
}

// parseYAML reads a text that is one YAML document, which begins on the given line;
// nil if there is nothing in it.
func parseYAML(data []byte, first int) (value, error) {
	node, err := parseNode(data)
	if err != nil {
		return nil, yamlProblem(data, first, err)
	}
	if node == nil {
		return nil, nil
	}
	return &yamlValue{node, first - 1}, nil
}

// parseNode returns nil for a document without content.
func parseNode(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, rest yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&rest); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("yaml: more than one document")
		}
		return nil, err
	}
	if len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null" {
		return nil, nil
	}
	return document.Content[0], nil
}

var atLine = regexp.MustCompile(`^line ([0-9]+): `)

// yamlProblem says what the parser said, which repeats nothing of the text but the
// name of an anchor, and where: that is the first line without which it would not
// have said so.
func yamlProblem(data []byte, first int, err error) error {
	what, said := plainly(err)
	lines := bytes.SplitAfter(data, newline)
	if len(data) > searched {
		return &problem{first - 1 + max(1, said), what}
	}
	low, high := 1, len(lines)
	length := func(n int) (bytes int) {
		for _, line := range lines[:n] {
			bytes += len(line)
		}
		return bytes
	}
	for low < high {
		middle := (low + high) / 2
		_, err := parseNode(data[:length(middle)])
		same := false
		if err != nil {
			again, _ := plainly(err)
			same = again == what
		}
		if same {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return &problem{first - 1 + low, what}
}

// plainly is the parser's message without the text's own words, and the line it
// names, 0 if none.
func plainly(err error) (what string, line int) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	if found := atLine.FindStringSubmatch(what); found != nil {
		line, _ = strconv.Atoi(found[1])
		what = what[len(found[0]):]
	}
	if strings.Contains(what, "anchor") {
		what = "an alias without its anchor"
	}
	if strings.Contains(what, "cannot start any token") {
		what += " (a tab does not indent)"
	}
	return "this is not YAML: " + what, line
}

func (v *yamlValue) part(node *yaml.Node) *yamlValue { return &yamlValue{node, v.above} }

func (v *yamlValue) trouble(node *yaml.Node, what string) error {
	return &problem{v.above + node.Line, what}
}

func (v *yamlValue) line(path []string) int {
	node, line := v.node, v.node.Line
	for _, name := range path {
		next, at := child(node, name)
		if next == nil {
			break
		}
		node, line = next, at
	}
	return v.above + line
}

// child is the part of a name or index, with the line on which it is announced.
func child(node *yaml.Node, name string) (*yaml.Node, int) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	}
	return nil, 0
}

func (v *yamlValue) head() (head, error) {
	if v.node.Kind != yaml.MappingNode {
		return head{}, v.trouble(v.node, "want an object with apiVersion and kind")
	}
	var out head
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		name, part := v.node.Content[i].Value, v.node.Content[i+1]
		if seen[name] {
			return out, v.trouble(v.node.Content[i], twice)
		}
		seen[name] = true
		switch name {
		case "apiVersion", "kind":
			if part.Kind != yaml.ScalarNode || part.ShortTag() != "!!str" {
				return out, v.trouble(part, name+" is not a string")
			}
			if name == "kind" {
				out.kind = part.Value
			} else {
				out.apiVersion = part.Value
			}
		case "items":
			out.hasItems = part.Kind == yaml.SequenceNode || part.ShortTag() == "!!null"
			for _, item := range part.Content {
				out.items = append(out.items, v.part(item))
			}
		}
	}
	return out, nil
}

func (v *yamlValue) json() ([]byte, error) {
	w := yamlWriter{yamlValue: v}
	if err := w.write(v.node, 0); err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}

// yamlWriter writes one object as JSON.
type yamlWriter struct {
	*yamlValue
	out    bytes.Buffer
	merges int
}

// write appends a node.
func (v *yamlWriter) write(node *yaml.Node, depth int) error {
	out := &v.out
	if depth > deepest || out.Len() > largest {
		return v.trouble(node, tooMuch)
	}
	switch node.Kind {
	case yaml.AliasNode:
		return v.write(node.Alias, depth+1)
	case yaml.MappingNode:
		return v.writeMapping(node, depth)
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range node.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := v.write(item, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	}
	return v.writeScalar(node)
}

func (v *yamlWriter) writeMapping(node *yaml.Node, depth int) error {
	out := &v.out
	pairs, err := v.pairs(node, depth)
	if err != nil {
		return err
	}
	out.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			out.WriteByte(',')
		}
		writeString(out, pairs[i].Value)
		out.WriteByte(':')
		if err := v.write(pairs[i+1], depth+1); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// pairs lists keys and values of a mapping, those merged in by "<<" last, and only
// where the mapping itself says nothing.
func (v *yamlWriter) pairs(node *yaml.Node, depth int) ([]*yaml.Node, error) {
	if depth > deepest {
		return nil, v.trouble(node, tooMuch)
	}
	var out, merged []*yaml.Node
	seen := make(map[string]bool, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, part := node.Content[i], node.Content[i+1]
		switch {
		case name.Kind != yaml.ScalarNode:
			return nil, v.trouble(name, "a key is not a word")
		case name.ShortTag() == "!!merge":
			more, err := v.merged(part, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		case seen[name.Value]:
			return nil, v.trouble(name, twice)
		}
		seen[name.Value] = true
		out = append(out, name, part)
	}
	for i := 0; i+1 < len(merged); i += 2 {
		if !seen[merged[i].Value] {
			seen[merged[i].Value] = true
			out = append(out, merged[i], merged[i+1])
		}
	}
	return out, nil
}

func (v *yamlWriter) merged(node *yaml.Node, depth int) ([]*yaml.Node, error) {
	if v.merges++; v.merges > mostMerges {
		return nil, v.trouble(node, tooMuch)
	}
	switch node.Kind {
	case yaml.AliasNode:
		return v.merged(node.Alias, depth+1)
	case yaml.MappingNode:
		return v.pairs(node, depth)
	case yaml.SequenceNode:
		var out []*yaml.Node
		for _, item := range node.Content {
			more, err := v.merged(item, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	}
	return nil, v.trouble(node, "only a map can be merged in")
}

// writeScalar resolves words as YAML 1.1 does, which is what kubectl does.
func (v *yamlWriter) writeScalar(node *yaml.Node) error {
	out, text := &v.out, node.Value
	switch node.ShortTag() {
	case "!!null":
		out.WriteString("null")
	case "!!bool":
		out.WriteString(strconv.FormatBool(strings.EqualFold(text, "true") || yes(text)))
	case "!!int", "!!float":
		number, ok := number(text)
		if !ok {
			return v.trouble(node, "this is not a number")
		}
		out.WriteString(number)
	case "!!str", "!!timestamp":
		if node.Style == 0 && (yes(text) || no(text)) {
			out.WriteString(strconv.FormatBool(yes(text)))
			break
		}
		writeString(out, text)
	default:
		return v.trouble(node, "a tag that objects of Kubernetes do not have")
	}
	return nil
}

func yes(word string) bool {
	switch word {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		return true
	}
	return false
}

func no(word string) bool {
	switch word {
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return true
	}
	return false
}

// number is a YAML number as JSON has it, if JSON does.
func number(text string) (string, bool) {
	plain := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(plain, 0, 64); err == nil {
		return strconv.FormatInt(i, 10), true
	}
	if u, err := strconv.ParseUint(plain, 0, 64); err == nil {
		return strconv.FormatUint(u, 10), true
	}
	f, err := strconv.ParseFloat(plain, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return "", false
	}
	return strconv.FormatFloat(f, 'g', -1, 64), true
}

func writeString(out *bytes.Buffer, text string) {
	encoded, err := json.Marshal(text)
	if err != nil { // strings always can be
		return
	}
	out.Write(encoded)
}
