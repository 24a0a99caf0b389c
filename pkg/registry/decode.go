package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"plimsoll.dev/scheduler/pkg/arch"
)

const (
	// maxPlatforms is how many distinct platforms of an index are kept. The
	// largest official images have about ten.
	maxPlatforms = 64
	// maxEntries bounds the work that one index may cause.
	maxEntries = 4096
	// maxWord is the longest name of a platform's part, in bytes.
	maxWord = 64
)

// wasmConfig is the config of a WebAssembly module, which has a platform like
// that of an image: application/vnd.wasm.config.v0+json.
const wasmConfig = "application/vnd.wasm.config."

// platformed is what of an index entry or a config tells the platform.
type platformed struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	OSVersion    string `json:"os.version"`
}

// document has what tells the kinds of manifests apart, and their platforms.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     types.MediaType `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Architecture  string          `json:"architecture"`
	Manifests     json.RawMessage `json:"manifests"`
	Config        json.RawMessage `json:"config"`
	Blobs         json.RawMessage `json:"blobs"`
}

// entry is one manifest that an index lists.
type entry struct {
	MediaType    types.MediaType   `json:"mediaType"`
	Digest       string            `json:"digest"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
	Platform     *platformed       `json:"platform"`
}

// child is the manifest of a platform.
type child struct {
	// digest is empty if what the index says is none.
	digest   string
	platform arch.Platform
}

// content is what a manifest says.
type content struct {
	kind Kind
	// children of an index, one for each platform: the first, which is the one
	// that a container runtime pulls.
	children []child
	// loose: the index has an entry that is for no platform in particular.
	loose bool
	// config is the digest of an image's config, whose platform is the image's.
	config string
	// platforms of a schema 1 image.
	platforms []arch.Platform
}

// decode reads a manifest. It goes by what the document has rather than by what
// it calls itself, since registries mislabel.
func decode(body []byte) (content, error) {
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return content{}, fail(Malformed, "its manifest is no JSON of a manifest")
	}
	hasManifests, hasConfig := has(doc.Manifests), has(doc.Config)
	switch {
	case hasManifests && hasConfig:
		// Readers would differ on what it is, and on what they run.
		return content{}, fail(Malformed, "its manifest has manifests and a config: want one of them")
	case hasManifests:
		return decodeIndex(doc.Manifests)
	case hasConfig:
		return decodeImage(doc.Config)
	case doc.MediaType.IsIndex():
		return content{kind: Index}, nil
	case doc.SchemaVersion == 1:
		c := content{kind: Schema1}
		if p, ok := usable(platformed{OS: "linux", Architecture: doc.Architecture}); ok {
			c.platforms = append(c.platforms, p)
		}
		return c, nil
	case doc.ArtifactType != "" || has(doc.Blobs):
		return content{kind: Artifact}, nil
	}
	return content{}, fail(Malformed, "its manifest has neither manifests nor a config, and is not of schema version 1")
}

func has(raw json.RawMessage) bool { return len(raw) > 0 && !bytes.Equal(raw, []byte("null")) }

// decodeIndex reads entries one by one: a few bytes of JSON can be many of Go.
func decodeIndex(raw json.RawMessage) (content, error) {
	bad := fail(Malformed, "its index lists no manifests but something else")
	in := json.NewDecoder(bytes.NewReader(raw))
	if start, err := in.Token(); err != nil || start != json.Delim('[') {
		return content{}, bad
	}
	out := content{kind: Index}
	seen := map[arch.Platform]bool{}
	for n := 0; in.More(); n++ {
		if n == maxEntries {
			return content{}, fail(TooLarge, "its index lists more than %d manifests", maxEntries)
		}
		var e entry
		if err := in.Decode(&e); err != nil {
			return content{}, bad
		}
		out.loose = out.loose || e.Platform == nil && e.MediaType.IsImage() && !e.refers()
		c, counts := e.child()
		if !counts || seen[c.platform] || len(seen) == maxPlatforms {
			continue
		}
		seen[c.platform] = true
		out.children = append(out.children, c)
	}
	return out, nil
}

// refers tells whether the entry is only about another one, as attestations are.
func (e *entry) refers() bool {
	for key := range e.Annotations {
		if strings.HasPrefix(key, "vnd.docker.reference.") {
			return true
		}
	}
	return false
}

// child returns the entry's platform if it is an image's: not an attestation,
// an artifact, or another index.
func (e *entry) child() (child, bool) {
	// Tools that fill in the artifact type of images give that of their config.
	artifact := e.ArtifactType != "" && !isImageConfig(types.MediaType(e.ArtifactType))
	if e.Platform == nil || artifact || e.refers() || !e.MediaType.IsImage() && !e.MediaType.IsSchema1() {
		return child{}, false
	}
	p, ok := usable(*e.Platform)
	if !ok {
		return child{}, false
	}
	c := child{platform: p}
	if _, err := v1.NewHash(e.Digest); err == nil {
		c.digest = e.Digest
	}
	return c, true
}

// isImageConfig tells whether something runs by this config.
func isImageConfig(m types.MediaType) bool {
	return m.IsConfig() || strings.HasPrefix(string(m), wasmConfig)
}

// decodeImage finds the config that has the platform. One without media type, or
// with that of anything, is what old clients pushed.
func decodeImage(raw json.RawMessage) (content, error) {
	var config struct {
		MediaType types.MediaType `json:"mediaType"`
		Digest    string          `json:"digest"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return content{}, fail(Malformed, "its manifest has something else than a descriptor as config")
	}
	switch m := config.MediaType; {
	case isImageConfig(m), m == "", m == "application/octet-stream":
	default:
		return content{kind: Artifact}, nil
	}
	if _, err := v1.NewHash(config.Digest); err != nil {
		return content{}, fail(Malformed, "its manifest's config has digest %q: want sha256:<64 hex digits>", clean(config.Digest, 80))
	}
	return content{kind: Image, config: config.Digest}, nil
}

// decodeConfig reads the platform of an image; none if its config does not tell.
func decodeConfig(body []byte) ([]arch.Platform, error) {
	var config platformed
	if err := json.Unmarshal(body, &config); err != nil {
		return nil, fail(Malformed, "its config is no JSON of an image config")
	}
	if p, ok := usable(config); ok {
		return []arch.Platform{p}, nil
	}
	return nil, nil
}

// word matches what names an operating system, an architecture and so on.
var word = regexp.MustCompile(`^[A-Za-z0-9._+-]*$`)

// usable returns the platform, if that is what it is.
func usable(p platformed) (arch.Platform, bool) {
	for _, part := range []string{p.OS, p.Architecture, p.Variant, p.OSVersion} {
		if len(part) > maxWord || !word.MatchString(part) || strings.EqualFold(part, "unknown") {
			return arch.Platform{}, false
		}
	}
	if p.OS == "" || p.Architecture == "" {
		return arch.Platform{}, false
	}
	return arch.New(p.OS, p.Architecture, p.Variant, p.OSVersion), true
}

// verify returns the digest of a manifest and the bytes that it is of. If a
// digest is wanted, it must be that.
//
// The digest of a signed schema 1 manifest is of what was signed. That is then
// what counts: the rest could have been written by anybody.
func verify(body []byte, want string) (payload []byte, digest string, err error) {
	digest = digestOf(body)
	if digest == want {
		return body, digest, nil
	}
	if signed, ok := signedPayload(body); ok {
		body, digest = signed, digestOf(signed)
	}
	if want != "" && digest != want {
		return nil, "", fail(Malformed, "its answer has digest %s: want %s", digest, want)
	}
	return body, digest, nil
}

func digestOf(body []byte) string {
	sum, _, _ := v1.SHA256(bytes.NewReader(body)) // memory has no errors
	return sum.String()
}

// verifyBlob reports whether a blob has the digest, which may be of any
// algorithm that there is.
func verifyBlob(body []byte, digest string) bool {
	want, err := v1.NewHash(digest)
	if err != nil {
		return false
	}
	hasher, err := v1.Hasher(want.Algorithm)
	if err != nil {
		return false
	}
	hasher.Write(body)
	return hex.EncodeToString(hasher.Sum(nil)) == want.Hex
}

// signedPayload returns what a manifest was before it was signed: its first
// bytes, so many, and a tail that the signature repeats.
func signedPayload(body []byte) ([]byte, bool) {
	var doc struct {
		Signatures []struct {
			Protected string `json:"protected"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(body, &doc); err != nil || len(doc.Signatures) == 0 {
		return nil, false
	}
	var protected struct {
		Length int    `json:"formatLength"`
		Tail   string `json:"formatTail"`
	}
	text, err := unpadded(doc.Signatures[0].Protected)
	if err != nil || json.Unmarshal(text, &protected) != nil {
		return nil, false
	}
	tail, err := unpadded(protected.Tail)
	if err != nil || protected.Length < 0 || protected.Length > len(body) {
		return nil, false
	}
	return append(bytes.Clone(body[:protected.Length]), tail...), true
}

func unpadded(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
}
