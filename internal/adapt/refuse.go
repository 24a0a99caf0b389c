package adapt

import (
	"errors"
	"fmt"

	fwk "k8s.io/kube-scheduler/framework"

	"plimsoll.dev/scheduler/pkg/intent"
	"plimsoll.dev/scheduler/pkg/verdict"
)

// maxMistakes is how many wrong annotations a pod is told of at once.
const maxMistakes = 8

// Refuse turns what is wrong with a pod's annotations into a status. Evicting
// others does not help.
func Refuse(err error) *fwk.Status {
	var messages []string
	for _, one := range unjoin(err) {
		var wrong *intent.AnnotationError
		if errors.As(one, &wrong) {
			r := verdict.Say(verdict.AnnotationInvalid, "key", wrong.Key, "value", verdict.Quote(wrong.Value), "want", wrong.Want)
			messages = append(messages, r.Message)
		}
	}
	if extra := len(messages) - maxMistakes; extra > 0 {
		messages = append(messages[:maxMistakes], fmt.Sprintf("and %d more annotations are not valid", extra))
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, messages...)
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
