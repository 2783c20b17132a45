package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// TestInsideBodies has environments send long bodies slowly: one has its share, all
// have theirs, huge ones leave room for callers from outside, and no tenant's keep
// another's from theirs.
func TestInsideBodies(t *testing.T) {
	b := newInsideBodies()
	var ends []func()
	evicted := map[string]int{}
	begin := func(environment, whose string, size int64, want bool) {
		t.Helper()
		end, ok := b.begin(environment, whose, size, func() { evicted[whose]++ })
		if ok != want {
			t.Errorf("%d bytes of %s, %s's: %v", size, environment, whose, ok)
		}
		if ok {
			ends = append(ends, end)
		}
	}
	for range longOfOne {
		begin("a", "ann", longBody+1, true)
	}
	begin("a", "ann", longBody+1, false)
	begin("a", "ann", longBody, true)
	begin("b", "ann", -1, true)
	begin("b", "ann", hugeBody+1, true)
	begin("c", "ann", hugeBody+1, false)
	for i := 0; b.long.Taken() < longOfAll; i++ { // through however many environments
		begin(fmt.Sprint(i), "ann", hugeBody, true)
	}
	begin("z", "ann", hugeBody, false)
	if evicted["ann"] != 0 {
		t.Errorf("ann's own drive out %d of hers", evicted["ann"])
	}
	for i := range longOfAll/2 - 1 { // another tenant has as many as he likes, up to half
		begin(fmt.Sprint("bob ", i), "bob", hugeBody, true)
	}
	begin("bob", "bob", -1, true)
	begin("bob 2", "bob", -1, false)
	begin("cid", "cid", longBody+1, true)
	begin("cid", "cid", -1, false) // ann and bob have one of the two each
	if evicted["ann"] < longOfAll/2 || evicted["bob"]+evicted["ann"] > longOfAll/2+2 {
		t.Errorf("evicted: %v", evicted)
	}
	for range 2 {
		for _, end := range ends {
			end()
		}
	}
	if b.long.Taken() != 0 || b.huge.Taken() != 0 || len(b.by) != 0 {
		t.Errorf("left: %d, %d, %v", b.long.Taken(), b.huge.Taken(), b.by)
	}
}

// TestInsideConnections: an environment has so many; when all are taken, whoever has
// few gets one of whoever has many, which ends.
func TestInsideConnections(t *testing.T) {
	in := newInside(insideMax + 2)
	defer in.Close()
	go func() {
		for {
			c, err := in.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	dial := func(environment, whose string, want bool) net.Conn {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c, err := in.Dial(ctx, environment, whose)
		if (err == nil) != want {
			t.Fatalf("one more of %s, %s's: %v", environment, whose, err)
		}
		if err == nil {
			open = append(open, c)
		}
		return c
	}
	first := dial("a", "ann", true)
	for range insideMax - 1 {
		dial("a", "ann", true)
	}
	dial("a", "ann", false)
	dial("b", "ann", true)
	dial("b", "ann", true)
	dial("b", "ann", false) // all are taken, and nobody has more
	dial("c", "bob", true)
	_ = first.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest of who has most goes on: %v", err)
	}
	for _, c := range open {
		c.Close()
	}
	for end := time.Now().Add(time.Minute); in.places.Taken() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are left", in.places.Taken())
		}
	}
}

// A request is in the chain of the environment that it came from, as long as there
// is one, and of no other.
func TestWithin(t *testing.T) {
	n := &node{}
	r := httptest.NewRequest("POST", "/", nil)
	r.RemoteAddr = auth.Inside("e")
	if got, ok := n.within(r); ok {
		t.Errorf("without environments: %+v", got)
	}
	n.inside = &inside{}
	trace := alcove.Trace{ID: alcove.NewTraceID(time.Now())}
	n.inside.traces.Store(auth.Inside("e"), func() alcove.Trace { return trace })
	if got, ok := n.within(r); !ok || got.ID != trace.ID {
		t.Errorf("of e: %+v", got)
	}
	r.RemoteAddr = auth.Inside("f")
	if got, ok := n.within(r); ok {
		t.Errorf("of another: %+v", got)
	}
}
