package peers

import (
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serviceOf indexes a slice by the namespace/name of its Service.
func serviceOf(obj any) ([]string, error) {
	slice, ok := obj.(*discovery.EndpointSlice)
	if !ok || slice.Labels[discovery.LabelServiceName] == "" {
		return nil, nil
	}
	return []string{slice.Namespace + "/" + slice.Labels[discovery.LabelServiceName]}, nil
}

// trimSlice keeps of a slice the zones and first addresses of its ready endpoints:
// a cluster has as many endpoints as pods, or more. It leaves the object itself as
// it is.
func trimSlice(obj any) (any, error) {
	slice, ok := obj.(*discovery.EndpointSlice)
	if !ok {
		return obj, nil // the key of an object that is gone
	}
	ready := 0
	for i := range slice.Endpoints {
		if isReady(&slice.Endpoints[i]) {
			ready++
		}
	}
	trimmed := &discovery.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: slice.Namespace, Name: slice.Name, UID: slice.UID, ResourceVersion: slice.ResourceVersion,
			Labels: map[string]string{discovery.LabelServiceName: slice.Labels[discovery.LabelServiceName]},
		},
		AddressType: slice.AddressType,
		Endpoints:   make([]discovery.Endpoint, 0, ready),
	}
	zones := map[string]*string{} // endpoints of a zone share its name
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		if !isReady(e) {
			continue
		}
		zone := zones[zoneOf(e)]
		if zone == nil && e.Zone != nil {
			zone = e.Zone
			zones[*zone] = zone
		}
		kept := discovery.Endpoint{Zone: zone}
		if len(e.Addresses) > 0 { // the others are more addresses of the same endpoint
			kept.Addresses = e.Addresses[:1:1]
		}
		trimmed.Endpoints = append(trimmed.Endpoints, kept)
	}
	return trimmed, nil
}

// isReady: an endpoint of which nothing is known counts as ready, as the API has it.
func isReady(e *discovery.Endpoint) bool {
	return e.Conditions.Ready == nil || *e.Conditions.Ready
}

// zoneOf is the endpoint's zone, "" if it has none.
func zoneOf(e *discovery.Endpoint) string {
	if e.Zone == nil {
		return ""
	}
	return *e.Zone
}
