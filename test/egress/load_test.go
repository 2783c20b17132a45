package egress

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// crowd is a function that opens connections, and keeps them or does not.
const crowd = `
import asyncio, os, socket, time, threading
held = []
async def one(a, p, n):
    r, w = await asyncio.open_connection(a, p)
    await r.readline()
    w.write(b'x' * n)
    got = await r.readexactly(n)
    w.close()
    await w.wait_closed()
async def many(a, p, count, at_once, n):
    ok, bad, gate = 0, {}, asyncio.Semaphore(at_once)
    async def guarded():
        nonlocal ok
        async with gate:
            try:
                await asyncio.wait_for(one(a, p, n), 60)
                ok += 1
            except Exception as e: bad[repr(e)[:80]] = bad.get(repr(e)[:80], 0) + 1
    await asyncio.gather(*(guarded() for _ in range(count)))
    return {'ok': ok, 'bad': bad}
def handler(event, context):
    a, p = event.get('to', '8.8.8.8'), event.get('port', 80)
    if event['do'] == 'many':
        return asyncio.run(many(a, p, event['count'], event['atOnce'], event['bytes']))
    if event['do'] == 'hold': # a connection that is there after the invocation, too
        s = socket.create_connection((a, p), timeout=20)
        s.makefile('rb').readline()
        held.append(s)
        return len(held)
    if event['do'] == 'use': # the one that is held
        s = held[-1]
        s.settimeout(event.get('wait', 20))
        try:
            s.sendall(b'ping\n')
            return s.recv(5).decode()
        except OSError as e: return repr(e)
    if event['do'] == 'busy': # moves bytes until that is ended
        s = socket.create_connection((a, p), timeout=20)
        s.settimeout(60)
        f = s.makefile('rb')
        began, n = time.time(), 0
        try:
            f.readline()
            while time.time() - began < 60:
                s.sendall(b'x' * 10000)
                n += len(f.read(10000))
        except OSError as e: return {'bytes': n, 'ended': type(e).__name__}
        return {'bytes': n, 'ended': 'never'}
    if event['do'] == 'slow': # takes a long answer in small pieces, with pauses
        s = socket.create_connection((a, p), timeout=20)
        n, h = 0, 0
        while True:
            b = s.recv(20000)
            if not b: return {'bytes': n, 'sum': h}
            n += len(b); h = (h + sum(b)) % 65521
            time.sleep(0.002)
    if event['do'] == 'half': # sends all, ends its side, and reads what comes then
        s = socket.create_connection((a, p), timeout=20)
        s.settimeout(30)
        s.sendall(b'y' * event['bytes'])
        s.shutdown(socket.SHUT_WR)
        return s.makefile('rb').read().decode()
`

type report struct {
	OK    int            `json:"ok"`
	Bad   map[string]int `json:"bad"`
	Bytes int            `json:"bytes"`
	Sum   int            `json:"sum"`
	Ended string         `json:"ended"`
}

// TestTenThousandConnections, one after the other and a hundred at a time, each
// with bytes both ways; and then none is left.
func TestTenThousandConnections(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("crowd", crowd, true)
			var got report
			n.invoke("crowd", "bob", map[string]any{"do": "many", "count": 1, "atOnce": 1, "bytes": 200}, &got)
			relay := relaysOf(t, n.cmd.Process.Pid)[0]
			held := descriptors(t, relay)
			defer func() {
				if t.Failed() {
					t.Logf("the relay holds %d descriptors, and held %d: %v", descriptors(t, relay), held, kindsOf(relay))
				}
			}()
			n.invoke("crowd", "ann", map[string]any{"do": "many", "count": 10_000, "atOnce": 100, "bytes": 200}, &got)
			if got.OK != 10_000 {
				t.Errorf("of 10000 connections %d were good: %v", got.OK, got.Bad)
			}
			eventually(t, "connections to be gone", func() bool { return n.established() == 0 })
			// A few are links of environments that have come since.
			eventually(t, "the relay's descriptors to be gone", func() bool { return descriptors(t, relay) < held+20 })
			status, usage := n.api("GET", "usage?by=tenant", "")
			want := fmt.Sprintf(`"networkIn":%d,"networkOut":%d,"connections":10000,`, 10_000*(200+len("8.8.8.8:80\n")), 10_000*200)
			if status != 200 || !strings.Contains(usage, want) {
				t.Errorf("usage: %d %s, want %s", status, usage, want)
			}
			if _, table := n.api("GET", "usage?by=tenant&format=csv", ""); !strings.Contains(table, ",connections,") || !strings.Contains(table, ",10000,") {
				t.Errorf("usage as CSV: %s", table)
			}
		})
	}
}

// kindsOf counts a process's descriptors by what they are.
func kindsOf(pid int) map[string]int {
	kinds := map[string]int{}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, _ := os.ReadDir(dir) // of a process that has ended there are none
	for _, e := range list {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil {
			kind, _, _ := strings.Cut(to, ":[")
			kinds[kind]++
		}
	}
	return kinds
}

// descriptors counts those of a process.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// established counts the connections that the node's machine has to the world.
func (n *node) established() int {
	total := 0
	for _, f := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
		b, err := os.ReadFile(f)
		if err != nil {
			n.t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "01" && strings.HasSuffix(f[2], ":0050") {
				total++
			}
		}
	}
	return total
}

// TestPolicyChangesUnderLoad: connections that carry bytes end within a second when
// they are not allowed any more, and others do not.
func TestPolicyChangesUnderLoad(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("crowd", crowd, true)
			type end struct {
				tenant string
				report
				err error
				at  time.Time
			}
			ends := make(chan end, 10)
			for _, tenant := range []string{"ann", "ann", "bob"} {
				go func() {
					e := end{tenant: tenant}
					e.err = n.try("crowd", tenant, map[string]any{"do": "busy"}, &e.report)
					e.at = time.Now()
					ends <- e
				}()
			}
			eventually(t, "three connections", func() bool { return n.established() == 3 })
			began := time.Now()
			n.set("tenants/ann", `{"mode":"none"}`)
			for range 2 {
				e := <-ends
				if e.err != nil || e.tenant != "ann" || e.Ended == "never" {
					t.Errorf("after the change: %+v", e)
				}
				t.Logf("ended after %v, with %d bytes", e.at.Sub(began), e.Bytes)
			}
			if n.established() != 1 {
				t.Errorf("%d connections are left, want the other tenant's", n.established())
			}
			n.set("functions/crowd", `{"mode":"list","allow":["1.1.1.1"]}`)
			if e := <-ends; e.err != nil || e.tenant != "bob" || e.Ended == "never" || e.Bytes == 0 {
				t.Errorf("after the other change: %+v, %v", e.report, e.err)
			}
			eventually(t, "a record of it", func() bool { return strings.Contains(n.logged("crowd", "bob"), "Rule: function: not in the list") })
		})
	}
}

// TestConnectionsSurviveAFreeze: environments are frozen between invocations.
func TestConnectionsSurviveAFreeze(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("crowd", crowd, true)
			var held int
			n.invoke("crowd", "ann", map[string]any{"do": "hold"}, &held)
			eventually(t, "the environment to be frozen", func() bool {
				_, body := n.api("GET", "environments?function=crowd", "")
				return strings.Contains(body, `"frozen":true`)
			})
			var got string
			n.invoke("crowd", "ann", map[string]any{"do": "use"}, &got)
			if got != "ping\n" {
				t.Errorf("after a freeze the connection gives %q", got)
			}
			n.set("tenants/ann", `{"mode":"none"}`) // while it is frozen
			eventually(t, "it to be ended", func() bool { return n.established() == 0 })
			n.invoke("crowd", "ann", map[string]any{"do": "use"}, &got)
			if got == "ping\n" {
				t.Error("what a policy ended while the environment was frozen goes on")
			}
		})
	}
}

// TestSlowReadersAndHalfClosedPeers get every byte.
func TestSlowReadersAndHalfClosedPeers(t *testing.T) {
	const size = 8 << 20
	long, err := earth.listen("8.8.4.4:4001")
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	sum := 0
	for i := range size {
		sum = (sum + i%251) % 65521
	}
	go accept(long, func(c *net.TCPConn) {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i % 251)
		}
		c.Write(b)
	})
	half, err := earth.listen("8.8.4.4:4002")
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	go accept(half, func(c *net.TCPConn) {
		n, err := io.Copy(io.Discard, c) // to the end of the function's side
		fmt.Fprintf(c, "%d %v", n, err)
	})
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("crowd", crowd, true)
			var got report
			n.invoke("crowd", "ann", map[string]any{"do": "slow", "to": "8.8.4.4", "port": 4001}, &got)
			if got.Bytes != size || got.Sum != sum {
				t.Errorf("a slow reader got %+v, want %d bytes with the sum %d", got, size, sum)
			}
			var answer string
			n.invoke("crowd", "ann", map[string]any{"do": "half", "to": "8.8.4.4", "port": 4002, "bytes": 3_000_000}, &answer)
			if answer != "3000000 <nil>" {
				t.Errorf("after its side had ended the function read %q", answer)
			}
		})
	}
}

// TestNothingIsLeftOfAKilledNode, which was carrying bytes: no process, no network
// namespace, no connection, no device, no rule.
func TestNothingIsLeftOfAKilledNode(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			links := netLinks(t)
			n := start(t, d)
			n.function("crowd", crowd, true)
			var held int
			n.invoke("crowd", "ann", map[string]any{"do": "hold"}, &held) // and is frozen then
			for range 3 {
				go n.try("crowd", "bob", map[string]any{"do": "busy"}, new(report))
			}
			eventually(t, "four connections", func() bool { return n.established() == 4 })
			relays := relaysOf(t, n.cmd.Process.Pid)
			if len(relays) != 1 {
				t.Fatalf("the node has the relays %v", relays)
			}
			left, spaces := descent(t, n.cmd.Process.Pid)
			// A relay that does not run cannot notice: the kernel ends it all the same.
			if err := syscall.Kill(relays[0], syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			if err := n.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-n.ended
			eventually(t, "the relay to end", func() bool { return syscall.Kill(relays[0], 0) == syscall.ESRCH })
			eventually(t, "connections to end", func() bool { return n.established() == 0 })
			if now := netLinks(t); now != links {
				t.Errorf("the machine's links are %s, and were %s", now, links)
			}
			again := startIn(t, n.data, d)
			var got any
			again.invoke("crowd", "ann", map[string]any{"do": "hold"}, &got)
			// A process that is killed is there until the kernel has taken it apart.
			eventually(t, "nothing to be left of the killed node", func() bool { return len(left()) == 0 })
			mounts, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			for _, ns := range spaces {
				if strings.Contains(string(mounts), " "+ns+" ") {
					t.Errorf("%s is kept by a mount:\n%s", ns, mounts)
				}
			}
			if out, err := exec.Command("nft", "list", "ruleset").Output(); err == nil && len(out) > 0 {
				t.Errorf("the machine has rules: %s", out)
			}
		})
	}
}

// netLinks are the devices of the node's machine.
func netLinks(t *testing.T) string {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	return strings.Join(names, " ")
}

// descent are the processes that descend from one: it says which of them are alive,
// and which network namespaces they had but the test's.
func descent(t *testing.T, root int) (alive func() []string, spaces []string) {
	t.Helper()
	type process struct{ parent, begin, ns string }
	look := func() map[string]process {
		all := map[string]process{}
		files, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue // it has ended
			}
			fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
			ns, err := os.Readlink(filepath.Join(filepath.Dir(f), "ns/net"))
			if err == nil && len(fields) > 19 && fields[0] != "Z" {
				all[filepath.Base(filepath.Dir(f))] = process{fields[1], fields[19], ns}
			}
		}
		return all
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]process{}
	all := look()
	for pid, p := range all {
		for up := pid; up != "0" && up != ""; up = all[up].parent {
			if up == strconv.Itoa(root) {
				ours[pid] = p
				if p.ns != own && !slices.Contains(spaces, p.ns) {
					spaces = append(spaces, p.ns)
				}
			}
		}
	}
	if len(ours) < 3 || len(spaces) < 2 {
		t.Fatalf("a node with sandboxes has the processes %v", ours)
	}
	return func() (left []string) {
		for pid, p := range look() {
			if o, ok := ours[pid]; ok && o.begin == p.begin { // numbers are used again
				left = append(left, pid+" in "+p.ns)
			}
		}
		return left
	}, spaces
}

// TestALostRelayIsReplaced: connections break, environments go on.
func TestALostRelayIsReplaced(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("crowd", crowd, true)
			var got any
			n.invoke("crowd", "ann", map[string]any{"do": "hold"}, &got)
			syscall.Kill(relaysOf(t, n.cmd.Process.Pid)[0], syscall.SIGKILL)
			eventually(t, "another relay", func() bool { return len(relaysOf(t, n.cmd.Process.Pid)) == 1 })
			eventually(t, "the same environment to reach the world", func() bool {
				return n.try("crowd", "ann", map[string]any{"do": "hold"}, &got) == nil && got == 2.0
			})
		})
	}
}

// TestTheRelayIsLockedIn looks at its process from outside.
func TestTheRelayIsLockedIn(t *testing.T) {
	n := start(t, "namespace")
	n.function("crowd", crowd, true)
	var got any
	n.invoke("crowd", "ann", map[string]any{"do": "hold"}, &got)
	pid := relaysOf(t, n.cmd.Process.Pid)[0]
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("its status has no %q:\n%s", want, status)
		}
	}
	if uid := strings.Fields(string(status)[strings.Index(string(status), "Uid:"):])[1]; uid == "0" {
		t.Error("it is root")
	}
	for _, ns := range []string{"net", "pid", "mnt", "user", "ipc", "uts"} {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
		ours, _ := os.Readlink("/proc/self/ns/" + ns)
		if err != nil || its == ours {
			t.Errorf("its %s namespace is %s, the node's %s (%v)", ns, its, ours, err)
		}
	}
	if root, err := os.ReadDir(fmt.Sprintf("/proc/%d/root", pid)); err != nil || len(root) > 0 {
		t.Errorf("it sees %v (%v)", root, err)
	}
	t.Logf("it takes %s", strings.Fields(string(status)[strings.Index(string(status), "VmRSS:"):])[1:3])
}

// relaysOf are the children of a node that are relays.
func relaysOf(t *testing.T, node int) (pids []int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range lines {
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(b), "alcove-egress\x00") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); err == nil && len(f) > 1 && f[1] == strconv.Itoa(node) && f[0] != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}
