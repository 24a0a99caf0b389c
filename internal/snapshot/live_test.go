package snapshot

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// shortDir is a folder whose path is short enough for a unix socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// pagesServer answers lists, page by page.
type pagesServer struct {
	// pages of items by path; a path without any does not exist, unless it is one of
	// those that all API servers have.
	pages map[string][]string
	// expired is how many second pages expire.
	expired int

	mu       sync.Mutex
	requests []string
}

func (s *pagesServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	query := r.URL.Query()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	w.Header().Set("Content-Type", "application/json")
	refuse := func(code int, reason metav1.StatusReason) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: reason, Code: int32(code)})
	}
	pages := s.pages[r.URL.Path]
	if pages == nil && (strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/apis/apps/")) {
		pages = []string{""}
	}
	at := 0
	if next := query.Get("continue"); next != "" {
		_, _ = fmt.Sscan(next, &at)
	}
	switch {
	case query.Get("watch") != "" || query.Get("limit") != "500":
		refuse(http.StatusBadRequest, metav1.StatusReasonBadRequest)
	case pages == nil:
		refuse(http.StatusNotFound, metav1.StatusReasonNotFound)
	case at > 0 && s.expired > 0:
		s.expired--
		refuse(http.StatusGone, metav1.StatusReasonExpired)
	default:
		next := ""
		if at+1 < len(pages) {
			next = fmt.Sprint(at + 1)
		}
		fmt.Fprintf(w, `{"kind": "ThingList", "apiVersion": "v1", "metadata": {"continue": %q}, "items": [%s]}`, next, pages[at])
	}
}

// read reads what the server has.
func (s *pagesServer) read(t *testing.T) (*Snapshot, error) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	return FromCluster(t.Context(), &rest.Config{Host: server.URL}, "lab")
}

// named is an object of a list, which does not say its kind.
func named(name, more string) string {
	return fmt.Sprintf(`{"metadata": {"name": %q, "uid": %q, "resourceVersion": "1"}%s}`, name, name, more)
}

func TestListsComeInPages(t *testing.T) {
	for expired, works := range map[int]bool{0: true, 2: true, 3: false} {
		s := &pagesServer{expired: expired, pages: map[string][]string{"/api/v1/nodes": {named("a", "") + "," + named("b", ""), named("c", "")}}}
		got, err := s.read(t)
		if works != (err == nil) {
			t.Errorf("expired %d times: %v", expired, err)
		}
		if err != nil {
			continue
		}
		if diff := cmp.Diff([]string{"Node a", "Node b", "Node c"}, names(got)); diff != "" {
			t.Errorf("expired %d times (-want +got):\n%s", expired, diff)
		}
	}
}

func TestOldAPIServersHaveOlderVersions(t *testing.T) {
	s := &pagesServer{pages: map[string][]string{
		"/apis/resource.k8s.io/v1beta1/resourceclaims": {named("c", `, "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "gpu"}]}}`)},
	}}
	got, err := s.read(t)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ResourceClaim default/c"}, names(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if want := "the API server has no resourceslices (resource.k8s.io/v1)"; !slices.Contains(got.Notes, want) {
		t.Errorf("notes %q, want %q", got.Notes, want)
	}
	if slices.ContainsFunc(got.Notes, func(note string) bool {
		return strings.Contains(note, "podgroups") || strings.Contains(note, "devicetaintrules")
	}) {
		t.Errorf("notes name what no API server need have: %q", got.Notes)
	}
}

func TestOnlyListsAreAskedFor(t *testing.T) {
	s := &pagesServer{pages: map[string][]string{}}
	var want []string
	for _, gvr := range Kinds() {
		path := "/apis/" + gvr.GroupVersion().String() + "/" + gvr.Resource
		if gvr.Group == "" {
			path = "/api/v1/" + gvr.Resource
		}
		s.pages[path] = []string{""}
		want = append(want, "GET "+path)
	}
	if _, err := s.read(t); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.requests); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAnswerThatIsNoneIsAnError(t *testing.T) {
	s := &pagesServer{pages: map[string][]string{"/api/v1/pods": {`{"metadata": {"name": "x"}, "spec": {"priority": "high"}}`}}}
	_, err := s.read(t)
	if want := "reading context lab: /api/v1/pods:1: Pod default/x: spec.priority: want a whole number, got a string"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>log in</html>") }))
	defer login.Close()
	if _, err := FromCluster(t.Context(), &rest.Config{Host: login.URL}, "lab"); err == nil || !strings.Contains(err.Error(), "listing pods: the answer is not JSON") {
		t.Errorf("got %v", err)
	}
}
