package verdict

import (
	"fmt"
	"regexp"
	"strings"
)

// Reason is one uttered reason.
type Reason struct {
	Plugin  string `json:"plugin"`
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// longest is how much of a value a reason repeats: it ends up in a pod's
// status, and values are the user's.
const longest = 64

// Say fills the text of a code with name, value pairs. A code that is not in
// the table, or a name that its text does not have, is a bug in the caller; the
// reason then says so instead of hiding it.
func Say(code Code, pairs ...any) Reason {
	e, ok := Lookup(code)
	if !ok {
		return Reason{Code: code, Message: fmt.Sprintf("undocumented reason %s %v", code, pairs)}
	}
	var oldnew []string
	for i := 0; i+1 < len(pairs); i += 2 {
		slot := fmt.Sprintf("{%v}", pairs[i])
		if !strings.Contains(e.Text, slot) {
			return Reason{e.Plugin, code, fmt.Sprintf("%s (no %s in %q)", e.Text, slot, code)}
		}
		oldnew = append(oldnew, slot, fmt.Sprint(pairs[i+1]))
	}
	// In one pass: a value that looks like a slot stays as it is.
	return Reason{e.Plugin, code, strings.NewReplacer(oldnew...).Replace(e.Text)}
}

// Quote quotes what a user wrote, cut short if it is long.
func Quote(value string) string {
	if runes := []rune(value); len(runes) > longest {
		return fmt.Sprintf("%q...", string(runes[:longest]))
	}
	return fmt.Sprintf("%q", value)
}

// CodeOf finds the code whose text the message is, the longest text if several
// fit. Messages of other plugins have no code of ours.
func CodeOf(plugin, message string) (Code, bool) {
	var found Entry
	for i, e := range table {
		if (e.Plugin == plugin || e.Plugin == "") && len(e.Text) > len(found.Text) && patterns[i].MatchString(message) {
			found = e
		}
	}
	return found.Code, found.Code != ""
}

// patterns match what the texts of the table can become.
var patterns = func() []*regexp.Regexp {
	slot := regexp.MustCompile(`\\\{[a-z]+\\\}`)
	var out []*regexp.Regexp
	for _, e := range table {
		out = append(out, regexp.MustCompile(`(?s)^`+slot.ReplaceAllString(regexp.QuoteMeta(e.Text), `.+`)+`$`))
	}
	return out
}()
