package runtimeapi_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

// fate tells what became of an event.
type fate chan bool

func (f fate) Gone(unseen bool) { f <- unseen }

// TestFateOfAnEvent: a runtime that ends tells by that whether it had read its
// event, over both kinds of sockets, through both readers, for events of all sizes.
func TestFateOfAnEvent(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		for _, onlyHTTP := range []bool{false, true} {
			for _, size := range []int{10, 40 << 10, 4 << 20} {
				for _, reads := range []string{"nothing", "some", "all"} {
					t.Run(fmt.Sprint(network, onlyHTTP, size, reads), func(t *testing.T) {
						var change []func(*runtimeapi.Server)
						if onlyHTTP {
							change = append(change, (*runtimeapi.Server).OnlyHTTP)
						}
						env := runtimeapitest.New()
						s := serveFor(t, env, env, change...)
						address := s.socket
						if network == "tcp" {
							l, err := net.Listen("tcp", "127.0.0.1:0")
							if err != nil {
								t.Fatal(err)
							}
							address = l.Addr().String()
							go func() { _ = s.server.Serve(l) }()
						}
						c, err := net.Dial(network, address)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := io.WriteString(c, "GET "+next+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
							t.Fatal(err)
						}
						told := make(fate, 1)
						ev := event("r1")
						ev.Payload, ev.Fate = []byte(strings.Repeat("x", size)), told
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						go func() { _, _ = s.env.Invoke(ctx, ev) }()
						var b [1]byte
						if _, err := io.ReadFull(c, b[:]); err != nil { // it has been sent
							t.Fatal(err)
						}
						switch reads {
						case "some":
							_, err = io.ReadFull(c, make([]byte, 4))
						case "all":
							var res *http.Response
							res, err = http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(b[:]), c)), nil)
							if err == nil {
								_, err = io.Copy(io.Discard, res.Body)
							}
						}
						if err != nil {
							t.Fatal(err)
						}
						_ = c.Close()
						if unseen := wait(t, told, "fate"); unseen == (reads == "all") {
							t.Errorf("the event is unseen: %v", unseen)
						}
					})
				}
			}
		}
	}
}

// TestFateOfAnAnsweredEvent: who goes on after an event has seen it.
func TestFateOfAnAnsweredEvent(t *testing.T) {
	s := serve(t)
	told := make(fate, 1)
	ev := event("r1")
	ev.Fate = told
	s.invoke(ev)
	if res, _ := s.do("POST", response, strings.NewReader("{}")); res.StatusCode != 202 {
		t.Fatal(res.Status)
	}
	s.client.CloseIdleConnections()
	_ = s.server.Close()
	s.server.Wait()
	select {
	case <-told:
		t.Error("the fate of an event that was answered was told")
	default:
	}
}

var _ runtimeapi.Fate = fate(nil)
