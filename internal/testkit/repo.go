package testkit

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// RepoFile reads a file of the repository by its path from the root.
func RepoFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(RepoRoot(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// RepoRoot is the directory that holds go.mod.
func RepoRoot(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the caller's file is unknown")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}
