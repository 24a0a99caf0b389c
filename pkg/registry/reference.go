package registry

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"k8s.io/kubernetes/pkg/util/parsers"
)

const (
	dockerHub = "docker.io"
	// maxReference bounds a reference, in bytes. The grammar allows for 255 of
	// repository, 128 of tag and 71 of digest behind a host.
	maxReference = 4096
)

// sha256Digest is the only form of digest that a Reference has.
var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Parse reads what a pod may name as image, with the kubelet's own grammar and
// defaults: docker.io, library/, latest. The error is an *Error, Malformed.
func Parse(image string) (Reference, error) {
	if len(image) > maxReference {
		return Reference{}, malformedReference(image, fmt.Sprintf("%d bytes long: want at most %d", len(image), maxReference))
	}
	_, digest, _ := strings.Cut(image, "@")
	if algorithm, _, found := strings.Cut(digest, ":"); found && algorithm != "sha256" {
		return Reference{}, malformedReference(image, fmt.Sprintf("digest algorithm %q: only sha256 is supported", clean(algorithm, 20)))
	}
	repository, tag, digest, err := parsers.ParseImageName(image)
	if err != nil {
		return Reference{}, malformedReference(image,
			"no image reference: want [registry/]repository[:tag][@sha256:<64 hex digits>] with the repository in lower case")
	}
	host, path, found := strings.Cut(repository, "/")
	if !found {
		return Reference{}, malformedReference(image, "no repository: want registry/repository")
	}
	return Reference{Registry: host, Repository: path, Tag: tag, Digest: digest}, nil
}

func malformedReference(image, problem string) *Error {
	f := &failure{problem: Malformed, text: problem, told: problem}
	return &Error{Image: clean(image, 200), Problem: Malformed, Err: f.message(), Cause: f}
}

// clean makes outside text fit to print: printable, on one line, at most that
// many characters.
func clean(text string, most int) string {
	var b strings.Builder
	for _, r := range text {
		if most == 0 {
			b.WriteString("...")
			break
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			r = ' '
		}
		b.WriteRune(r)
		most--
	}
	return strings.TrimSpace(b.String())
}
