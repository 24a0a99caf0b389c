package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAddressesNoRegistryIsAtAreRefused(t *testing.T) {
	for _, address := range []string{
		"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "fd00:ec2::254", "fd20:ce::254",
		"100.100.100.200", "192.0.0.192", "168.63.129.16", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "0.1.2.3", "::",
		"224.0.0.1", "239.1.1.1", "255.255.255.255", "ff02::1", "64:ff9b::169.254.169.254", "64:ff9b::7f00:1", "2002:a9fe:a9fe::1", "2002:7f00:1::",
	} {
		if !refuses(netip.MustParseAddr(address), nil) {
			t.Errorf("%s is dialled, want it to be refused", address)
		}
		if !refusesHost(address, nil) {
			t.Errorf("%s written out is asked, want it to be refused", address)
		}
	}
	for _, address := range []string{"10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "2001:db8::1", "fd12:3456::1", "::ffff:10.0.0.1", "64:ff9b::808:808", "2002:808:808::1"} {
		if refuses(netip.MustParseAddr(address), nil) || refusesHost(address, nil) {
			t.Errorf("%s is refused, want it to be asked: registries are at such addresses", address)
		}
	}
}

func TestHostsThatOnlySomeReadAsAddressesAreRefused(t *testing.T) {
	for _, host := range []string{"2852039166", "0xa9fea9fe", "127.1", "0x7f.1", "0177.0.0.1", "1.2.3.4.5", "169.254.169.254.", "0x", "fe80::1%25eth0", "127.0.0.1%eth0"} {
		if !refusesHost(host, nil) {
			t.Errorf("%s is asked, want it to be refused", host)
		}
	}
	for _, host := range []string{"quay.io", "registry", "1password.example.com", "0xcafe.io", "a.b2c", "3com"} {
		if refusesHost(host, nil) {
			t.Errorf("%s is refused, want its addresses to decide", host)
		}
	}
}

func TestAllowedNetworksAreExceptions(t *testing.T) {
	allowed := unmapped([]netip.Prefix{netip.MustParsePrefix("127.1.2.3/8"), netip.MustParsePrefix("::ffff:169.254.20.0/120")})
	for address, want := range map[string]bool{
		"127.0.0.1": false, "::ffff:127.0.0.1": false, "169.254.20.10": false, "64:ff9b::7f00:1": false, "169.254.169.254": true, "::1": true,
	} {
		if got := refuses(netip.MustParseAddr(address), allowed); got != want {
			t.Errorf("%s: refused %v, want %v", address, got, want)
		}
	}
}

func TestHowAnIPv4AddressIsEmbeddedDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v4 := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
		addr := netip.AddrFrom4(v4)
		mapped := netip.AddrFrom16(addr.As16())
		translated := [16]byte{0: 0, 1: 0x64, 2: 0xff, 3: 0x9b}
		copy(translated[12:], v4[:])
		if want := refuses(addr, nil); refuses(mapped, nil) != want || refuses(netip.AddrFrom16(translated), nil) != want {
			t.Fatalf("%v is refused: %v, want the same of %v and %v", addr, want, mapped, netip.AddrFrom16(translated))
		}
	})
}

func TestANameThatResolvesToARefusedAddressIsRefusedWhenDialled(t *testing.T) {
	f := newFake(t)
	h := routed(t, func(o *Options) { o.AllowedNetworks = nil }, map[string]string{
		"metadata.example.com:443": "169.254.169.254:443", "v6.example.com:443": "[::ffff:169.254.169.254]:443",
	}, f)
	for image, address := range map[string]string{
		"metadata.example.com/app":     "169.254.169.254",
		"v6.example.com/app":           "169.254.169.254",
		"169.254.169.254/app":          "169.254.169.254",
		"[fd00:ec2::254]/app":          "fd00:ec2::254",
		f.host() + "/app":              "127.0.0.1",
		"localhost:" + f.port() + "/a": "address ", // 127.0.0.1 or ::1, by the machine's own resolver
	} {
		if e := h.problem(t, image, nil, Forbidden); !strings.Contains(e.Cause.Error(), address) {
			t.Errorf("%s: got %v, want the address %s in it", image, e.Cause, address)
		}
	}
	wantRequests(t, f)
}

func TestARedirectToARefusedAddressIsNotFollowed(t *testing.T) {
	f := newFake(t)
	target := ""
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) })
	h := routed(t, nil, map[string]string{"metadata.example.com:443": "169.254.169.254:443"}, f)
	for _, target = range []string{
		"https://169.254.169.254/latest/meta-data?signature=x", "https://metadata.example.com/latest?signature=x",
		"https://[::ffff:a9fe:a9fe]/", "https://2852039166/", "http://169.254.169.254/", "gopher://quay.io/",
	} {
		e := h.problem(t, f.host()+"/app:v1", nil, Forbidden)
		if wantNoSecrets(t, e.Cause.Error()); strings.Contains(e.Cause.Error(), "latest") {
			t.Errorf("got %v, want nothing of the redirect's path", e.Cause)
		}
	}
}

func TestRedirectsAreBounded(t *testing.T) {
	f := newFake(t)
	digest := f.index(t, "app", "v1", "amd64")
	left := 0
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		if left--; left >= 0 {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return
		}
		f.content.ServeHTTP(w, r)
	})
	h := newHarness(t, func(o *Options) { o.MaxRedirects = 3 }, f)
	left = 3
	if m, err := h.resolve(t, f.host()+"/app:v1", nil); err != nil || m.Digest != digest {
		t.Errorf("three redirects: got %v, want the image", err)
	}
	f.asked()
	left = 1 << 30
	if e := h.problem(t, f.host()+"/app:v1", nil, Malformed); !strings.Contains(e.Cause.Error(), "more than 3 redirects") {
		t.Errorf("got %v, want the bound", e.Cause)
	}
	if got := len(f.asked()); got != 5 {
		t.Errorf("%d requests, want the login, the first and three more", got)
	}
}

func TestAHugeAnswerIsNotRead(t *testing.T) {
	const chunk, whole = 1 << 16, 1 << 30
	for name, length := range map[string]string{"with its length": fmt.Sprint(whole), "in chunks": ""} {
		for _, path := range []string{"/manifests/v1", "/token"} {
			t.Run(name+" at "+path, func(t *testing.T) {
				f := newFake(t)
				var sent atomic.Int64
				ended := make(chan struct{}, 4)
				if path == "/token" {
					f.wantBearer(f.URL + "/token")
				}
				f.on(path, func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodHead {
						return
					}
					w.Header().Set("Content-Length", length)
					if length == "" {
						w.Header().Del("Content-Length")
					}
					for range whole / chunk {
						n, err := w.Write(make([]byte, chunk))
						if sent.Add(int64(n)); err != nil {
							break
						}
					}
					ended <- struct{}{}
				})
				h := newHarness(t, func(o *Options) { o.MaxBytes = 1 << 20 }, f)
				want := TooLarge
				if path == "/token" && length == "" {
					want = Malformed // the library gives up on a token at 64 KiB
				}
				h.wantProblem(t, f.host()+"/app:v1", nil, want)
				select {
				case <-ended:
				case <-time.After(20 * time.Second):
					t.Fatal("still sending")
				}
				if got := sent.Load(); got > 32<<20 { // what buffers hold, and what is under way
					t.Errorf("%d bytes were sent, want little more than the %d that are read", got, 1<<20)
				}
			})
		}
	}
}

func TestALargeManifestThatIsKnownIsNotTooLarge(t *testing.T) {
	f := newFake(t)
	digest := f.index(t, "app", "v1", "amd64", "arm64")
	h := newHarness(t, func(o *Options) { o.MaxBytes = 100 }, f)
	h.wantProblem(t, f.host()+"/app:v1", nil, TooLarge)
	ref, _ := Parse(f.host() + "/app:v1")
	known := func(string) (Manifest, bool) { return Manifest{Digest: digest, Kind: Index}, true }
	if m, err := h.Resolve(context.Background(), ref, nil, known); err != nil || m.Digest != digest {
		t.Errorf("got %v, %v, want what is known", m, err)
	}
}

func TestALongErrorIsStillThatError(t *testing.T) {
	for _, path := range []string{"/v2/", "/manifests/v1"} {
		f := newFake(t)
		f.on(path, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(make([]byte, 1<<20))
		})
		newHarness(t, nil, f).wantProblem(t, f.host()+"/app:v1", nil, ServerError)
	}
}

func TestACompressedAnswerIsNeitherAskedForNorUnpacked(t *testing.T) {
	f := newFake(t)
	f.index(t, "app", "v1", "amd64")
	f.on("/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "" {
			t.Errorf("Accept-Encoding: %s, want none", got)
		}
		if got := r.Header.Get("User-Agent"); got != "plimsoll-test" {
			t.Errorf("User-Agent: %s, want plimsoll-test", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	})
	newHarness(t, func(o *Options) { o.UserAgent = "plimsoll-test" }, f).wantProblem(t, f.host()+"/app:v1", nil, Malformed)
}

func TestARegistryThatDoesNotAnswerEndsAtTheTimeout(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	drip := func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
				_, _ = w.Write([]byte(" "))
				w.(http.Flusher).Flush()
			}
		}
	}
	for name, tc := range map[string]struct {
		path   string
		answer http.HandlerFunc
	}{
		"hangs at login":    {"/v2/", hang},
		"hangs at manifest": {"/manifests/v1", hang},
		"drips its login":   {"/v2/", drip},
		"drips a manifest": {"/manifests/v1", func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				drip(w, r)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.on(tc.path, tc.answer)
			h := newHarness(t, func(o *Options) { o.Timeout = 150 * time.Millisecond }, f)
			begin := time.Now()
			e := h.problem(t, f.host()+"/app:v1", nil, TimedOut)
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("took %v, want about the timeout", took)
			}
			if !errors.Is(e, context.DeadlineExceeded) || !e.Temporary() {
				t.Errorf("got %v, want a deadline that may be met another time", e.Cause)
			}
		})
	}
}

func TestWhatCannotBeReachedIsUnreachable(t *testing.T) {
	f := newFake(t)
	gone := newFake(t)
	gone.Close()
	h := newHarness(t, func(o *Options) { o.Hosts = nil }, f)
	for image, says := range map[string]string{
		f.host() + "/app":    "certificate",
		gone.host() + "/app": "refused",
	} {
		if e := h.problem(t, image, nil, Unreachable); !strings.Contains(e.Cause.Error(), says) || !e.Temporary() {
			t.Errorf("%s: got %v, want %q in it", image, e.Cause, says)
		}
	}
}

func TestAProxyIsUsedAndLiteralAddressesAreRefusedBeforeIt(t *testing.T) {
	var asked atomic.Int64
	proxy := newPlainFake(t)
	proxy.on("", func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.WriteHeader(http.StatusBadGateway) })
	o := Options{AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: 20 * time.Second}
	client, err := newClient(o, network{proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }})
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]Problem{"169.254.169.254/app": Forbidden, "registry.example.com/app": Unreachable} {
		ref, _ := Parse(image)
		_, err := client.Resolve(context.Background(), ref, nil, nil)
		if e, ok := errors.AsType[*Error](err); !ok || e.Problem != want {
			t.Errorf("%s: got %v, want %s", image, err, want)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the proxy was asked %d times, want once for the name", asked.Load())
	}
}
