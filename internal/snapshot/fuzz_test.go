package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// planted is the value of a Secret, as it is and encoded.
const planted = "hunter2-hunter2"

// secrets are Secrets in every state, each with the planted value in its data.
var secrets = []string{
	"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: " + planted + "\n",
	"kind: Secret\napiVersion: v1\nstringData:\n  password: \"" + planted + "\n",
	"stringData: {password: " + planted + ": x}\nkind: Secret\napiVersion: v1\n",
	"apiVersion: v1\nkind: Secret\ndata:\n\tpassword: " + planted + "\n",
	"apiVersion: v1\nkind: Secret\ndata:\n  password: !!int " + planted + "\n",
	"apiVersion: v1\nkind: Secret\ndata:\n  password: *" + planted + "\n",
	"apiVersion: v1\nkind: Secret\ndata:\n  " + planted + ": a\n  " + planted + ": b\n",
	"apiVersion: v1\nkind: Secret\ndata: " + planted + "\n more\n",
	"apiVersion: v1\nkind: SecretList\nitems:\n- data: {password: " + planted + "}\n",
	"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  data: {password: " + planted + "}\n- " + planted + "\n",
	"apiVersion: v1\nkind: [" + planted + "]\ndata: {kind: Secret}\n",
	"apiVersion: v1\nkind: Secret\nkind: " + planted + "\n",
	`{"apiVersion": "v1", "kind": "Secret", "data": {"password": "` + planted + `"}}` + "\n",
	`{"apiVersion": "v1", "kind": "Secret", "data": {"password": "` + planted + `"` + "\n",
	`{"apiVersion": "v1", "kind": "Secret", "data": {"password": ` + planted + `}}` + "\n",
	`{"data": {"password": "` + planted + `"}, "apiVersion": "v1", "kind": "Secret"} ` + planted + "\n",
	"- apiVersion: v1\n  kind: Secret\n  data: {password: " + planted + "}\n",
	"apiVersion: v1\nkind: ConfigMap\ndata: {password: " + planted + "}\n",
	"apiVersion: " + planted + "\nkind: Secret\n",
}

func TestSecretsAreNeverRepeated(t *testing.T) {
	for _, secret := range secrets {
		for name, input := range map[string]string{"alone": secret, "after a node": nodeA + "\n---\n" + secret, "before a node": secret + "\n---\n" + nodeA} {
			for _, whatIf := range []bool{false, true} {
				s, err := readFiles([]string{"-"}, strings.NewReader(input), whatIf)
				assertSilent(t, s, err)
				if t.Failed() {
					t.Fatalf("%s:\n%s", name, secret)
				}
			}
		}
	}
}

// assertSilent fails the test if the planted value is anywhere.
func assertSilent(t *testing.T, s *Snapshot, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), planted) {
		t.Errorf("the error repeats it: %v", err)
	}
	if s != nil && strings.Contains(strings.Join(append(names(s), s.Notes...), "\n"), planted) {
		t.Errorf("the snapshot repeats it: %q, %q", names(s), s.Notes)
	}
}

// FuzzRead reads anything, before and after a Secret. It must end in a snapshot or an
// error that names the file, never in a panic, and never repeat the Secret.
func FuzzRead(f *testing.F) {
	for i := range secrets {
		f.Add([]byte(nodeA), []byte("---\n"+podX), uint8(i))
		f.Add([]byte{}, []byte("data: {a: b}\n"), uint8(i))
	}
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: &a\n- kind: List\n  items: *a\n"), []byte("\n---\n{\"kind\": \"Pod\"}"), uint8(0))
	f.Add([]byte("apiVersion: v1\nkind: Node\nmetadata: &m\n  <<: [*m, *m]\n"), []byte("  more: x\n"), uint8(1))
	f.Add([]byte("{apiVersion: v1, kind: Node, metadata: {name: a}, status: {allocatable: {cpu: 1e3, memory: 0x1F, pods: .inf}}}"), []byte{}, uint8(2))
	f.Add([]byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {}\n"), []byte{}, uint8(3))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, before, after []byte, which uint8) {
		secret := secrets[int(which)%len(secrets)]
		if strings.Contains(string(before)+string(after), planted[:4]) {
			return // it may be anywhere then
		}
		path := filepath.Join(dir, "dump.yaml")
		if err := os.WriteFile(path, []byte(string(before)+"\n---\n"+secret+string(after)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, whatIf := range []bool{false, true} {
			s, err := readFiles([]string{path}, nil, whatIf)
			assertSilent(t, s, err)
			switch {
			case err == nil && s == nil:
				t.Error("neither snapshot nor error")
			case err != nil && s != nil:
				t.Error("both snapshot and error")
			case err != nil && !strings.HasPrefix(err.Error(), path+":"):
				t.Errorf("the error does not name the file: %v", err)
			}
		}
	})
}
