package launch

import (
	"encoding/binary"
	"errors"
)

// Order is what a node tells a launcher to make. It crosses a socket, so every
// field is plain; Encode and Decode know them all.
type Order struct {
	// V1Groups are directories of version 1 cgroups that the launcher has to
	// enter by itself.
	V1Groups []string
	// Root, Mounts and SocketDir are as in sandbox.Spec.
	Root      string
	Mounts    []Mount
	SocketDir string
	// Empty is an empty directory on the host, the second layer of overlays.
	Empty string
	// Tmp is the size of a memory file system at /tmp, in bytes; zero says that
	// a file system for /tmp comes as a descriptor.
	Tmp uint64
	Shm uint64 // size of /dev/shm in bytes
	// BindDevices says that device files cannot be made and are to be borrowed
	// from the host.
	BindDevices bool
	// Memory and CPUs are what /proc/meminfo and /proc/stat tell.
	Memory uint64
	CPUs   uint64
	// MaskFiles and MaskDirs are names in /proc that are covered.
	MaskFiles []string
	MaskDirs  []string

	// UID and GID are the program's ids inside; HostUID, mapped to both of
	// them, is its id outside. Zero: there is no other id than the launcher's.
	UID, GID, HostUID uint64
	// Groups are the program's further ones, inside and, in the same order, outside.
	Groups, HostGroups []uint64
	// InitUID is the id of the first process outside, or zero if it keeps the
	// launcher's.
	InitUID uint64

	OpenFiles, Processes uint64
	Port                 uint64 // of the TCP listener on 127.0.0.1, or zero
	Link                 bool   // a link to the outside, too
	Pair                 bool   // which is a pair of devices, without /dev/net/tun
	Log                  bool   // a descriptor for sandbox.LogFD comes along
	Filter               []byte // seccomp program, sock_filter by sock_filter

	Args []string
	Env  []string
	Dir  string

	// Marker is in the arguments of the sandbox's first process, so that it can
	// be found where there are no cgroups.
	Marker string
	// Forked says that the program is going to be forked from a template, or, if
	// that fails, executed after all.
	Forked bool
	// Template says to become a template: Root, Args, Env and Dir are its own, and
	// all other limits and mounts mean nothing.
	Template bool
	// Probe says to stop before a program would be started: the node wants to
	// know what works.
	Probe bool
}

// Mount is one read-only directory.
type Mount struct{ Source, Target string }

var errOrder = errors.New("malformed order")

// A codec walks over the fields of an order, writing or reading each.
type codec struct {
	b       []byte
	reading bool
	bad     bool
}

// Encode puts the order into bytes.
func (o *Order) Encode() []byte {
	c := &codec{}
	c.order(o)
	return c.b
}

// Decode is the inverse of Encode.
func (o *Order) Decode(b []byte) error {
	c := &codec{b: b, reading: true}
	c.order(o)
	if c.bad || len(c.b) != 0 {
		return errOrder
	}
	return nil
}

func (c *codec) order(o *Order) {
	for _, l := range []*[]string{&o.V1Groups, &o.MaskFiles, &o.MaskDirs, &o.Args, &o.Env} {
		c.strings(l)
	}
	for _, s := range []*string{&o.Root, &o.SocketDir, &o.Empty, &o.Dir, &o.Marker} {
		c.string(s)
	}
	for _, n := range []*uint64{
		&o.Tmp, &o.Shm, &o.Memory, &o.CPUs, &o.UID, &o.GID, &o.HostUID, &o.InitUID, &o.OpenFiles, &o.Processes, &o.Port,
	} {
		c.number(n)
	}
	for _, b := range []*bool{&o.BindDevices, &o.Link, &o.Pair, &o.Log, &o.Forked, &o.Template, &o.Probe} {
		c.bool(b)
	}
	c.numbers(&o.Groups)
	c.numbers(&o.HostGroups)
	filter := string(o.Filter)
	c.string(&filter)
	o.Filter = []byte(filter)
	c.mounts(&o.Mounts)
}

func (c *codec) number(n *uint64) {
	if !c.reading {
		c.b = binary.LittleEndian.AppendUint64(c.b, *n)
		return
	}
	if len(c.b) < 8 {
		c.bad = true
		c.b = nil
		return
	}
	*n = binary.LittleEndian.Uint64(c.b)
	c.b = c.b[8:]
}

func (c *codec) bool(b *bool) {
	var n uint64
	if *b {
		n = 1
	}
	c.number(&n)
	*b = n == 1
}

func (c *codec) string(s *string) {
	n := uint64(len(*s))
	c.number(&n)
	if !c.reading {
		c.b = append(c.b, *s...)
		return
	}
	if n > uint64(len(c.b)) {
		c.bad = true
		c.b = nil
		return
	}
	*s = string(c.b[:n])
	c.b = c.b[n:]
}

// length codes the length of a list. No element takes less than eight bytes, so
// that a length beyond that is known to be wrong before anything is allocated.
func (c *codec) length(have int) int {
	n := uint64(have)
	c.number(&n)
	if c.reading && n > uint64(len(c.b)/8) {
		c.bad = true
		c.b = nil
		return 0
	}
	return int(n)
}

func (c *codec) numbers(l *[]uint64) {
	n := c.length(len(*l))
	if c.reading {
		*l = make([]uint64, n)
	}
	for i := range *l {
		c.number(&(*l)[i])
	}
}

func (c *codec) strings(l *[]string) {
	n := c.length(len(*l))
	if c.reading {
		*l = make([]string, n)
	}
	for i := range *l {
		c.string(&(*l)[i])
	}
}

func (c *codec) mounts(l *[]Mount) {
	n := c.length(len(*l))
	if c.reading {
		*l = make([]Mount, n)
	}
	for i := range *l {
		c.string(&(*l)[i].Source)
		c.string(&(*l)[i].Target)
	}
}
