package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/alcove-run/alcove"
)

// mismatch is AWS's answer to a wrong signature. It does not say which part is
// wrong.
func mismatch() *alcove.Error {
	return invalid("The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

// buffers holds the space that canonical requests are written in.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// verify checks the signature of r with its body.
func verify(r *http.Request, body []byte, c *claim) error {
	sum := sha256.Sum256(body)
	var digest [64]byte
	hex.Encode(digest[:], sum[:])
	if err := checkContentHash(r.Header["X-Amz-Content-Sha256"], &digest); err != nil {
		return err
	}
	space := buffers.Get().(*[]byte)
	defer buffers.Put(space)

	b, err := appendCanonical((*space)[:0], r, c.signedHeaders, digest[:])
	if err != nil {
		return err
	}
	sum = sha256.Sum256(b)

	b = append(b[:0], algorithm...)
	b = append(b, '\n')
	b = append(b, c.date...)
	b = append(b, '\n')
	b = append(b, c.scope.date...)
	b = append(b, '/')
	b = append(b, c.scope.region...)
	b = append(b, '/')
	b = append(b, c.scope.service...)
	b = append(b, '/')
	b = append(b, terminator...)
	b = append(b, '\n')
	b = hex.AppendEncode(b, sum[:])
	*space = b

	mac := hmac.New(sha256.New, c.principal.signingKey(c.scope)[:])
	mac.Write(b)
	want := hex.AppendEncode(b[:0], mac.Sum(b[len(b):]))
	if subtle.ConstantTimeCompare(want, []byte(c.signature)) != 1 {
		return mismatch()
	}
	return nil
}

// checkContentHash sees that an X-Amz-Content-Sha256 header, if there is one, is
// the body's. Bodies that are not signed, or signed in chunks, are refused.
func checkContentHash(values []string, digest *[64]byte) error {
	if len(values) == 0 {
		return nil
	}
	switch v := values[0]; {
	case len(values) > 1:
		return invalid("There is more than one 'X-Amz-Content-Sha256' header.")
	case v == string(digest[:]):
		return nil
	case v == "UNSIGNED-PAYLOAD" || strings.HasPrefix(v, "STREAMING-"):
		return invalid("The payload must be signed: '%s' is not supported here.", v)
	default:
		return invalid("The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
}

// maxCachedKeys bounds the cache of one access key. A node sees a few services on two days at
// most; only scopes that passed checkScope get here.
const maxCachedKeys = 32

// signingKey derives the key for s, or takes it from the cache, which is a map
// that is replaced, never changed.
func (p *principal) signingKey(s scope) *[32]byte {
	var cache map[scope]*[32]byte
	if now := p.signing.Load(); now != nil {
		cache = *now
	}
	if key, ok := cache[s]; ok {
		return key
	}
	key := deriveKey(p.secret, s)
	next := make(map[scope]*[32]byte, len(cache)+1)
	if len(cache) < maxCachedKeys {
		maps.Copy(next, cache)
	}
	// The parts of s point into the request's header: keep copies.
	next[scope{strings.Clone(s.key), strings.Clone(s.date), strings.Clone(s.region), strings.Clone(s.service)}] = key
	p.signing.Store(&next)
	return key
}

func deriveKey(secret string, s scope) *[32]byte {
	key := []byte("AWS4" + secret)
	for _, part := range [...]string{s.date, s.region, s.service, terminator} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return (*[32]byte)(key)
}
