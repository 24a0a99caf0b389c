package snapshot

import (
	"context"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/kubernetes/pkg/apis/resource"
	"k8s.io/kubernetes/pkg/registry/apps/daemonset"
	"k8s.io/kubernetes/pkg/registry/apps/deployment"
	"k8s.io/kubernetes/pkg/registry/apps/replicaset"
	"k8s.io/kubernetes/pkg/registry/apps/statefulset"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/core/replicationcontroller"
	"k8s.io/kubernetes/pkg/registry/core/service"
	"k8s.io/kubernetes/pkg/registry/discovery/endpointslice"
	"k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget"
	"k8s.io/kubernetes/pkg/registry/resource/deviceclass"
	"k8s.io/kubernetes/pkg/registry/resource/devicetaintrule"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaim"
	"k8s.io/kubernetes/pkg/registry/resource/resourceclaimtemplate"
	"k8s.io/kubernetes/pkg/registry/resource/resourceslice"
	"k8s.io/kubernetes/pkg/registry/scheduling/podgroup"
	"k8s.io/kubernetes/pkg/registry/scheduling/priorityclass"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
	"sigs.k8s.io/scheduler-plugins/apis/scheduling/v1alpha1"

	// The groups of all these kinds join the scheme.
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
)

// kind is a kind of object that is read.
type kind struct {
	schema.GroupVersionKind // the version in which it is kept
	resource                string
	// older are the versions to ask an API server for that does not serve Version.
	older []string
	// optional: an API server need not serve it.
	optional bool
	// workload: only its pods count, and they are made of it in what-if files only.
	workload bool
	// strategy is how an API server judges it; nil for kinds that are not built in.
	strategy rest.RESTCreateUpdateStrategy
	// namespaced: its objects are in namespaces.
	namespaced bool
}

// catalogue holds the kinds in the order in which they are kept.
type catalogue struct {
	kinds  []*kind
	byKind map[schema.GroupKind]*kind
}

// known makes the catalogue once; nobody changes it.
var known = sync.OnceValue(func() *catalogue {
	c := &catalogue{byKind: map[schema.GroupKind]*kind{}}
	c.kinds = slices.Concat(coreKinds(), deviceKinds(), storageKinds(), ownerKinds())
	for _, k := range c.kinds {
		if k.strategy != nil {
			k.namespaced = k.strategy.NamespaceScoped()
		}
		c.byKind[k.GroupKind()] = k
	}
	return c
})

func builtIn(group, version, name, resource string, strategy rest.RESTCreateUpdateStrategy) *kind {
	return &kind{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: version, Kind: name}, resource: resource, strategy: strategy}
}

// Pods come before the objects they refer to: what is made while a cluster is read
// is rather there without its pod than missing.
func coreKinds() []*kind {
	return []*kind{
		builtIn("", "v1", "Pod", "pods", pod.Strategy),
		builtIn("", "v1", "Node", "nodes", node.Strategy),
		builtIn("", "v1", "Namespace", "namespaces", namespace.Strategy),
		builtIn("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", priorityclass.Strategy),
	}
}

func deviceKinds() []*kind {
	out := []*kind{
		builtIn(resource.GroupName, "v1", "DeviceClass", "deviceclasses", deviceclass.Strategy),
		builtIn(resource.GroupName, "v1", "ResourceSlice", "resourceslices", resourceslice.Strategy),
		builtIn(resource.GroupName, "v1", "ResourceClaimTemplate", "resourceclaimtemplates", resourceclaimtemplate.NewStrategy(everyNamespace{})),
		builtIn(resource.GroupName, "v1", "ResourceClaim", "resourceclaims", resourceclaim.NewStrategy(everyNamespace{}, nil)),
	}
	for _, k := range out {
		k.older = []string{"v1beta2", "v1beta1"}
	}
	rules := builtIn(resource.GroupName, "v1beta2", "DeviceTaintRule", "devicetaintrules", devicetaintrule.Strategy)
	rules.older, rules.optional = []string{"v1alpha3"}, true
	return append(out, rules)
}

func storageKinds() []*kind {
	const group = "storage.k8s.io"
	return []*kind{
		builtIn(group, "v1", "StorageClass", "storageclasses", storageclass.Strategy),
		builtIn("", "v1", "PersistentVolume", "persistentvolumes", persistentvolume.Strategy),
		builtIn("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", persistentvolumeclaim.Strategy),
		builtIn(group, "v1", "CSIDriver", "csidrivers", csidriver.Strategy),
		builtIn(group, "v1", "CSINode", "csinodes", csinode.Strategy),
		builtIn(group, "v1", "CSIStorageCapacity", "csistoragecapacities", csistoragecapacity.Strategy),
		builtIn(group, "v1", "VolumeAttachment", "volumeattachments", volumeattachment.Strategy),
	}
}

func ownerKinds() []*kind {
	out := []*kind{
		builtIn("", "v1", "Service", "services", service.Strategy),
		builtIn("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", endpointslice.Strategy),
		builtIn("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", poddisruptionbudget.Strategy),
		builtIn("", "v1", "ReplicationController", "replicationcontrollers", replicationcontroller.Strategy),
		builtIn("apps", "v1", "ReplicaSet", "replicasets", replicaset.Strategy),
		builtIn("apps", "v1", "StatefulSet", "statefulsets", statefulset.Strategy),
		builtIn("batch", "v1", "Job", "jobs", job.Strategy),
	}
	native := builtIn("scheduling.k8s.io", "v1alpha2", "PodGroup", "podgroups", podgroup.NewStrategy())
	native.optional = true
	out = append(out, native, &kind{GroupVersionKind: v1alpha1.SchemeGroupVersion.WithKind("PodGroup"), resource: "podgroups", optional: true, namespaced: true})
	for _, k := range []*kind{
		builtIn("apps", "v1", "Deployment", "deployments", deployment.Strategy),
		builtIn("apps", "v1", "DaemonSet", "daemonsets", daemonset.Strategy),
		builtIn("batch", "v1", "CronJob", "cronjobs", cronjob.Strategy),
	} {
		k.workload = true
		out = append(out, k)
	}
	return out
}

// private tells whether objects of a kind may hold secrets, and are left alone
// whatever their API group says.
func private(kind string) bool { return kind == "Secret" || kind == "ConfigMap" }

// Kinds returns what FromCluster lists, and nothing else: the resources on which it
// needs the verb list, in all namespaces. They are what schedulers and their plugins
// read, and ResourceClaimTemplates, of which claims of further pods are made;
// Deployments and their like are not among them.
func Kinds() []schema.GroupVersionResource {
	var out []schema.GroupVersionResource
	for _, k := range known().kinds {
		if !k.workload {
			out = append(out, k.GroupVersion().WithResource(k.resource))
		}
	}
	return out
}

// everyNamespace answers those who judge a claim with adminAccess: whether its
// namespace allows that has been decided where the claim comes from.
type everyNamespace struct{ typedv1.NamespaceInterface }

func (everyNamespace) Get(_ context.Context, name string, _ metav1.GetOptions) (*v1.Namespace, error) {
	return &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{resource.DRAAdminNamespaceLabelKey: "true"}}}, nil
}
