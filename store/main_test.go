package store

import (
	"os"
	"testing"
)

// The test binary runs itself again for what needs a process of its own: one to
// be killed, one with mounts that nobody else sees.
const childEnv = "ALCOVE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "write":
		os.Exit(childWrite())
	case "full":
		os.Exit(childFull())
	}
	os.Exit(2)
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
