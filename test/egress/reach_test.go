package egress

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
)

// explorer is a function that tries to reach what its event names, and says how
// that went: what came back, or the error.
const explorer = `
import errno, socket, threading
def why(e):
    if isinstance(e, socket.gaierror): return 'no such name'
    if isinstance(e, TimeoutError): return 'timeout'
    return errno.errorcode.get(e.errno, str(e)) if isinstance(e, OSError) else str(e)
def family(a): return socket.AF_INET6 if ':' in a else socket.AF_INET
def tcp(a, port, wait):
    try:
        with socket.create_connection((a, port), timeout=wait) as s:
            line = s.makefile('rb').readline()
            return 'at ' + line.decode().strip() if line else 'closed'
    except Exception as e: return why(e)
def udp(a, port, wait):
    try:
        with socket.socket(family(a), socket.SOCK_DGRAM) as s:
            s.settimeout(wait / 8)
            s.connect((a, port))
            for i in range(8): # that nobody is there is the result of a later one
                s.send(b'hello')
                try: return 'echo ' + s.recv(100).decode()
                except TimeoutError: pass
            return 'timeout'
    except Exception as e: return why(e)
def name(n):
    try: return sorted({a[4][0] for a in socket.getaddrinfo(n, 80, type=socket.SOCK_STREAM)})
    except Exception as e: return why(e)
def handler(event, context):
    out, wait = {}, event.get('wait', 8)
    def one(key, f, *args): out[key] = f(*args)
    todo = [threading.Thread(target=one, args=(f'tcp {a} {p}', tcp, a, p, wait)) for a, p in event.get('tcp', [])]
    todo += [threading.Thread(target=one, args=(f'udp {a} {p}', udp, a, p, wait)) for a, p in event.get('udp', [])]
    for t in todo: t.start()
    for n in event.get('names', []): one('name ' + n, name, n)
    for t in todo: t.join()
    return out
`

type target [2]any

func at(port int, addrs ...string) (out []target) {
	for _, a := range addrs {
		out = append(out, target{a, port})
	}
	return out
}

// reach is what an explorer says of destinations.
type reach struct {
	TCP   []target `json:"tcp,omitempty"`
	UDP   []target `json:"udp,omitempty"`
	Names []string `json:"names,omitempty"`
	Wait  float64  `json:"wait,omitempty"`
}

// open are addresses of the world that everybody may reach, closed are those that
// nobody may: in this list, each with a server that would answer.
var (
	openAddrs   = []string{"8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "2001:470:64::808:808"}
	closedAddrs = []string{
		"169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "10.1.2.3", "172.16.5.5", "192.168.7.7", "100.64.1.1", "198.18.0.5", "192.0.2.53",
		"192.0.0.192", "fd00:ec2::254", "fd12::5", "64:ff9b::a9fe:a9fe", "2002:a01:203::1", "2001:0:a01:203::1", "64:ff9b:1::1", "2001:470:64::a01:203",
		"::ffff:10.1.2.3", "::ffff:169.254.169.254",
		node4, world4, node6, nodePublic, "::ffff:" + nodePublic,
		"192.0.0.1", "fd00:a1c0:7e::1", // the gateway, and behind it the node's loopback
	}
)

// TestNobodyReachesWhatIsClosed attacks from inside, with the policy that every
// node has from its start.
func TestNobodyReachesWhatIsClosed(t *testing.T) {
	// On the node's machine, where a function must not get.
	l, err := net.Listen("tcp", "[::]:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reached := make(chan string, 100)
	go accept(l, func(c *net.TCPConn) { reached <- c.RemoteAddr().String() + " at " + c.LocalAddr().String() })
	earth.name("good.example", "8.8.8.8", "2606:4700::1111")
	earth.name("rebind.example", "10.1.2.3", "169.254.169.254", "127.0.0.1", "::1", "fd12::5")
	earth.name("mixed.example", "10.1.2.3", "1.1.1.1")
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("explorer", explorer, true)
			var got map[string]any
			n.invoke("explorer", "ann", reach{
				TCP: append(at(80, openAddrs...), at(80, closedAddrs...)...), UDP: append(at(7, "8.8.8.8", "2606:4700::1111"), at(7, closedAddrs[:18]...)...),
				Names: []string{"good.example", "rebind.example", "mixed.example", "nowhere.example"},
			}, &got)
			for _, a := range openAddrs {
				if want := "at " + net.JoinHostPort(a, "80"); got["tcp "+a+" 80"] != want {
					t.Errorf("%s is reached as %v, want %q", a, got["tcp "+a+" 80"], want)
				}
			}
			for _, a := range []string{"8.8.8.8", "2606:4700::1111"} {
				if got["udp "+a+" 7"] != "echo hello" {
					t.Errorf("by UDP, %s is reached as %v", a, got["udp "+a+" 7"])
				}
			}
			for _, a := range closedAddrs {
				if how := got["tcp "+a+" 80"]; how != "ECONNREFUSED" {
					t.Errorf("%s is %v, not refused", a, how)
				}
			}
			for _, a := range closedAddrs[:18] {
				if how := got["udp "+a+" 7"]; how != "ECONNREFUSED" {
					t.Errorf("by UDP, %s is %v, not refused", a, how)
				}
			}
			for name, want := range map[string]any{
				"good.example": "[2606:4700::1111 8.8.8.8]", "mixed.example": "[1.1.1.1]", "rebind.example": "no such name", "nowhere.example": "no such name",
			} {
				sorted := fmt.Sprint(got["name "+name])
				if sorted == "[8.8.8.8 2606:4700::1111]" {
					sorted = "[2606:4700::1111 8.8.8.8]"
				}
				if sorted != want {
					t.Errorf("%s is %v, want %v", name, got["name "+name], want)
				}
			}
			select {
			case who := <-reached:
				t.Errorf("the node's machine was reached: %s", who)
			default:
			}
			// Refusals are in the tenant's own log.
			eventually(t, "the record of a refusal", func() bool {
				log := n.logged("explorer", "ann")
				return strings.Contains(log, "EGRESS_REFUSED") && strings.Contains(log, "Rule: always: ") && strings.Contains(log, "Tenant ID: ann")
			})
			if log := n.logged("explorer", "bob"); strings.Contains(log, "EGRESS_REFUSED") {
				t.Errorf("another tenant's log has %s", log)
			}
		})
	}
}

// TestPoliciesNarrow: the node's, the function's and the tenant's, by names,
// addresses and ports.
func TestPoliciesNarrow(t *testing.T) {
	earth.name("api.example.com", "8.8.8.8")
	earth.name("other.example.org", "8.8.4.4")
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("explorer", explorer, true)
			look := func(tenant string, r reach) string {
				t.Helper()
				r.Wait = 4
				var got map[string]any
				n.invoke("explorer", tenant, r, &got)
				b, _ := json.Marshal(got)
				return string(b)
			}
			want := func(what, got, want string) {
				t.Helper()
				if got != want {
					t.Errorf("%s: %s, want %s", what, got, want)
				}
			}
			both := reach{TCP: at(80, "8.8.8.8", "8.8.4.4")}
			want("open", look("ann", both), `{"tcp 8.8.4.4 80":"at 8.8.4.4:80","tcp 8.8.8.8 80":"at 8.8.8.8:80"}`)
			n.set("functions/explorer", `{"mode":"list","allow":["8.8.8.8:80","udp://8.8.4.4"]}`)
			want("a list of addresses", look("ann", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"at 8.8.8.8:80"}`)
			want("its names", look("ann", reach{Names: []string{"api.example.com"}}), `{"name api.example.com":"no such name"}`)
			want("its protocol", look("ann", reach{UDP: at(7, "8.8.4.4", "8.8.8.8")}), `{"udp 8.8.4.4 7":"echo hello","udp 8.8.8.8 7":"ECONNREFUSED"}`)
			n.set("tenants/bob", `{"mode":"none"}`)
			want("a tenant without a network", look("bob", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"ECONNREFUSED"}`)
			want("the others", look("ann", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"at 8.8.8.8:80"}`)
			n.set("tenants/bob", `{"mode":"open"}`)
			want("a tenant does not widen", look("bob", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"at 8.8.8.8:80"}`)
			n.set("node", `{"mode":"none","widen":true}`)
			want("unless the node says so", look("bob", both), `{"tcp 8.8.4.4 80":"at 8.8.4.4:80","tcp 8.8.8.8 80":"at 8.8.8.8:80"}`)
			n.set("functions/explorer", "")
			want("the node's, where the function has none", look("ann", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"ECONNREFUSED"}`)

			n.set("node", "")
			n.set("functions/explorer", `{"mode":"list","allow":["*.example.com:80"]}`)
			earth.questions()
			want("by address, a name that was not asked for", look("cid", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"ECONNREFUSED"}`)
			want("names", look("cid", reach{Names: []string{"api.example.com", "other.example.org"}}), `{"name api.example.com":["8.8.8.8"],"name other.example.org":"no such name"}`)
			want("addresses of names", look("cid", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"at 8.8.8.8:80"}`)
			want("are the sandbox's own", look("dan", both), `{"tcp 8.8.4.4 80":"ECONNREFUSED","tcp 8.8.8.8 80":"ECONNREFUSED"}`)
			for _, q := range earth.questions() {
				if q != "api.example.com." {
					t.Errorf("the world was asked for %s, which is not in the list", q)
				}
			}
			n.set("node", `{"mode":"open","private":["10.1.2.3:80","127.0.0.1:81"]}`)
			n.set("functions/explorer", "")
			l, err := net.Listen("tcp", "127.0.0.1:81")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go accept(l, func(c *net.TCPConn) { fmt.Fprintln(c, "the host") })
			want("what the operator opens", look("ann", reach{TCP: append(at(80, "10.1.2.3", "172.16.5.5"), target{"host.alcove.internal", 81})}),
				`{"tcp 10.1.2.3 80":"at 10.1.2.3:80","tcp 172.16.5.5 80":"ECONNREFUSED","tcp host.alcove.internal 81":"at the host"}`)
		})
	}
}
