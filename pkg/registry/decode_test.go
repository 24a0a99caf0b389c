package registry

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"pgregory.net/rapid"

	"plimsoll.dev/scheduler/pkg/arch"
)

// told is what a manifest says, as text: index linux/amd64.
func told(t testing.TB, body string) string {
	t.Helper()
	c, err := decode([]byte(body))
	if err != nil {
		return "error"
	}
	words := []string{string(c.kind)}
	for _, child := range c.children {
		words = append(words, child.platform.String())
	}
	for _, p := range c.platforms {
		words = append(words, p.String())
	}
	if c.config != "" {
		words = append(words, "config")
	}
	return strings.Join(words, " ")
}

func entryOf(mediaType types.MediaType, rest string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1%s}`, mediaType, someDigest, rest)
}

const onAMD64 = `,"platform":{"os":"linux","architecture":"amd64"}`

func TestAnIndexEntryWithoutPlatformIsNotDereferenced(t *testing.T) {
	for _, without := range []string{"", `,"platform":null`, `,"platform":{}`} {
		body := indexOf(entryOf(types.OCIManifestSchema1, without), listed(someDigest, "linux", "arm64", ""))
		if got := told(t, body); got != "index linux/arm64" {
			t.Errorf("%s: got %q, want the other entry alone", without, got)
		}
	}
}

func TestEntriesThatAreNoImagesDoNotCount(t *testing.T) {
	for name, e := range map[string]string{
		"an attestation without a platform": entryOf(types.OCIManifestSchema1,
			`,"platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`),
		"an attestation with one":  entryOf(types.OCIManifestSchema1, onAMD64+`,"annotations":{"vnd.docker.reference.type":"attestation-manifest"}`),
		"an attestation by digest": entryOf(types.OCIManifestSchema1, onAMD64+`,"annotations":{"vnd.docker.reference.digest":"sha256:x"}`),
		"an artifact":              entryOf(types.OCIManifestSchema1, onAMD64+`,"artifactType":"application/spdx+json"`),
		"a nested index":           entryOf(types.OCIImageIndex, onAMD64),
		"a blob":                   entryOf(types.OCILayer, onAMD64),
		"nothing that is known":    entryOf("", onAMD64),
		"no operating system":      listed(someDigest, "", "amd64", ""),
		"no architecture":          listed(someDigest, "linux", "", ""),
		"unknown architecture":     listed(someDigest, "linux", "Unknown", ""),
		"a sentence":               listed(someDigest, "linux", "amd64 or so", ""),
		"a very long word":         listed(someDigest, "linux", strings.Repeat("a", 1000), ""),
	} {
		if got := told(t, indexOf(e)); got != "index" {
			t.Errorf("%s: got %q, want an index without platforms", name, got)
		}
		if got := told(t, indexOf(e, listed(someDigest, "linux", "arm64", "v8"))); got != "index linux/arm64" {
			t.Errorf("%s: got %q, want the other entry alone", name, got)
		}
	}
}

// go-containerregistry's own indexes have such entries.
func TestAnImageWhoseArtifactTypeIsThatOfItsConfigCounts(t *testing.T) {
	for _, config := range []types.MediaType{types.DockerConfigJSON, types.OCIConfigJSON, "application/vnd.wasm.config.v0+json"} {
		body := indexOf(entryOf(types.OCIManifestSchema1, fmt.Sprintf(`%s,"artifactType":%q`, onAMD64, config)))
		if got := told(t, body); got != "index linux/amd64" {
			t.Errorf("%s: got %q, want the entry to count", config, got)
		}
	}
}

func TestAManifestIsToldByWhatItHas(t *testing.T) {
	list := listed(someDigest, "linux", "amd64", "")
	image := fmt.Sprintf(`"config":{"mediaType":%q,"digest":%q}`, types.DockerConfigJSON, someDigest)
	for body, want := range map[string]string{
		`{"schemaVersion":2,"manifests":[` + list + `]}`:                                        "index linux/amd64",
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[` + list + `]}`: "index linux/amd64",
		indexOf(listed(someDigest, "wasi", "wasm", "")):                                         "index wasip1/wasm",
		`{"schemaVersion":2,"manifests":[]}`:                                                    "index",
		`{"mediaType":"` + string(types.DockerManifestList) + `","manifests":null}`:             "index",
		`{"mediaType":"` + string(types.DockerManifestList) + `",` + image + `}`:                "image config",
		`{` + image + `}`: "image config",
		`{` + image + `,"artifactType":"application/x"}`:                                                                            "image config",
		`{"config":{"digest":"` + someDigest + `"}}`:                                                                                "image config",
		`{"config":{"mediaType":"application/octet-stream","digest":"` + someDigest + `"}}`:                                         "image config",
		`{"config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"` + someDigest + `"}}`:                              "image config",
		`{"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + someDigest + `"},"artifactType":"application/x"}`: "artifact",
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":[]}`:                                "artifact",
		`{"schemaVersion":2,"artifactType":"application/x"}`:                                                                        "artifact",
		`{"schemaVersion":1,"architecture":"amd64"}`:                                                                                "schema1 linux/amd64",
		`{"schemaVersion":1,"architecture":"arm64","fsLayers":[]}`:                                                                  "schema1 linux/arm64",
		`{"schemaVersion":1,"architecture":""}`:                                                                                     "schema1",
		`{"schemaVersion":1}`:                                                                                                       "schema1",
		// What readers could understand differently, and what none understands.
		`{"manifests":[` + list + `],` + image + `}`:                     "error",
		`{"config":{"mediaType":"","digest":"../../evil"}}`:              "error",
		`{"config":{"digest":"sha256:` + strings.Repeat("/", 64) + `"}}`: "error",
		`{"config":"x"}`:           "error",
		`{"manifests":{}}`:         "error",
		`{"manifests":[1]}`:        "error",
		`{"manifests":"x"}`:        "error",
		`{"schemaVersion":2}`:      "error",
		`{"schemaVersion":"1"}`:    "error",
		`{}`:                       "error",
		`[]`:                       "error",
		`null`:                     "error",
		``:                         "error",
		`{"schemaVersion":1}trail`: "error",
	} {
		if got := told(t, body); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestAWindowsBuildTellsPlatformsApart(t *testing.T) {
	build := func(version string) string {
		return entryOf(types.OCIManifestSchema1, `,"platform":{"os":"windows","architecture":"amd64","os.version":"`+version+`"}`)
	}
	c, err := decode([]byte(indexOf(build("10.0.17763.1"), build("10.0.20348.1"), build("10.0.20348.1"))))
	if err != nil || len(c.children) != 2 {
		t.Errorf("got %+v, %v, want two builds", c.children, err)
	}
}

func TestTheFirstManifestOfAPlatformIsTheOneThatCounts(t *testing.T) {
	other := "sha256:" + strings.Repeat("cd", 32)
	c, err := decode([]byte(indexOf(listed(someDigest, "linux", "arm64", "v8"), listed(other, "linux", "aarch64", ""))))
	if err != nil || len(c.children) != 1 || c.children[0].digest != someDigest {
		t.Errorf("got %+v, %v, want %s alone: both are arm64", c.children, err, someDigest)
	}
}

func TestALongIndexIsBounded(t *testing.T) {
	var many []string
	for i := range maxPlatforms + 10 {
		many = append(many, listed(someDigest, "linux", fmt.Sprint("arch", i), ""))
	}
	if c, err := decode([]byte(indexOf(many...))); err != nil || len(c.children) != maxPlatforms {
		t.Errorf("got %d platforms, %v, want %d", len(c.children), err, maxPlatforms)
	}
	_, err := decode([]byte(`{"manifests":[` + strings.Repeat(`{},`, maxEntries) + `{}]}`))
	if f, ok := errors.AsType[*failure](err); !ok || f.problem != TooLarge {
		t.Errorf("got %v, want %s", err, TooLarge)
	}
}

// sign makes of {...} what Docker signed: the payload without its last two
// bytes, the signatures, and in them the tail.
func sign(payload string, inserted string) string {
	encode := base64.RawURLEncoding.EncodeToString
	head, tail := payload[:len(payload)-2], payload[len(payload)-2:]
	protected := encode(fmt.Appendf(nil, `{"formatLength":%d,"formatTail":%q}`, len(head), encode([]byte(tail))))
	return fmt.Sprintf(`%s%s,"signatures":[{"protected":%q}]%s`, head, inserted, protected, tail)
}

func TestTheDigestOfASignedManifestIsOfWhatWasSigned(t *testing.T) {
	payload := "{\"schemaVersion\":1,\"architecture\":\"arm64\"\n}"
	want := digestOf([]byte(payload))
	for _, asked := range []string{want, ""} {
		got, digest, err := verify([]byte(sign(payload, "")), asked)
		if err != nil || string(got) != payload || digest != want {
			t.Errorf("got %s of %q, %v, want %s of what was signed", digest, got, err, want)
		}
	}
	// A repeated member would win in JSON.
	got, _, err := verify([]byte(sign(payload, `,"architecture":"s390x"`)), want)
	if err != nil || told(t, string(got)) != "schema1 linux/arm64" {
		t.Errorf("got %q, %v, want nothing of what was added after signing", got, err)
	}
	if _, _, err := verify([]byte(sign(payload, "")), someDigest); err == nil {
		t.Error("want an error for another digest")
	}
}

func TestABrokenSignatureIsNone(t *testing.T) {
	encode := base64.RawURLEncoding.EncodeToString
	for _, protected := range []string{
		"", "!", encode([]byte("x")), encode([]byte(`{"formatLength":-1}`)), encode([]byte(`{"formatLength":99999}`)),
		encode([]byte(`{"formatLength":1,"formatTail":"!"}`)), encode([]byte(`{"formatLength":1e99}`)),
	} {
		body := fmt.Sprintf(`{"schemaVersion":1,"signatures":[{"protected":%q}]}`, protected)
		if _, digest, err := verify([]byte(body), ""); err != nil || digest != digestOf([]byte(body)) {
			t.Errorf("%s: got %s, %v, want the digest of the whole", protected, digest, err)
		}
	}
}

func TestABlobMayHaveALongerDigest(t *testing.T) {
	const empty512 = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
	if !verifyBlob(nil, empty512) || verifyBlob([]byte("x"), empty512) || verifyBlob(nil, "md5:d41d8cd98f00b204e9800998ecf8427e") {
		t.Error("want the digest of nothing to be of nothing, and md5 to be none")
	}
}

func TestAnIndexHasThePlatformsOfItsEntriesInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		architectures := rapid.SliceOfN(rapid.SampledFrom([]string{"amd64", "arm64", "s390x", "ppc64le", "riscv64"}), 0, 8).Draw(t, "architectures")
		junk := rapid.SampledFrom([]string{entryOf(types.OCIManifestSchema1, ""), `{}`, entryOf(types.OCIImageIndex, onAMD64), `null`})
		var entries []string
		var want []arch.Platform
		for _, a := range architectures {
			entries = append(entries, listed(someDigest, "linux", a, ""))
			want = append(want, arch.New("linux", a, "", ""))
		}
		for range rapid.IntRange(0, 4).Draw(t, "junk") {
			entries = append(entries, junk.Draw(t, "entry"))
		}
		c, err := decode([]byte(indexOf(rapid.Permutation(entries).Draw(t, "order")...)))
		if err != nil {
			t.Fatal(err)
		}
		var got []arch.Platform
		for _, child := range c.children {
			got = append(got, child.platform)
		}
		if g, w := drawn(Manifest{Platforms: arch.NewSet(got...)}), drawn(Manifest{Platforms: arch.NewSet(want...)}); g != w {
			t.Fatalf("got %s, want %s", g, w)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		indexOf(listed(someDigest, "linux", "amd64", "v3")), imageManifest(types.OCIConfigJSON, someDigest), `{"schemaVersion":1,"architecture":"arm64"}`,
		sign(`{"schemaVersion":1,"architecture":"x" }`, ""), `{"manifests":[{"platform":null}]}`, `{"manifests":[[[[`, config("wasi", "wasm", ""), `{"config":null}`,
	} {
		f.Add([]byte(seed))
	}
	check := func(t *testing.T, all ...arch.Platform) {
		for _, p := range all {
			if p.OS == "" || p.Architecture == "" || len(p.String())+len(p.OSVersion) > 5*maxWord {
				t.Fatalf("%#v is no platform", p)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if payload, digest, err := verify(body, ""); err != nil || digestOf(payload) != digest || len(payload) > 2*len(body) {
			t.Fatalf("%s of %q, %v", digest, payload, err)
		}
		if platforms, err := decodeConfig(body); err == nil {
			check(t, platforms...)
		}
		c, err := decode(body)
		if err != nil {
			return
		}
		check(t, c.platforms...)
		for _, child := range c.children {
			check(t, child.platform)
		}
		if len(c.children) > maxPlatforms || len(c.platforms) > 1 || c.kind == Image && !strings.HasPrefix(c.config, "sha") {
			t.Fatalf("%+v", c)
		}
	})
}
