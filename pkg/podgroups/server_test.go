package podgroups

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"
)

// server is as much of an API server as PodGroups need: discovery, list and watch.
type server struct {
	*httptest.Server
	transport *http.Transport

	mu        sync.Mutex
	served    bool // the CRD is there
	forbidden bool // RBAC does not allow to list
	broken    bool // nothing is answered
	slow      bool // lists are not answered
	groups    map[string]*v1alpha1.PodGroup
	version   int
	watchers  map[chan metav1.WatchEvent]bool
	// asked counts requests for discovery, lists those for lists.
	asked, lists int
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{groups: map[string]*v1alpha1.PodGroup{}, watchers: map[chan metav1.WatchEvent]bool{}, transport: &http.Transport{}, version: 1}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) config() *rest.Config { return &rest.Config{Host: s.URL, Transport: s.transport} }

// set changes what the server does.
func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// counts returns how often discovery and lists were asked for.
func (s *server) counts() (asked, lists int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.lists
}

// watched returns how many watch.
func (s *server) watched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watchers)
}

// put creates or changes a PodGroup of namespace ml, and deletes it if minMember is 0.
func (s *server) put(name string, minMember int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	group := &v1alpha1.PodGroup{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "PodGroup"},
		ObjectMeta: named(name), Spec: v1alpha1.PodGroupSpec{MinMember: minMember, ScheduleTimeoutSeconds: new(int32(90))},
	}
	group.ResourceVersion = strconv.Itoa(s.version)
	event := metav1.WatchEvent{Type: "ADDED"}
	switch {
	case minMember == 0:
		event.Type = "DELETED"
		delete(s.groups, name)
	case s.groups[name] != nil:
		event.Type = "MODIFIED"
		s.groups[name] = group
	default:
		s.groups[name] = group
	}
	event.Object.Object = group
	for watcher := range s.watchers {
		watcher <- event
	}
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const root = "/apis/scheduling.x-k8s.io/v1alpha1"
	s.mu.Lock()
	defer s.mu.Unlock()
	resource := schema.GroupResource{Group: v1alpha1.SchemeGroupVersion.Group, Resource: "podgroups"}
	query := r.URL.Query()
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == root {
		s.asked++
	} else if query.Get("watch") == "" {
		s.lists++
	}
	switch {
	case s.broken:
		refuse(w, apierrors.NewServiceUnavailable("restarting"))
	case !s.served:
		refuse(w, apierrors.NewNotFound(resource, ""))
	case path == root:
		answer(w, http.StatusOK, &metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: v1alpha1.SchemeGroupVersion.String(),
			APIResources: []metav1.APIResource{{Name: "elasticquotas", Kind: "ElasticQuota", Namespaced: true}, {Name: "podgroups", Kind: "PodGroup", Namespaced: true}},
		})
	case s.forbidden:
		refuse(w, apierrors.NewForbidden(resource, "", nil))
	case query.Get("sendInitialEvents") != "":
		refuse(w, apierrors.NewInvalid(schema.GroupKind{Kind: "ListOptions"}, "", nil))
	case query.Get("watch") != "":
		s.watch(w, r)
	case s.slow:
		s.mu.Unlock()
		<-r.Context().Done()
		s.mu.Lock()
	default:
		list := &v1alpha1.PodGroupList{
			TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "PodGroupList"},
			ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}, Items: []v1alpha1.PodGroup{},
		}
		for _, group := range s.groups {
			list.Items = append(list.Items, *group)
		}
		answer(w, http.StatusOK, list)
	}
}

// watch streams what changes after the version asked for. The lock is held, but
// not while it waits.
func (s *server) watch(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("resourceVersion") != strconv.Itoa(s.version) {
		refuse(w, apierrors.NewResourceExpired("list again"))
		return
	}
	events := make(chan metav1.WatchEvent, 100)
	s.watchers[events] = true
	defer delete(s.watchers, events)
	s.mu.Unlock()
	defer s.mu.Lock()
	answer(w, http.StatusOK, nil)
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case event := <-events:
			event.Object.Raw, _ = json.Marshal(event.Object.Object)
			_ = json.NewEncoder(w).Encode(event)
		}
	}
}

func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.Status()
	status.APIVersion, status.Kind = "v1", "Status"
	answer(w, int(status.Code), &status)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}
