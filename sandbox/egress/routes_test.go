package egress

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhatLeadsHere asks the kernel of whatever machine runs this.
func TestWhatLeadsHere(t *testing.T) {
	var r routes
	defer r.close()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for a, want := range map[string]bool{"127.0.0.1": true, "127.1.2.3": true, "127.255.255.255": true, "8.8.8.8": false, "2606:4700::1111": false} {
				if here, err := r.here(netip.MustParseAddr(a)); here != want || err != nil {
					t.Errorf("%s: %v %v, want %v", a, here, err, want)
				}
			}
		})
	}
	all.Wait()
}

// TestAnAnswerThatIsNone counts as this machine.
func TestAnAnswerThatIsNone(t *testing.T) {
	var r routes
	r.close()
	if here, err := r.here(netip.MustParseAddr("8.8.8.8")); !here || err == nil {
		t.Errorf("without the kernel: %v %v", here, err)
	}
	message := func(kind uint16, seq uint32, body ...byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
		b = binary.NativeEndian.AppendUint16(b, kind)
		b = binary.NativeEndian.AppendUint16(b, 0)
		return append(binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(b, seq), 0), body...)
	}
	code := func(e unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(-int32(e))) }
	for what, b := range map[string][]byte{
		"nothing": nil, "a header": message(unix.RTM_NEWROUTE, 7), "half a route": message(unix.RTM_NEWROUTE, 7, 2, 32, 0, 0),
		"of another question": message(unix.RTM_NEWROUTE, 6, 2, 32, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0), "of another kind": message(unix.RTM_NEWADDR, 7, 2, 32, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0),
		"no memory": message(unix.NLMSG_ERROR, 7, code(unix.ENOBUFS)...),
	} {
		if kind, err := routeKind(b, 7); err == nil {
			t.Errorf("%s is a route of kind %d", what, kind)
		}
	}
	if kind, err := routeKind(message(unix.NLMSG_ERROR, 7, code(unix.ENETUNREACH)...), 7); kind != unix.RTN_UNREACHABLE || err != nil {
		t.Errorf("that there is none: %d %v", kind, err)
	}
	if kind, err := routeKind(message(unix.RTM_NEWROUTE, 7, 2, 32, 0, 0, 254, 0, 0, unix.RTN_LOCAL, 0, 0, 0, 0), 7); kind != unix.RTN_LOCAL || err != nil {
		t.Errorf("a route: %d %v", kind, err)
	}
}
