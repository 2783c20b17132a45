package egress

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Each rule of docs/security.md, "Outbound network", and the test that attacks it:
//
//	nothing is inbound                          TestNothingIsInbound
//	loopback, own addresses, listener           TestNobodyReachesWhatIsClosed, TestTheNodesListenerIsClosed, TestTheNodesOtherAddressesAreClosed
//	link-local, metadata, private ranges        TestNobodyReachesWhatIsClosed; policy.TestNobodyReaches, FuzzDial
//	other environments                          TestNothingIsInbound
//	raw sockets, spoofing, neighbours, routes   TestNoTricksOfTheLink; relay.TestHostilePacketsAreNothing, FuzzPackets; sandboxtest (link)
//	ICMP                                        TestNoTricksOfTheLink
//	IPv4 in IPv6, NAT64, 6to4, Teredo           TestNobodyReachesWhatIsClosed; policy.TestNobodyReaches, TestTranslatedAddressesAreDecidedAbout
//	names and questions in every form           TestQuestionsInEveryForm
//	rebinding of names                          TestNamesDoNotRebind; egress.TestPinsCountForATime
//	policies, also for connections there are    TestPoliciesNarrow, TestPolicyChangesUnderLoad; egress.TestPoliciesHoldAtEveryMoment
//	the node's end of the link                  TestTheNodesEndOfTheLinkIsTheAPIsAlone; test/e2e TestFunctionsCallTheNode
//	limits, and one tenant beside another       limits_test.go; relay bounds_test.go; egress network_test.go
//	the relay                                   TestTheRelayIsLockedIn, TestALostRelayIsReplaced; egress.TestARelay…
//	a node that is killed                       TestNothingIsLeftOfAKilledNode

// probe is a function that tries what its event says, with code of the test's.
const probe = `
import ctypes, errno, fcntl, os, select, socket, struct, time
def why(e):
    if isinstance(e, TimeoutError): return 'timeout'
    return errno.errorcode.get(e.errno, str(e)) if isinstance(e, OSError) else repr(e)
def tried(f):
    try: return f()
    except Exception as e: return why(e)
def handler(event, context):
    return {k: tried(lambda: eval(v, globals(), {'event': event})) for k, v in event['try'].items()}

def listens(port): # on everything until it is told that it is over, and says who came
    s = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    u.bind(('::', port))
    over = socket.create_connection(('8.8.8.8', 5355), timeout=60)
    print('listening', flush=True)
    ready, _, _ = select.select([s, u, over], [], [], 100)
    return [str(x.accept() if x is s else x.recvfrom(100)) for x in ready if x is not over] or 'nobody' if over in ready else 'not over'
def held(to, port, wait): # one datagram to a server, and what comes from anywhere until it answers
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(('0.0.0.0', 0))
    u.settimeout(wait)
    u.sendto(b'hello', (to, port))
    got = []
    try:
        while 'from the peer' not in got: got.append(u.recvfrom(100)[0].decode())
    except TimeoutError: pass
    return got
def connects(*a):
    with socket.create_connection(a, timeout=4) as s: return 'connected'
def spoofs(source, freebind, to, port): # from an address that is another's
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, freebind, 1)
    s.bind((source, 4444))
    s.settimeout(1)
    s.sendto(b'spoofed', (to, port))
    return s.recv(100).decode()
def pings(family, proto, to):
    s = socket.socket(family, socket.SOCK_DGRAM, proto)
    s.settimeout(1)
    s.sendto(struct.pack('!BBHHH', 8 if family == socket.AF_INET else 128, 0, 0, 0, 1) + b'ping', (to, 0))
    return 'echo of %d bytes' % len(s.recv(100))
def ioctl(number, size=40): # of the link
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), number, b'eth0'.ljust(16, b'\0') + struct.pack('=HH4s', 2, 0, b'\x08\x08\x04\x04').ljust(size - 16, b'\0'))
    return 'done'
def ioctlOf(path, number): # makes a device, of packets
    fcntl.ioctl(os.open(path, os.O_RDWR), number, b'tap0'.ljust(16, b'\0') + struct.pack('=H', 0x1002).ljust(24, b'\0'))
    return 'done'
def netlink(kind, body):
    s = socket.socket(16, socket.SOCK_RAW, 0)
    s.settimeout(3)
    s.send(struct.pack('=IHHII', 16 + len(body), kind, 0x605, 1, 0) + body)
    code = struct.unpack('=i', s.recv(1000)[16:20])[0]
    if code: raise OSError(-code, 'netlink')
    return 'done'
`

// attempt has a probe try something.
func (n *node) attempt(tenant string, what map[string]string) map[string]any {
	n.t.Helper()
	var got map[string]any
	n.invoke("probe", tenant, map[string]any{"try": what}, &got)
	return got
}

// TestNothingIsInbound: neither the world, nor the node's machine, nor another
// environment gets to what listens in a sandbox; and to what a sandbox has talked
// with, no other answers.
func TestNothingIsInbound(t *testing.T) {
	peer, err := earth.listenPacket("8.8.8.8:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	other, err := earth.listenPacket("1.1.1.1:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stranger, err := earth.listenPacket("8.8.8.8:5354")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	go func() {
		b := make([]byte, 100)
		for {
			_, from, err := peer.ReadFrom(b)
			if err != nil {
				return
			}
			other.WriteTo([]byte("from another host"), from)
			stranger.WriteTo([]byte("from another port"), from)
			peer.WriteTo([]byte("from the peer"), from)
		}
	}()
	over, err := earth.listen("8.8.8.8:5355")
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("probe", probe, true)
			listened := make(chan map[string]any, 1)
			go func() {
				var got map[string]any
				if err := n.try("probe", "ann", map[string]any{"try": map[string]string{"who": "listens(8080)"}}, &got); err != nil {
					t.Error(err)
				}
				listened <- got
			}()
			eventually(t, "it to listen", func() bool { return strings.Contains(n.logged("probe", "ann"), "listening") })
			for name, got := range n.attempt("bob", map[string]string{
				"its address": "connects('192.0.0.2', 8080)", "its other address": "connects('fd00:a1c0:7e::2', 8080)",
				"the machine's": "connects('" + node4 + "', 8080)", "a public one": "connects('" + nodePublic + "', 8080)",
			}) {
				if got != "ECONNREFUSED" {
					t.Errorf("another environment, by %s: %v", name, got)
				}
			}
			dial := func(from string, dial func(network, addr string) (net.Conn, error)) {
				for _, a := range []string{node4, nodePublic, "192.0.0.2", "fd00:a1c0:7e::2"} {
					if c, err := dial("tcp", net.JoinHostPort(a, "8080")); err == nil {
						c.Close()
						t.Errorf("from %s, %s is connected", from, a)
					}
					if c, err := dial("udp", net.JoinHostPort(a, "8080")); err == nil {
						c.Write([]byte("hello"))
						c.Close()
					}
				}
			}
			short := net.Dialer{Timeout: time.Second}
			dial("the node's machine", short.Dial)
			_ = earth.in(func() error { dial("the world", short.Dial); return nil })
			c, err := over.Accept()
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if got := fmt.Sprint((<-listened)["who"]); got != "nobody" {
				t.Errorf("a sandbox was reached by %s", got)
			}
			got := n.attempt("ann", map[string]string{"from": "held('8.8.8.8', 5353, 20)"})
			if fmt.Sprint(got["from"]) != "[from the peer]" {
				t.Errorf("a socket that has one peer gets %v", got["from"])
			}
		})
	}
}

// TestTheNodesListenerIsClosed by all its names, also when an address is the
// machine's only since a moment, and with credentials that are none of the
// environment's.
func TestTheNodesListenerIsClosed(t *testing.T) {
	const late = "8.7.6.99"
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d, "--listen", "127.0.0.1:0")
			n.function("probe", probe, true)
			u, err := url.Parse(n.url)
			if err != nil {
				t.Fatal(err)
			}
			// What listens on everything, on the same port: the node itself may be told to.
			l, err := net.Listen("tcp", "[::]:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			reached := make(chan string, 100)
			go accept(l, func(c *net.TCPConn) { reached <- c.LocalAddr().String() })
			_, all, _ := net.SplitHostPort(l.Addr().String())
			if err := ip("addr add " + late + "/32 dev lo"); err != nil {
				t.Fatal(err)
			}
			defer ip("addr del " + late + "/32 dev lo")
			what := map[string]string{}
			for _, port := range []string{u.Port(), all} {
				for _, a := range []string{"127.0.0.1", "::1", "192.0.0.1", "fd00:a1c0:7e::1", "host.alcove.internal", node4, node6, nodePublic, late, "::ffff:" + late} {
					what[a+" "+port] = fmt.Sprintf("connects(%q, %s)", a, port)
				}
			}
			for name, got := range n.attempt("ann", what) {
				if got != "ECONNREFUSED" {
					t.Errorf("%s: %v", name, got)
				}
			}
			select {
			case at := <-reached:
				t.Errorf("the machine is reached at %s", at)
			default:
			}
		})
	}
}

// TestNoTricksOfTheLink: no pings that get anywhere, no address that is another's,
// no change of addresses, routes and neighbours.
func TestNoTricksOfTheLink(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("probe", probe, true)
			for name, got := range n.attempt("ann", map[string]string{
				"ping": "pings(socket.AF_INET, 1, '8.8.8.8')", "ping the gateway": "pings(socket.AF_INET, 1, '192.0.0.1')", "ping by IPv6": "pings(socket.AF_INET6, 58, '2606:4700::1111')",
				"spoof by free bind": "spoofs('8.8.4.4', 15, '8.8.8.8', 7)", "spoof transparently": "spoofs('8.8.4.4', 19, '8.8.8.8', 7)", "spoof another sandbox": "spoofs('192.0.0.3', 15, '8.8.8.8', 7)",
				"set an address": "ioctl(0x8916)", "set a link-layer address": "ioctl(0x8924)", "set a neighbour": "ioctl(0x8955, 68)", "bring the link down": "ioctl(0x8914)",
				"a raw socket":    "socket.socket(socket.AF_INET, socket.SOCK_RAW, 255) and 'made'",
				"a packet socket": "socket.socket(17, socket.SOCK_RAW, 0x300) and 'made'", "a packet socket of datagrams": "socket.socket(17, socket.SOCK_DGRAM, 0x300) and 'made'",
				"add an address":      "netlink(20, struct.pack('=BBBBI', 2, 32, 0, 0, 2) + struct.pack('=HH4s', 8, 2, b'\\x08\\x08\\x04\\x04'))",
				"add a neighbour":     "netlink(28, struct.pack('=BBHiHBB', 2, 0, 0, 2, 128, 0, 0) + struct.pack('=HH4s', 8, 1, b'\\xc0\\x00\\x00\\x01'))",
				"remove a route":      "netlink(25, struct.pack('=BBBBBBBBI', 2, 0, 0, 0, 254, 0, 0, 0, 0))",
				"a device of its own": "ioctlOf('/dev/net/tun', 0x400454ca)",
			}) {
				text := fmt.Sprint(got)
				if strings.HasPrefix(text, "echo") || text == "done" || text == "made" || text == "spoofed" {
					t.Errorf("%s: %v", name, got)
				}
				t.Logf("%s: %v", name, got)
			}
			// The link works as before.
			if got := n.attempt("ann", map[string]string{"link": "connects('8.8.8.8', 80)"}); got["link"] != "connected" {
				t.Errorf("afterwards the world is %v", got)
			}
		})
	}
}

// TestNamesDoNotRebind: a name that is allowed and comes to lead elsewhere opens
// nothing that nobody reaches, and an address only for whoever was told it.
func TestNamesDoNotRebind(t *testing.T) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			earth.name("moves.example.com", "8.8.8.8")
			n := start(t, d)
			n.function("probe", probe, true)
			n.set("functions/probe", `{"mode":"list","allow":["tcp://moves.example.com:80"]}`)
			try := func(want string) {
				t.Helper()
				got := n.attempt("ann", map[string]string{
					"1 name": "connects('moves.example.com', 80)", "2 old": "connects('8.8.8.8', 80)", "3 new": "connects('8.8.4.4', 80)", "4 metadata": "connects('169.254.169.254', 80)", "5 port": "connects('moves.example.com', 81)",
				})
				if b, _ := json.Marshal(got); string(b) != want {
					t.Errorf("%s, want %s", b, want)
				}
			}
			try(`{"1 name":"connected","2 old":"connected","3 new":"ECONNREFUSED","4 metadata":"ECONNREFUSED","5 port":"ECONNREFUSED"}`)
			earth.name("moves.example.com", "169.254.169.254", "127.0.0.1", "10.1.2.3")
			try(`{"1 name":"[Errno -5] No address associated with hostname","2 old":"connected","3 new":"ECONNREFUSED","4 metadata":"ECONNREFUSED","5 port":"[Errno -5] No address associated with hostname"}`)
			earth.name("moves.example.com", "8.8.4.4")
			try(`{"1 name":"connected","2 old":"connected","3 new":"connected","4 metadata":"ECONNREFUSED","5 port":"ECONNREFUSED"}`)
		})
	}
}
