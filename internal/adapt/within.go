package adapt

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Within says what is wrong with an argument that is not between two bounds,
// both of which are allowed.
func Within(path *field.Path, value, least, most int64) field.ErrorList {
	if value >= least && value <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value, fmt.Sprintf("want %d to %d", least, most))}
}
