package store

import (
	"fmt"
	"strings"
)

// maxKey is the longest key in its encoded form; subjects share a line of
// 4,096 bytes with what else a request says.
const maxKey = 1024

const hexDigits = "0123456789ABCDEF"

// encodeKey writes any text as one token of a subject: letters, digits, '-' and
// '_' as they are, every other byte as '=' and two hexadecimal digits. '.' would
// split the token, and subjects refuse spaces, ':', '@', '$', wildcards and more.
func encodeKey(key string) (string, error) {
	if key == "" {
		return "", fmt.Errorf("store: empty key")
	}
	escaped := 0
	for i := range len(key) {
		if !plain(key[i]) {
			escaped++
		}
	}
	if len(key)+2*escaped > maxKey {
		return "", fmt.Errorf("%w: key of %d bytes", ErrTooLarge, len(key))
	}
	if escaped == 0 {
		return key, nil
	}
	var b strings.Builder
	b.Grow(len(key) + 2*escaped)
	for i := range len(key) {
		if c := key[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String(), nil
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// decodeKey is the inverse of encodeKey. It refuses what encodeKey does not
// write, so that two tokens are never one key.
func decodeKey(token string) (string, error) {
	var b strings.Builder
	b.Grow(len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if plain(c) {
			b.WriteByte(c)
			continue
		}
		if c != '=' || i+2 >= len(token) {
			return "", fmt.Errorf("store: malformed key %q", token)
		}
		hi := strings.IndexByte(hexDigits, token[i+1])
		lo := strings.IndexByte(hexDigits, token[i+2])
		if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
			return "", fmt.Errorf("store: malformed key %q", token)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("store: empty key")
	}
	return b.String(), nil
}
