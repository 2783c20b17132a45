package egress

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// swarm is a function of many processes that open connections, and hold them until
// all have tried.
const swarm = `
import os, resource, socket
def handler(event, context):
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    said, end = os.pipe(), os.pipe()
    for _ in range(event['processes']):
        if os.fork() == 0:
            held, why = [], {}
            for _ in range(event['each']):
                try: held.append(socket.create_connection(('8.8.4.4', 4000), timeout=60))
                except OSError as e: why[type(e).__name__] = why.get(type(e).__name__, 0) + 1
            os.write(said[1], (f'{len(held)} {why}'[:200]).ljust(200).encode())
            os.close(end[1])
            os.read(end[0], 1)
            os._exit(0)
    held, whys = 0, []
    for _ in range(event['processes']):
        n, why = os.read(said[0], 200).decode().split(' ', 1)
        held += int(n)
        whys.append(why.strip())
    if event.get('leave'): return held, whys # the processes hold on
    os.close(end[1])
    for _ in range(event['processes']): os.wait()
    return held, whys
`

// TestTenThousandConnectionsAreTooMany: an environment that wants as many at a time
// has what is its own, is refused all others, with records that say so; and another
// tenant does not notice.
func TestTenThousandConnectionsAreTooMany(t *testing.T) {
	l, err := earth.listen("8.8.4.4:4000")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var most, now atomic.Int64
	go accept(l, func(c *net.TCPConn) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		defer now.Add(-1)
		io.Copy(io.Discard, c)
	})
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("swarm", swarm, true)
			n.function("crowd", crowd, true)
			most.Store(0)
			var got [2]any
			n.invoke("swarm", "ann", map[string]any{"processes": 11, "each": 910, "leave": true}, &got)
			if got[0] != 1024.0 || !strings.Contains(fmt.Sprint(got[1]), "ConnectionRefusedError") || most.Load() > 1024 {
				t.Errorf("of 10010 connections it had %v at a time, the world saw %d, and it was told %.200v", got[0], most.Load(), got[1])
			}
			// They are held, and frozen.
			var other report
			n.invoke("crowd", "bob", map[string]any{"do": "many", "count": 200, "atOnce": 50, "bytes": 1000}, &other)
			if other.OK != 200 {
				t.Errorf("another tenant's: %+v", other)
			}
			eventually(t, "a record of it", func() bool {
				return strings.Contains(n.logged("swarm", "ann"), `Destination: 8.8.4.4:4000\tRule: limit: connections`)
			})
			status, refusals := n.api("GET", "egress/refusals?tenant=ann", "")
			if status != 200 || !strings.Contains(refusals, `"rule":"limit: connections"`) || !strings.Contains(refusals, `"notLogged":`) {
				t.Errorf("refusals: %d %s", status, refusals)
			}
			if _, others := n.api("GET", "egress/refusals?tenant=bob", ""); !strings.Contains(others, `{"refusals":[]}`) {
				t.Errorf("another tenant's refusals: %s", others)
			}
		})
	}
}

// stream is a function that takes bytes through some connections, and says how many
// came between two moments.
const stream = `
import socket, threading, time
def handler(event, context):
    total, connected = [0] * event['connections'], threading.Barrier(event['connections'] + 1)
    def take(i):
        s = socket.create_connection(('8.8.4.4', 4010), timeout=60)
        connected.wait()
        b = bytearray(65536)
        while time.time() < event['end']:
            n = s.recv_into(b)
            if n == 0: break
            if event['begin'] < time.time() < event['end']: total[i] += n
        s.close()
    all = [threading.Thread(target=take, args=(i,)) for i in range(event['connections'])]
    for t in all: t.start()
    connected.wait()
    ready = time.time()
    for t in all: t.join()
    return sum(total), ready < event['begin']
`

// streamed has some environments of ann's take bytes, each through some connections,
// and one of bob's through one, in the same seconds, and says what they had, in MB.
func streamed(t *testing.T, n *node, environments, connections int, seconds float64) (bob, ann float64) {
	t.Helper()
	// Longer and longer ahead, until all are ready by then.
	for ahead := 2 * time.Second; ; ahead *= 2 {
		begin := float64(time.Now().Add(ahead).UnixMilli()) / 1000
		got := make([][2]any, 1+environments)
		errs := make(chan error, len(got))
		for i := range got {
			tenant, many := "ann", connections
			if i == 0 {
				tenant, many = "bob", 1
			}
			go func() {
				errs <- n.try("stream", tenant, map[string]any{"connections": many, "begin": begin, "end": begin + seconds}, &got[i])
			}()
		}
		for range got {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		ready, sums := true, [2]float64{}
		for i, g := range got {
			sums[min(i, 1)] += g[0].(float64) / 1e6
			ready = ready && g[1] == true
		}
		if ready || ahead >= time.Minute {
			t.Logf("he had %.1f MB through one connection, and she %.1f through %d", sums[0], sums[1], environments*connections)
			return sums[0], sums[1]
		}
	}
}

// streams serves bytes without an end.
func streams(t *testing.T) {
	t.Helper()
	l, err := earth.listen("8.8.4.4:4010")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	block := make([]byte, 64<<10)
	go accept(l, func(c *net.TCPConn) {
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
}

// TestOneTenantDoesNotStarveAnother: one takes all it can, through a hundred
// connections of three environments, another one has a single connection. In the
// same seconds he is sent what one environment may, by its rate, and she what three
// may.
func TestOneTenantDoesNotStarveAnother(t *testing.T) {
	streams(t)
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d, "--egress-rate", "4MB")
			n.function("stream", stream, true)
			if bob, ann := streamed(t, n, 3, 33, 3); ann > 5*bob || ann < bob {
				t.Errorf("he had %.1f MB through one connection, and she %.1f through 99", bob, ann)
			}
		})
	}
}

// TestOneConnectionBesideTwenty, of another tenant's, where no rate bounds them and
// the machine gives what it can: his has no less than each of hers. That the relay
// takes turns by tenant, where it is what there is too little of, is its own test's.
func TestOneConnectionBesideTwenty(t *testing.T) {
	streams(t)
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d, "--egress-rate", "100GB")
			n.function("stream", stream, true)
			if bob, ann := streamed(t, n, 1, 20, 2); ann > 20*bob {
				t.Errorf("he had %.1f MB through one connection, and she %.1f through 20", bob, ann)
			}
		})
	}
}
