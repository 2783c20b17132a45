package egress

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// gauge measures from wherever it runs: round trips of a byte, and bytes each way.
const gauge = `
import json, socket, sys, time
def measure(a):
    s = socket.create_connection((a, 80), timeout=30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    f = s.makefile('rb'); f.readline()
    trips = []
    for i in range(600):
        t = time.perf_counter(); s.send(b'x'); s.recv(1)
        trips.append(time.perf_counter() - t)
    trips.sort()
    t, c = time.perf_counter(), []
    for i in range(100):
        socket.create_connection((a, 80), timeout=30).close()
    connect = (time.perf_counter() - t) / 100
    out = {'tripMicros': round(trips[300] * 1e6), 'connectMicros': round(connect * 1e6)}
    for name, port in ('down', 4003), ('up', 4004):
        s = socket.create_connection((a, port), timeout=60)
        t, n = time.perf_counter(), 0
        if name == 'down':
            buf = bytearray(1 << 18)
            while True:
                k = s.recv_into(buf)
                if not k: break
                n += k
        else:
            block = b'x' * (1 << 18)
            for i in range(800): s.sendall(block); n += len(block)
            s.shutdown(socket.SHUT_WR); s.recv(1)
        out[name + 'MBs'] = round(n / (time.perf_counter() - t) / 1e6)
    return out
def handler(event, context): return measure(event['to'])
if __name__ == '__main__': print(json.dumps(measure(sys.argv[1])))
`

// BenchmarkEgress is what docs/benchmarks.md has of the network.
func BenchmarkEgress(t *testing.B) {
	for port, serve := range map[int]func(c *net.TCPConn){
		4003: func(c *net.TCPConn) { io.CopyN(c, zeros{}, 200<<20) },
		4004: func(c *net.TCPConn) { io.Copy(io.Discard, c) },
	} {
		l, err := earth.listen(fmt.Sprintf("8.8.4.4:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go accept(l, serve)
	}
	out, err := exec.Command("/usr/bin/python3", "-c", gauge, "8.8.4.4").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the host itself: %s", strings.TrimSpace(string(out)))
	for _, d := range drivers {
		n := start(t, d, "--egress-rate", "100GB")
		n.function("gauge", gauge, true)
		var got map[string]any
		n.invoke("gauge", "ann", map[string]any{"to": "8.8.4.4"}, &got)
		text, _ := json.Marshal(got)
		t.Logf("%s: %s", d, text)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
