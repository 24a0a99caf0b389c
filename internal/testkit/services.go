package testkit

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Services reads Services and where their endpoints are, one per line:
//
//	db  zone:eu-1a=3 zone:eu-1b=1 notready:eu-1c=2 nozone=1 selector:app=db annotation:service.kubernetes.io/topology-mode=Auto
//
// Each becomes a Service and an EndpointSlice with so many endpoints per zone.
func Services(text string) ([]runtime.Object, error) {
	var out []runtime.Object
	err := eachLine(text, func(names []string, fields []string) error {
		for _, name := range names {
			service := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{}},
				Spec: v1.ServiceSpec{Selector: map[string]string{}, Ports: []v1.ServicePort{{Port: 80}}}}
			slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: name}}}
			for _, f := range fields {
				if err := readService(service, slice, f); err != nil {
					return fmt.Errorf("service %s: %q: %w", name, f, err)
				}
			}
			out = append(out, service, slice)
		}
		return nil
	})
	return out, err
}

func readService(service *v1.Service, slice *discoveryv1.EndpointSlice, field string) error {
	key, value, _ := strings.Cut(field, "=")
	kind, rest, _ := strings.Cut(key, ":")
	switch kind {
	case "selector":
		service.Spec.Selector[rest] = value
		return nil
	case "annotation":
		service.Annotations[rest] = value
		return nil
	case "zone", "nozone", "notready":
		n, err := strconv.Atoi(value)
		for range n {
			slice.Endpoints = append(slice.Endpoints, endpoint(len(slice.Endpoints), rest, kind != "notready"))
		}
		return err
	}
	return fmt.Errorf("want zone:ZONE, notready:ZONE or nozone with a number, selector:KEY or annotation:KEY")
}

func endpoint(number int, zone string, ready bool) discoveryv1.Endpoint {
	out := discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.0.%d.%d", number/250, number%250+1)},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready}}
	if zone != "" {
		out.Zone = &zone
	}
	return out
}
