package store

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKeysAreTokens(t *testing.T) {
	for key, want := range map[string]string{
		"plain-Name_9":     "plain-Name_9",
		"a.b":              "a=2Eb",
		"..":               "=2E=2E",
		"acme:blue @ $x>*": "acme=3Ablue=20=40=20=24x=3E=2A",
		"=":                "=3D",
		"é":                "=C3=A9",
		"\x00":             "=00",
		"a/b":              "a=2Fb",
	} {
		got, err := encodeKey(key)
		if err != nil || got != want {
			t.Errorf("encodeKey(%q) = %q, %v; want %q", key, got, err, want)
		}
	}
	if _, err := encodeKey(""); err == nil {
		t.Error("the empty key has a token")
	}
	if _, err := encodeKey(strings.Repeat("a", maxKey+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long key: %v", err)
	}
	if _, err := encodeKey(strings.Repeat(":", maxKey/3+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("key that is long once it is encoded: %v", err)
	}
}

func TestEveryKeyComesBack(t *testing.T) {
	token := regexp.MustCompile(`^[-_=a-zA-Z0-9]+$`)
	rapid.Check(t, func(t *rapid.T) {
		key := string(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "key"))
		enc, err := encodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if !token.MatchString(enc) {
			t.Fatalf("%q is written as %q", key, enc)
		}
		if back, err := decodeKey(enc); err != nil || back != key {
			t.Fatalf("%q is written as %q and read as %q, %v", key, enc, back, err)
		}
	})
}

func FuzzDecodeKey(f *testing.F) {
	for _, s := range []string{"", "a", "=2E", "=2e", "=41", "=", "=4", "a=3Ab", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		key, err := decodeKey(token)
		if err != nil {
			return
		}
		if enc, err := encodeKey(key); err == nil && enc != token {
			t.Fatalf("tokens %q and %q are one key", token, enc)
		}
	})
}
