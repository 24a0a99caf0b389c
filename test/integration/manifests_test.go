package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/component-helpers/auth/rbac/validation"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"plimsoll.dev/scheduler/internal/schedconfig"
	"plimsoll.dev/scheduler/internal/testkit"
	"plimsoll.dev/scheduler/manifests"
)

// TestShippedPermissionsCoverUpstreams compares with the roles that the API
// server itself makes for kube-scheduler, less what is named after another
// scheduler's lease.
func TestShippedPermissionsCoverUpstreams(t *testing.T) {
	c := start(t, "")
	if _, err := c.Apply(t.Context(), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: plimsoll-system}\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(t.Context(), testkit.RepoFile(t, "manifests/base/rbac.yaml")); err != nil {
		t.Fatal(err)
	}
	shipped, err := c.client.RbacV1().ClusterRoles().Get(t.Context(), "plimsoll-scheduler", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	covers(t, "manifests/base/rbac.yaml", shipped.Rules)

	if _, err := c.Apply(t.Context(), testkit.RepoFile(t, "manifests/extras/feature-gates.yaml")); err != nil {
		t.Fatal(err)
	}
	more, err := c.client.RbacV1().ClusterRoles().Get(t.Context(), "plimsoll-scheduler-feature-gates", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	featuregatetesting.SetFeatureGatesDuringTest(t, utilfeature.DefaultFeatureGate, featuregatetesting.FeatureOverrides{
		features.GenericWorkload: true, features.DRADeviceTaintRules: true})
	covers(t, "manifests/extras/feature-gates.yaml and base/rbac.yaml", slices.Concat(shipped.Rules, more.Rules))
}

// covers compares with what the API server would grant now.
func covers(t *testing.T, files string, rules []rbacv1.PolicyRule) {
	t.Helper()
	for _, role := range bootstrappolicy.ClusterRoles() {
		if role.Name != "system:kube-scheduler" && role.Name != "system:volume-scheduler" {
			continue
		}
		wanted := slices.DeleteFunc(slices.Clone(role.Rules), func(r rbacv1.PolicyRule) bool {
			// Leases are granted in our own namespace; replica sets have left
			// the extensions group long ago.
			return slices.Contains(r.APIGroups, "coordination.k8s.io")
		})
		for i := range wanted {
			wanted[i].APIGroups = slices.DeleteFunc(slices.Clone(wanted[i].APIGroups), func(g string) bool { return g == "extensions" })
		}
		if ok, missing := validation.Covers(rules, wanted); !ok {
			t.Errorf("%s lacks, of %s: %v", files, role.Name, missing)
		}
	}
}

// others are files that no API server reads; tests of hack/docs read the second.
var others = []string{"kustomization.yaml", "alerts.yaml"}

// TestEveryManifestIsAccepted applies every manifest that is no scheduler
// configuration to the API server, with strict field validation.
func TestEveryManifestIsAccepted(t *testing.T) {
	c := start(t, "")
	var files []string
	err := filepath.WalkDir(filepath.Join(testkit.RepoRoot(t), "manifests"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".yaml" && !slices.Contains(others, d.Name()) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The namespace comes first, whatever the names.
	slices.SortFunc(files, func(a, b string) int {
		if strings.HasSuffix(a, "namespace.yaml") != strings.HasSuffix(b, "namespace.yaml") && strings.HasSuffix(a, "namespace.yaml") {
			return -1
		} else if strings.HasSuffix(b, "namespace.yaml") {
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "kind: KubeSchedulerConfiguration") {
			if _, err := schedconfig.Decode(text); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			c.schedule(string(text)) // starts, or fails the test
			continue
		}
		if _, err := c.Apply(t.Context(), text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	c.eventually(func() error { // of the levels that the flow schemas name
		for _, name := range []string{"plimsoll-scheduler", "plimsoll-scheduler-lease"} {
			schema, err := c.client.FlowcontrolV1().FlowSchemas().Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(schema.Status.Conditions, func(on flowcontrolv1.FlowSchemaCondition) bool {
				return on.Type == flowcontrolv1.FlowSchemaConditionDangling && on.Status == flowcontrolv1.ConditionFalse
			}) {
				return fmt.Errorf("FlowSchema %s: conditions %v, want a priority level that exists", name, schema.Status.Conditions)
			}
		}
		return nil
	})
	if len(files) < 8 {
		t.Errorf("only %d manifests were found", len(files))
	}
}

// TestSecretsAreReadOnlyIfAllowed asks the API server what the scheduler may do
// with secrets as it is shipped, and with what usePullSecrets takes.
func TestSecretsAreReadOnlyIfAllowed(t *testing.T) {
	c := start(t, "")
	allowed := func(verb string) bool {
		t.Helper()
		review, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:plimsoll-system:plimsoll-scheduler",
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "shop", Verb: verb, Resource: "secrets", Name: "pull"},
			}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return review.Status.Allowed
	}
	for _, file := range []string{"base/namespace.yaml", "base/rbac.yaml"} {
		if _, err := c.Apply(t.Context(), testkit.RepoFile(t, "manifests/"+file)); err != nil {
			t.Fatal(err)
		}
	}
	if allowed("get") {
		t.Error("as shipped, the scheduler may read secrets")
	}
	if _, err := c.Apply(t.Context(), testkit.RepoFile(t, "manifests/extras/pull-secrets.yaml")); err != nil {
		t.Fatal(err)
	}
	c.eventually(func() error { // the authorizer sees roles a moment later
		if !allowed("get") {
			return errors.New("with pull-secrets.yaml the scheduler may not get secrets")
		}
		return nil
	})
	for _, verb := range []string{"list", "watch", "update", "delete"} {
		if allowed(verb) {
			t.Errorf("with pull-secrets.yaml the scheduler may %s secrets", verb)
		}
	}
}

// TestExamplesOptIn keeps the examples to the point.
func TestExamplesOptIn(t *testing.T) {
	examples, err := manifests.Examples()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range examples {
		if !strings.Contains(string(e.YAML), "schedulerName: plimsoll") {
			t.Errorf("%s does not opt in", e.Name)
		}
	}
}
