package registry

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestAReferenceIsNormalisedAsTheKubeletDoesIt(t *testing.T) {
	for image, want := range map[string]Reference{
		"nginx":                              {"docker.io", "library/nginx", "latest", ""},
		"nginx:1.27":                         {"docker.io", "library/nginx", "1.27", ""},
		"docker.io/nginx":                    {"docker.io", "library/nginx", "latest", ""},
		"index.docker.io/library/nginx":      {"docker.io", "library/nginx", "latest", ""},
		"bitnami/redis":                      {"docker.io", "bitnami/redis", "latest", ""},
		"nginx@" + someDigest:                {"docker.io", "library/nginx", "", someDigest},
		"nginx:1.27@" + someDigest:           {"docker.io", "library/nginx", "1.27", someDigest},
		"quay.io/a/b/c:v1":                   {"quay.io", "a/b/c", "v1", ""},
		"localhost/app":                      {"localhost", "app", "latest", ""},
		"localhost:5000/app":                 {"localhost:5000", "app", "latest", ""},
		"registry:5000/app:v1@" + someDigest: {"registry:5000", "app", "v1", someDigest},
		"10.0.0.1:5000/app":                  {"10.0.0.1:5000", "app", "latest", ""},
		"[2001:db8::1]:5000/app:v1":          {"[2001:db8::1]:5000", "app", "v1", ""},
		"[2001:db8::1]/app":                  {"[2001:db8::1]", "app", "latest", ""},
		"Registry.Example.com/app":           {"Registry.Example.com", "app", "latest", ""},
		"app:UPPER_tag.1-x":                  {"docker.io", "library/app", "UPPER_tag.1-x", ""},
	} {
		got, err := Parse(image)
		if err != nil {
			t.Errorf("%s: %v", image, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", image, diff)
		}
	}
}

func TestAMalformedReferenceSaysWhatWouldBeRight(t *testing.T) {
	for image, says := range map[string]string{
		"":                                     "[registry/]repository",
		" nginx":                               "[registry/]repository",
		"nginx ":                               "[registry/]repository",
		"quay.io/Upper/case":                   "lower case",
		"Nginx":                                "lower case",
		"https://quay.io/app":                  "[registry/]repository",
		"nginx:":                               "[registry/]repository",
		"nginx@sha256:short":                   "64 hex digits",
		"nginx@" + strings.ToUpper(someDigest): "only sha256",
		"nginx@sha256:" + strings.Repeat("AB", 32): "64 hex digits",
		"nginx@sha512:" + strings.Repeat("ab", 64): `"sha512": only sha256 is supported`,
		"a/../b":                              "[registry/]repository",
		"quay.io/app?x=y":                     "[registry/]repository",
		"user:secret@quay.io/app":             "[registry/]repository",
		strings.Repeat("ab", 32):              "[registry/]repository", // could be an image's id
		strings.Repeat("a", 5000):             "want at most 4096",
		"quay.io/" + strings.Repeat("a", 300): "[registry/]repository",
		"nginx\nx":                            "[registry/]repository",
	} {
		_, err := Parse(image)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Problem != Malformed || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want %s with %q", image, err, Malformed, says)
		} else if len(err.Error()) > 500 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.50q: %d characters, want a short line: %q", image, len(err.Error()), err)
		}
	}
}

func TestCleanTextIsPrintableAndBounded(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\x00\nb": "a  b", "\xff\xfe": "", "\u202egnp": "gnp", "äöü": "äöü", "12345678901": "1234567890...",
	} {
		if got := clean(text, 10); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"nginx", "nginx:1.27@" + someDigest, "localhost:5000/a/b", "[::1]:5000/app", "[::ffff:1.2.3.4]/a", "A/b", "a@b@c", "a:b:c", "::/a", "host:99999/a",
		"a@sha512:" + strings.Repeat("0", 128), "x/" + strings.Repeat("a", 255), "\x00/\xff", "docker.io/docker.io/docker.io",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, image string) {
		ref, err := Parse(image)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Problem != Malformed || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Fatalf("%q: got %q, want one line that is %s", image, err, Malformed)
			}
			return
		}
		again, err := Parse(ref.String())
		if err != nil || again != ref {
			t.Fatalf("%q is %+v, printed %q, which is %+v, %v", image, ref, ref, again, err)
		}
		if ref.Registry == "" || ref.Repository == "" || ref.Tag == "" && ref.Digest == "" || ref.Digest != "" && !sha256Digest.MatchString(ref.Digest) {
			t.Fatalf("%q: %+v is no whole reference", image, ref)
		}
	})
}
