package auth

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestOpenMakesAKeyOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root-key.json")
	c := Config{File: file, Mode: ModeSigV4, Place: place}
	first, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	key, created := first.RootKey()
	if !created || !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(key.ID) || !regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(key.Secret) {
		t.Errorf("key %+v, created %v", key, created)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the key file has mode %v (%v)", info.Mode(), err)
	}
	if names, _ := os.ReadDir(filepath.Dir(file)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	second, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if again, created := second.RootKey(); created || again != key {
		t.Errorf("the second time: %+v, created %v", again, created)
	}
}

func TestOpenRefusesABadKeyFile(t *testing.T) {
	good := `{"accessKeyId":"AKIAAAAAAAAAAAAAAAAA","secretAccessKey":"0123456789012345678901234567890123456789"}`
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		ok         bool
	}{
		{"good", good, 0o600, true},
		{"read-only", good, 0o400, true},
		{"for the group", good, 0o640, false},
		{"for everybody", good, 0o604, false},
		{"empty", "", 0o600, false},
		{"no key", "{}", 0o600, false},
		{"short secret", `{"accessKeyId":"AKIAAAAAAAAAAAAAAAAA","secretAccessKey":"0"}`, 0o600, false},
	} {
		file := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), Config{File: file, Mode: ModeSigV4, Place: place}); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if text, _ := os.ReadFile(file); string(text) != c.text {
			t.Errorf("%s: the file was changed", c.name)
		}
	}
	if _, err := Open(t.Context(), Config{File: filepath.Join(t.TempDir(), "no", "k"), Mode: ModeSigV4}); err == nil {
		t.Error("opened in a directory that is not there")
	}
	if _, err := Open(t.Context(), Config{File: filepath.Join(t.TempDir(), "k"), Mode: "maybe"}); err == nil {
		t.Error("opened with an unknown mode")
	}
}

func TestKeysDiffer(t *testing.T) {
	if a, b := newKey(), newKey(); a.ID == b.ID || a.Secret == b.Secret {
		t.Error("two keys are the same")
	}
}
