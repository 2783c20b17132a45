package environment

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/alcove-run/alcove/sandbox"
)

// A runtime that was killed before it could read its event has not seen the
// invocation, which may go elsewhere; one that was killed after has.
func TestKilledBeforeAndAfterTheEvent(t *testing.T) {
	for name, c := range map[string]struct {
		reads bool
		exit  sandbox.Exit
		want  string
	}{
		"killed before":          {false, sandbox.Exit{Signal: syscall.SIGKILL}, ""},
		"driver cannot tell":     {false, sandbox.Exit{Signal: syscall.SIGKILL, Err: errors.New("gone")}, ""},
		"killed after":           {true, sandbox.Exit{Signal: syscall.SIGKILL}, "Runtime.ExitError"},
		"exited without reading": {false, sandbox.Exit{Code: 3}, "Runtime.ExitError"},
	} {
		t.Run(name, func(t *testing.T) {
			var dir string
			b := start(t, func(rt *runtimeClient) sandbox.Exit {
				conn, err := dialIn(t.Context(), filepath.Join(dir, "socket"), sandbox.SocketName)
				if err != nil {
					t.Error(err)
					return sandbox.Exit{}
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Error(err)
				}
				r := bufio.NewReaderSize(conn, 16)
				if _, err := r.Peek(1); err != nil { // it has been sent
					t.Error(err)
				}
				if c.reads {
					resp, err := http.ReadResponse(r, nil)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
					}
					if err != nil {
						t.Error(err)
					}
				}
				return c.exit
			}, func(cfg *Config) { dir = cfg.Dir })
			res, err := b.invoke(t, "blue", `"a payload that is longer than what has been read"`)
			if c.want == "" {
				if !errors.Is(err, ErrNotHandedOver) {
					t.Errorf("Invoke = %v, %v, want ErrNotHandedOver", res, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("Invoke: %v", err)
			}
			if kind, _ := errorObject(t, res); kind != c.want {
				t.Errorf("the answer is %s, want %s", kind, c.want)
			}
		})
	}
}
