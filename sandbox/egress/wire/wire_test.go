package wire

import (
	"bytes"
	"net/netip"
	"os"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMessagesArriveWithTheirDescriptor(t *testing.T) {
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := Message{Kind: Answer, Proto: 6, Code: OK, Link: 7, ID: 1 << 40, Addr: netip.MustParseAddrPort("[2001:db8::1]:443"),
		Group: 1, Rate: 2, GroupRate: 3, Number: 4, Data: []byte("data")}
	if err := a.Send(&want, int(w.Fd())); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var got Message
	fd, err := b.Receive(&got)
	if err != nil || fd < 0 || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v with descriptor %d (%v), want %+v", got, fd, err, want)
	}
	unix.Write(fd, []byte("x"))
	unix.Close(fd)
	if text := make([]byte, 2); func() int { n, _ := r.Read(text); return n }() != 1 {
		t.Error("the descriptor is not the pipe's")
	}
	if err := a.Send(&Message{Kind: Close, Addr: netip.MustParseAddrPort("192.0.2.1:1")}, -1); err != nil {
		t.Fatal(err)
	}
	if fd, err := b.Receive(&got); err != nil || fd != -1 || got.Kind != Close || got.Addr.Addr().Is4() == false {
		t.Errorf("%+v, %d, %v", got, fd, err)
	}
	a.Write([]byte("too short"))
	if _, err := b.Receive(&got); err != ErrMessage {
		t.Errorf("a malformed message gives %v", err)
	}
	a.Close()
	if _, err := b.Receive(&got); err == nil {
		t.Error("a closed socket gives a message")
	}
}

func TestCountersAreShared(t *testing.T) {
	a, err := NewCounters()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	fd, err := unix.Dup(int(a.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := MapCounters(os.NewFile(uintptr(fd), ""))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a.Of(MaxLinks - 1).In.Add(5)
	if n := b.Of(MaxLinks - 1).In.Load(); n != 5 {
		t.Errorf("the other process sees %d", n)
	}
	if err := a.File().Truncate(0); err == nil {
		t.Error("the memory can be taken away")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add((&Message{Kind: Dial, Addr: netip.MustParseAddrPort("8.8.8.8:53"), Data: []byte("x")}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if m.Decode(b) != nil {
			return
		}
		var again Message
		if err := again.Decode(m.Append(nil)); err != nil || !bytes.Equal(again.Data, m.Data) {
			t.Fatalf("%+v, %v", again, err)
		}
		again.Data = m.Data
		if !reflect.DeepEqual(again, m) {
			t.Errorf("%+v becomes %+v", m, again)
		}
	})
}
