package egress

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// asker is a function that asks the resolver questions of its own making, by UDP or
// TCP, and says the code of the answer and how many records it has.
const asker = `
import socket, struct
def wire(labels): return b''.join(bytes([len(l)]) + l for l in labels) + b'\0'
def named(n): return wire([l.encode('latin-1') for l in n.split('.') if l])
def ask(name, kind=1, klass=1, tcp=False, server='192.0.0.1', count=1, extra=b'', opcode=0, additional=0):
    q = struct.pack('!HHHHHH', 7, 0x100 | opcode << 11, count, 0, 0, additional) + (name + struct.pack('!HH', kind, klass)) * count + extra
    if tcp:
        s = socket.create_connection((server, 53), timeout=15)
        s.sendall(struct.pack('!H', len(q)) + q)
        f = s.makefile('rb')
        head = f.read(2)
        if not head: return 'closed'
        a = f.read(struct.unpack('!H', head)[0])
    else:
        s = socket.socket(socket.AF_INET6 if ':' in server else socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(15)
        s.connect((server, 53))
        s.send(q)
        a = s.recv(5000)
    ident, flags, _, answers, _, _ = struct.unpack('!HHHHHH', a[:12])
    return f'{flags & 15} {answers}' if ident == 7 else 'another answer'
def handler(event, context):
    out = {}
    for k, v in event.items():
        try: out[k] = eval(v)
        except Exception as e: out[k] = type(e).__name__
    return out
`

// TestQuestionsInEveryForm: whatever a question looks like, the world is asked for
// nothing but names that the policy allows, of types that are passed on; and what
// stands in an answer opens nothing that nobody reaches.
func TestQuestionsInEveryForm(t *testing.T) {
	earth.name("a.allowed.example", "8.8.8.8", "169.254.169.254", "2606:4700::1111", "fd00:ec2::254")
	long := strings.Repeat("x", 63)
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.function("asker", asker, true)
			n.set("functions/asker", `{"mode":"list","allow":["*.allowed.example:80"]}`)
			n.set("tenants/bob", `{"mode":"none"}`)
			earth.questions()
			want := map[string][2]string{ // the question, and what is answered
				"allowed":                 {"ask(named('a.allowed.example'))", "0 1"},
				"of IPv6":                 {"ask(named('a.allowed.example'), 28)", "0 1"},
				"in capitals":             {"ask(named('A.ALLOWED.Example'))", "0 1"},
				"by TCP":                  {"ask(named('a.allowed.example'), tcp=True)", "0 1"},
				"by IPv6":                 {"ask(named('a.allowed.example'), server='fd00:a1c0:7e::1')", "0 1"},
				"with EDNS":               {`ask(named('a.allowed.example'), additional=1, extra=b'\0' + struct.pack('!HHIH', 41, 65535, 0x8000, 0))`, "0 1"},
				"with a client's subnet":  {`ask(named('a.allowed.example'), additional=1, extra=b'\0' + struct.pack('!HHIH', 41, 4096, 0, 11) + struct.pack('!HHHBB', 8, 7, 1, 24, 0) + b'\x0a\1\2')`, "0 1"},
				"the name above":          {"ask(named('allowed.example'))", "5 0"},
				"another":                 {"ask(named('secret.evil.example'))", "5 0"},
				"the root":                {`ask(b'\0')`, "5 0"},
				"a dot in a label":        {"ask(wire([b'secret.evil', b'a.allowed', b'example']))", ""},
				"a star":                  {"ask(named('*.allowed.example'))", "3 0"},
				"a zero in a label":       {`ask(wire([b'secret\0evil', b'example']))`, "5 0"},
				"the end of an allowed":   {"ask(named('evilallowed.example'))", "5 0"},
				"an allowed one in front": {"ask(named('a.allowed.example.evil.example'))", "5 0"},
				"in another script":       {`ask(wire(['\u0430'.encode() + b'llowed', b'example']))`, "5 0"},
				"of any type":             {"ask(named('secret1.allowed.example'), 255)", "0 0"},
				"of a type of its own":    {"ask(named('secret2.allowed.example'), 65400)", "0 0"},
				"HTTPS":                   {"ask(named('secret3.allowed.example'), 65)", "0 0"},
				"a transfer of all":       {"ask(named('secret4.allowed.example'), 252, tcp=True)", "0 0"},
				"of class CHAOS":          {"ask(named('a.allowed.example'), klass=3)", "4 0"},
				"two at once":             {"ask(named('a.allowed.example'), count=2)", "1 0"},
				"an update":               {"ask(named('a.allowed.example'), opcode=5)", "4 0"},
				"an address backwards":    {"ask(named('8.8.8.8.in-addr.arpa'), 12)", "5 0"},
				"too long":                {fmt.Sprintf("ask(wire([b'%s'] * 4 + [b'allowed', b'example']))", long), ""},
				"a label that points":     {`ask(b'\xc0\x0c')`, ""},
			}
			event, none := map[string]string{}, map[string]string{}
			for k, w := range want {
				event[k] = w[0]
				if w[1] != "" { // others are told it is no question, or nothing, which takes its time
					none[k] = w[0]
				}
			}
			for _, k := range []string{"a dot in a label", "too long", "a label that points"} {
				event[k] = strings.TrimSuffix(event[k], ")") + ", tcp=True)"
			}
			var got map[string]string
			n.invoke("asker", "ann", event, &got)
			for k, w := range want {
				if w[1] != "" && got[k] != w[1] || w[1] == "" && got[k] != "closed" && !strings.HasSuffix(got[k], " 0") {
					t.Errorf("%s: %q, want %q", k, got[k], w[1])
				}
			}
			asked := earth.questions()
			slices.Sort(asked)
			if got := fmt.Sprint(slices.Compact(asked)); got != "[*.allowed.example. a.allowed.example.]" {
				t.Errorf("the world was asked for %s", got)
			}
			n.invoke("asker", "bob", none, &got)
			for k, how := range got {
				if strings.HasSuffix(how, " 1") {
					t.Errorf("without a network, %s: %q", k, how)
				}
			}
			if asked := earth.questions(); len(asked) > 0 {
				t.Errorf("without a network, the world was asked for %v", asked)
			}
		})
	}
}
