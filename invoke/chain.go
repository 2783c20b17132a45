package invoke

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/alcove-run/alcove"
)

// chain gives the trace header that v runs with, which counts its run. A function
// that has run too often in one chain of invocations feeds itself, and is stopped
// unless its owner wants it so.
func (i *Invoker) chain(v *alcove.Version, header string) (string, error) {
	t := alcove.ParseTrace(header)
	if !t.Rooted() {
		t = t.Root(newTrace())
	}
	next, runs := t.Enter(v.FunctionID)
	if runs <= alcove.MaxRecursion {
		return next, nil
	}
	if f, err := i.cfg.Catalog.Function(v.Name); err != nil || f.RecursiveLoop == "Allow" {
		return next, err
	}
	return "", alcove.ClientError(alcove.CodeRecursiveInvocation,
		"The function was invoked more than %d times in one chain of requests, which looks like a recursive loop. Set its recursion configuration to Allow if that is meant.", alcove.MaxRecursion)
}

// newTrace makes ids as X-Ray has them.
func newTrace() (root, parent string) {
	var b [4 + 12 + 8]byte
	rand.Read(b[4:]) // never fails (crypto/rand)
	binary.BigEndian.PutUint32(b[:], uint32(time.Now().Unix()))
	return "1-" + hex.EncodeToString(b[:4]) + "-" + hex.EncodeToString(b[4:16]), hex.EncodeToString(b[16:])
}
