package auth

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove/internal/lazyregexp"
)

// Key is an access key.
type Key struct {
	ID     string `json:"accessKeyId"`     // "AKIA" and 16 of A-Z2-7
	Secret string `json:"secretAccessKey"` // 40 letters and digits
}

var (
	idPattern     = lazyregexp.New(`^[A-Z0-9]{16,128}$`)
	secretPattern = lazyregexp.New(`^[A-Za-z0-9/+=]{16,128}$`)
)

// openKey reads the key file, or makes it.
func openKey(path string) (key Key, created bool, err error) {
	key, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key = newKey()
	if err := writeKey(path, key); err != nil {
		return Key{}, false, err
	}
	return key, true, nil
}

func readKey(path string) (Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return Key{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Key{}, err
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("%s has mode %v: it must be a file that only its owner can read (chmod 600)", path, mode)
	}
	var key Key
	if err := json.NewDecoder(f).Decode(&key); err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	if !idPattern.MatchString(key.ID) || !secretPattern.MatchString(key.Secret) {
		return Key{}, fmt.Errorf("%s holds no access key", path)
	}
	return key, nil
}

// idLetters are what ids are made of.
const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// newKey makes a key. The secret has 238 bits of chance; it has no punctuation,
// so that it needs no quoting in a shell.
func newKey() Key {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	return Key{ID: "AKIA" + random(idLetters, 16), Secret: random(letters, 40)}
}

// random gives n letters of an alphabet, each as likely as the others.
func random(alphabet string, n int) string {
	out := make([]byte, 0, n)
	var buf [64]byte
	limit := 256 - 256%len(alphabet)
	for len(out) < n {
		rand.Read(buf[:]) // never fails (crypto/rand)
		for _, c := range buf {
			if int(c) < limit && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// writeKey writes the key file so that a crash leaves it whole or absent.
func writeKey(path string, key Key) error {
	text, err := json.MarshalIndent(key, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".root-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// ReadRootKey reads a node's root key from its file, for a command that runs on
// the same machine as the same user. The error is os.ErrNotExist if there is none.
func ReadRootKey(path string) (Key, error) { return readKey(path) }
