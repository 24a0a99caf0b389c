package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const password = "pass-w0rd"

var ann = &Credential{Username: "ann", Password: password}

var annBasic = "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+password))

// wantBasic makes the fake private to ann.
func (f *fake) wantBasic() {
	f.guardedBy(func(authorization string) bool { return authorization == annBasic }, `Basic realm="here"`)
}

// wantBearer makes the fake want a token, from the token server at realm.
func (f *fake) wantBearer(realm string) {
	f.guardedBy(func(authorization string) bool { return strings.HasPrefix(authorization, "Bearer token-of-") },
		fmt.Sprintf(`Bearer realm=%q,service="fake"`, realm))
}

func (f *fake) guardedBy(opens func(string) bool, challenge string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.intercept
	f.intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/v2/") && !opens(r.Header.Get("Authorization")) {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return before != nil && before(w, r)
	}
}

// issue answers /token: ann's password, or her identity, and anonymous if so
// wanted, are worth a token.
func (f *fake) issue(anonymous bool) {
	f.on("/token", func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		switch {
		case r.Method == http.MethodPost:
			_ = json.NewEncoder(w).Encode(map[string]string{"access_token": "token-of-identity"})
		case user == "ann" && pass == password, user == "" && anonymous:
			_ = json.NewEncoder(w).Encode(map[string]string{"token": "token-of-" + user})
		default:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"errors":[{"code":"UNAUTHORIZED","message":"not %s with %s"}]}`, user, pass)
		}
	})
}

// wantNoSecrets fails if the text, or the fake's record, has ann's secrets.
func wantNoSecrets(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{password, annBasic[len("Basic "):], "token-of", "identity-t0ken", "registry-t0ken", "signature"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q has the secret %q", text, secret)
		}
	}
}

func TestARegistryWithPasswordsIsShownTheCredential(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.wantBasic()
	h := newHarness(t, nil, f)
	if m, err := h.resolve(t, f.host()+"/app:v1", ann); err != nil || drawn(m) != "index linux/amd64" {
		t.Errorf("got %v, %v, want the image", drawn(m), err)
	}
	if e := h.problem(t, f.host()+"/app:v1", nil, Unauthorized); !strings.Contains(e.Cause.Error(), "asked without credentials") {
		t.Errorf("got %v, want that there was no credential", e.Cause)
	}
	e := h.problem(t, f.host()+"/app:v1", &Credential{Username: "ann", Password: "other"}, Unauthorized)
	if strings.Contains(e.Cause.Error(), "asked without credentials") || strings.Contains(e.Cause.Error(), "other:") {
		t.Errorf("got %v, want that the credential is the wrong one", e.Cause)
	}
}

func TestARegistryWithTokensIsShownOne(t *testing.T) {
	for name, tc := range map[string]struct {
		credential *Credential
		anonymous  bool
		want       string
		shown      string
		fetched    int
	}{
		"for a password":       {ann, false, "index linux/amd64", "Bearer token-of-ann", 1},
		"for nothing":          {nil, true, "index linux/amd64", "Bearer token-of-", 1},
		"for nothing, refused": {nil, false, "", "", 1},
		"for an identity":      {&Credential{IdentityToken: "identity-t0ken"}, false, "index linux/amd64", "Bearer token-of-identity", 1},
		"at once":              {&Credential{RegistryToken: "token-of-registry"}, false, "index linux/amd64", "Bearer token-of-registry", 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.index(t, "app", "v1", "amd64")
			f.wantBearer(f.URL + "/token")
			f.issue(tc.anonymous)
			h := newHarness(t, nil, f)
			if tc.want == "" {
				h.wantProblem(t, f.host()+"/app:v1", tc.credential, Unauthorized)
				return
			}
			m, err := h.resolve(t, f.host()+"/app:v1", tc.credential)
			if err != nil || drawn(m) != tc.want {
				t.Fatalf("got %v, %v, want %s", drawn(m), err, tc.want)
			}
			if !slices.Contains(f.shown(), tc.shown) {
				t.Errorf("shown %q, want %q among it", f.shown(), tc.shown)
			}
			fetched := 0
			for _, request := range f.asked() {
				if strings.HasSuffix(request, "/token") {
					fetched++
				}
			}
			if fetched != tc.fetched {
				t.Errorf("asked for %d tokens, want %d", fetched, tc.fetched)
			}
		})
	}
}

func TestATokenServerElsewhereIsAskedOverTLSAlone(t *testing.T) {
	f, tokens, plain := newFake(t), newFake(t), newPlainFake(t)
	f.index(t, "app", "v1", "amd64")
	tokens.issue(false)
	plain.issue(false)
	// The certificates of all fakes are the same: that of f opens all.
	h := routed(t, nil, map[string]string{"auth.example.com:443": tokens.host(), "auth.example.com:80": plain.host()}, f)

	f.wantBearer("https://auth.example.com/token")
	if m, err := h.resolve(t, f.host()+"/app:v1", ann); err != nil || drawn(m) != "index linux/amd64" {
		t.Errorf("https: got %v, %v, want the image", drawn(m), err)
	}
	if got := tokens.shown(); !slices.Equal(got, []string{annBasic}) {
		t.Errorf("the token server was shown %q, want the password", got)
	}
	for _, shown := range f.shown() {
		wantNoSecrets(t, strings.TrimPrefix(shown, "Bearer token-of-ann"))
	}

	f.intercept = nil
	f.wantBearer("http://auth.example.com/token")
	h.clock.Step(wayTTL)
	if e := h.problem(t, f.host()+"/app:v1", ann, Forbidden); !strings.Contains(e.Cause.Error(), "token server") {
		t.Errorf("got %v, want that it is the token server", e.Cause)
	}
	wantRequests(t, plain)
}

func TestATokenServerAtARefusedAddressIsNotAsked(t *testing.T) {
	f := newFake(t)
	h := routed(t, nil, map[string]string{"metadata.example.com:443": "169.254.169.254:443"}, f)
	for _, realm := range []string{
		"https://169.254.169.254/token", "https://[fd00:ec2::254]/token", "https://[::ffff:169.254.169.254]/token",
		"https://metadata.example.com/token", "https://2852039166/token", "ftp://auth.example.com/token",
	} {
		f.intercept = nil
		f.wantBearer(realm)
		wantNoSecrets(t, h.problem(t, f.host()+"/app:v1", ann, Forbidden).Cause.Error())
	}
	f.intercept = nil
	f.wantBearer("no url")
	h.wantProblem(t, f.host()+"/app:v1", ann, Malformed)
}

func TestATokenServerThatSendsNoTokenIsMalformed(t *testing.T) {
	f := newFake(t)
	f.wantBearer(f.URL + "/token")
	f.on("/token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"refresh_token":"token-of-another"}`))
	})
	e := newHarness(t, nil, f).problem(t, f.host()+"/app", ann, Malformed)
	wantNoSecrets(t, e.Cause.Error())
}

func TestARedirectedTokenRequestDoesNotTakeTheSecretAlong(t *testing.T) {
	f, other := newFake(t), newFake(t)
	other.issue(true)
	h := routed(t, nil, map[string]string{"other.example.com:443": other.host()}, f)
	f.wantBearer(f.URL + "/token")
	f.on("/token", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://other.example.com/token", http.StatusTemporaryRedirect)
	})
	_, err := h.resolve(t, f.host()+"/app:v1", ann)
	if err == nil {
		t.Error("want an error: there is no such image")
	}
	h.wantProblem(t, f.host()+"/app:v1", &Credential{IdentityToken: "identity-t0ken"}, Forbidden)
	if got := other.shown(); len(got) != 0 {
		t.Errorf("the other host was shown %q, want nothing", got)
	}
}

func TestAMirrorIsNeverShownTheCredential(t *testing.T) {
	for name, wants := range map[string]func(mirror *fake){
		"that wants a password": (*fake).wantBasic,
		"that wants a token":    func(mirror *fake) { mirror.wantBearer(mirror.URL + "/token"); mirror.issue(false) },
		"that wants nothing":    func(mirror *fake) {},
	} {
		t.Run(name, func(t *testing.T) {
			own, mirror := newFake(t), newFake(t)
			own.index(t, "app", "v1", "amd64")
			own.wantBasic()
			wants(mirror)
			h := newHarness(t, func(o *Options) { o.Hosts[0].Mirrors = []string{mirror.host()} }, own, mirror)
			if m, err := h.resolve(t, own.host()+"/app:v1", ann); err != nil || drawn(m) != "index linux/amd64" {
				t.Errorf("got %v, %v, want the registry's image", drawn(m), err)
			}
			if len(mirror.asked()) == 0 || len(mirror.shown()) != 0 {
				t.Errorf("the mirror was shown %q, want it to be asked and shown nothing", mirror.shown())
			}
		})
	}
}

func TestARedirectIsFollowedWithoutTheCredential(t *testing.T) {
	for name, protect := range map[string]func(f *fake){
		"password": (*fake).wantBasic,
		"token":    func(f *fake) { f.wantBearer(f.URL + "/token"); f.issue(false) },
	} {
		t.Run(name, func(t *testing.T) {
			f, store := newFake(t), newFake(t)
			f.image(t, "app", "v1", config("linux", "arm64", ""))
			blob := digestOf([]byte(config("linux", "arm64", "")))
			f.on("/blobs/"+blob, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://store.example.com/"+blob+"?signature=s3cret", http.StatusTemporaryRedirect)
			})
			protect(f)
			status := http.StatusOK
			store.on(blob, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(config("linux", "arm64", "")))
			})
			h := routed(t, nil, map[string]string{"store.example.com:443": store.host()}, f)
			if m, err := h.resolve(t, f.host()+"/app:v1", ann); err != nil || drawn(m) != "image linux/arm64" {
				t.Errorf("got %v, %v, want the image", drawn(m), err)
			}
			if len(store.asked()) != 1 || len(store.shown()) != 0 {
				t.Errorf("the store was shown %q, want it to be asked and shown nothing", store.shown())
			}
			// Neither does the error repeat what signs the URL.
			status = http.StatusInternalServerError
			wantNoSecrets(t, h.problem(t, f.host()+"/app:v1", ann, ServerError).Cause.Error())
			store.Close()
			wantNoSecrets(t, h.problem(t, f.host()+"/app:v1", ann, Unreachable).Cause.Error())
		})
	}
}

func TestWhatARegistryWritesAfterItSawASecretIsNotRepeated(t *testing.T) {
	f := newFake(t)
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"not with %s"}]}`, r.Header.Get("Authorization"))
	})
	f.wantBasic()
	e := newHarness(t, nil, f).problem(t, f.host()+"/app:v1", ann, Unauthorized)
	wantNoSecrets(t, e.Cause.Error())
	if !strings.Contains(e.Cause.Error(), "DENIED") {
		t.Errorf("got %v, want the code", e.Cause)
	}

	f.intercept = nil
	f.wantBearer(f.URL + "/token")
	f.issue(false)
	e = newHarness(t, nil, f).problem(t, f.host()+"/app:v1", &Credential{Username: "bob", Password: password}, Unauthorized)
	wantNoSecrets(t, e.Cause.Error())
}

func TestPlainHTTPIsRefusedUnlessTheHostConsents(t *testing.T) {
	f := newPlainFake(t)
	f.index(t, "app", "v1", "amd64")
	f.wantBasic()

	refusing := newHarness(t, func(o *Options) { o.Hosts = nil }, f)
	// The library tries http for what it deems local.
	if e := refusing.problem(t, f.host()+"/app:v1", ann, Unreachable); !strings.Contains(e.Cause.Error(), "plainHTTP") {
		t.Errorf("got %v, want the setting that would help", e.Cause)
	}
	if len(f.asked()) != 0 || len(f.shown()) != 0 {
		t.Error("want nothing to be sent by http")
	}

	consenting := newHarness(t, nil, f)
	if m, err := consenting.resolve(t, f.host()+"/app:v1", ann); err != nil || drawn(m) != "index linux/amd64" {
		t.Errorf("got %v, %v, want the image", drawn(m), err)
	}
}

func TestARedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	f, plain := newFake(t), newPlainFake(t)
	plain.index(t, "app", "v1", "amd64")
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusFound)
	})
	h := newHarness(t, func(o *Options) { o.Hosts = o.Hosts[:1] }, f, plain)
	h.wantProblem(t, f.host()+"/app:v1", nil, Forbidden)
	wantRequests(t, plain)
}

func TestACredentialNeverPrintsItself(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{*ann, ann, struct{ C Credential }{*ann}} {
			if got := fmt.Sprintf(verb, value); strings.Contains(got, password) || strings.Contains(got, "ann") {
				t.Errorf("%s: %s", verb, got)
			}
		}
	}
}

func TestACancelledContextEndsAResolveAndIsFoundInItsError(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(context.Background())
	f.on("/manifests/v1", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	ref, _ := Parse(f.host() + "/app:v1")
	if _, err := newHarness(t, nil, f).Resolve(ctx, ref, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
