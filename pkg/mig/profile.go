package mig

import (
	"fmt"
	"strconv"
	"strings"
)

// Attributes are the extras in a profile's name. None of them changes where an
// instance can be placed.
type Attributes struct {
	// Compute is the size of a compute instance in compute slices, as in
	// "1c.3g.40gb"; 0 if the name stands for the whole GPU instance.
	Compute int
	// With and Without are media and graphics engines that the instance has or
	// renounces, in the order named: "+me", "+gfx", "+me.all", "-me".
	With, Without []string
}

// String writes the extras that follow the size.
func (a Attributes) String() string {
	var b strings.Builder
	for _, name := range a.With {
		b.WriteString("+" + name)
	}
	for _, name := range a.Without {
		b.WriteString("-" + name)
	}
	return b.String()
}

// maxNumber bounds the numbers in a name, in digits.
const maxNumber = 4

// ParseProfile reads a profile's name: compute slices and gigabytes of memory,
// with extras as drivers write them ("1g.10gb+me", "1g.24gb-me"), as resource
// names do ("mig-1g.10gb.me") and with a compute instance ("1c.3g.40gb").
func ParseProfile(name string) (compute, memoryGB int, attrs Attributes, err error) {
	bad := func(why string) (int, int, Attributes, error) {
		return 0, 0, Attributes{}, fmt.Errorf("parsing profile %q: %s: want a name such as 3g.40gb, 1g.10gb+me or 1c.3g.40gb", name, why)
	}
	rest := strings.TrimPrefix(name, "mig-")
	if n, after, ok := number(rest, "c."); ok {
		attrs.Compute, rest = n, after
	}
	compute, rest, ok := number(rest, "g.")
	if !ok {
		return bad("no compute slices")
	}
	memoryGB, rest, ok = number(rest, "gb")
	if !ok {
		return bad("no gigabytes of memory")
	}
	if attrs.Compute > compute {
		return bad("a compute instance larger than its GPU instance")
	}
	for rest != "" {
		end := strings.IndexAny(rest[1:], "+-,") + 1
		if end == 0 {
			end = len(rest)
		}
		sign, attr := rest[0], rest[1:end]
		if !attribute(attr) {
			return bad("unreadable extras")
		}
		switch sign {
		case '+', ',', '.':
			attrs.With = append(attrs.With, attr)
		case '-':
			attrs.Without = append(attrs.Without, attr)
		default:
			return bad("unreadable extras")
		}
		rest = rest[end:]
	}
	return compute, memoryGB, attrs, nil
}

// number cuts a positive number and what must follow it off the front.
func number(s, unit string) (n int, rest string, ok bool) {
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits > maxNumber || s[0] == '0' || !strings.HasPrefix(s[digits:], unit) {
		return 0, s, false
	}
	n, err := strconv.Atoi(s[:digits])
	return n, s[digits+len(unit):], err == nil
}

// attribute says whether s is the name of an extra: words of lower-case letters
// with dots between them.
func attribute(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
			return false
		}
	}
	return true
}
