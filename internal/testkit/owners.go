package testkit

import (
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// desiredReplicas is the annotation in which the deployment controller writes what
// its Deployment asks for, on every one of its ReplicaSets.
const desiredReplicas = "deployment.kubernetes.io/desired-replicas"

// ownerOf reads KIND/NAME as a controlling owner, or a kind alone, whose name is
// then the same.
func ownerOf(text string) metav1.OwnerReference {
	kind, name, named := strings.Cut(text, "/")
	yes := true
	out := metav1.OwnerReference{APIVersion: apiVersionOf(kind), Kind: kind, Name: kind, UID: types.UID(kind), Controller: &yes}
	if named {
		out.Name, out.UID = name, ownerUID(kind, name)
	}
	return out
}

// ownerUID is the UID that Owners gives and that Pods refers to.
func ownerUID(kind, name string) types.UID {
	return types.UID(strings.ToLower(kind) + "/" + name)
}

func apiVersionOf(kind string) string {
	switch kind {
	case "Job", "CronJob":
		return "batch/v1"
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet":
		return "apps/v1"
	}
	return "example.test/v1"
}

// Owners reads what controls pods, one per line:
//
//	ReplicaSet/web-1   replicas=5 desired=9 of=Deployment/web revision=5d4f
//	StatefulSet/db     replicas=3 parallel
//	Job/train          parallelism=16 completions=16
//
// desired is what the ReplicaSet's Deployment asks for.
func Owners(text string) ([]runtime.Object, error) {
	var out []runtime.Object
	err := eachLine(text, func(names []string, fields []string) error {
		for _, name := range names {
			owner, err := readOwner(name, fields)
			if err != nil {
				return fmt.Errorf("owner %s: %w", name, err)
			}
			out = append(out, owner)
		}
		return nil
	})
	return out, err
}

func readOwner(text string, fields []string) (runtime.Object, error) {
	kind, name, _ := strings.Cut(text, "/")
	m := metav1.ObjectMeta{Namespace: "default", Name: name, UID: ownerUID(kind, name), Annotations: map[string]string{}, Labels: map[string]string{}}
	numbers := map[string]*int32{}
	parallel := false
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "parallel":
			parallel = true
		case "desired":
			m.Annotations[desiredReplicas] = value
		case "revision":
			m.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = value
		case "of":
			m.OwnerReferences = []metav1.OwnerReference{ownerOf(value)}
		case "replicas", "parallelism", "completions":
			n, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", f, err)
			}
			number := int32(n)
			numbers[key] = &number
		default:
			return nil, fmt.Errorf("%q: want replicas, desired, revision, of, parallel, parallelism or completions", f)
		}
	}
	switch kind {
	case "Deployment":
		return &appsv1.Deployment{ObjectMeta: m, Spec: appsv1.DeploymentSpec{Replicas: numbers["replicas"]}}, nil
	case "ReplicaSet":
		return &appsv1.ReplicaSet{ObjectMeta: m, Spec: appsv1.ReplicaSetSpec{Replicas: numbers["replicas"]}}, nil
	case "StatefulSet":
		set := &appsv1.StatefulSet{ObjectMeta: m, Spec: appsv1.StatefulSetSpec{Replicas: numbers["replicas"], PodManagementPolicy: appsv1.OrderedReadyPodManagement}}
		if parallel {
			set.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
		}
		return set, nil
	case "Job":
		return &batchv1.Job{ObjectMeta: m, Spec: batchv1.JobSpec{Parallelism: numbers["parallelism"], Completions: numbers["completions"]}}, nil
	}
	return nil, fmt.Errorf("kind %q: want Deployment, ReplicaSet, StatefulSet or Job", kind)
}
