package gvisor

import (
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/pkg/control/client"
	"gvisor.dev/gvisor/pkg/urpc"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"

	"github.com/alcove-run/alcove/sandbox"
)

// The link of a sandbox to the outside is a pair of sockets: the sentry's network
// stack has one end for its device, and whoever made the sandbox the other. No
// device of the host's is behind it, and the sentry, whose system call filter
// knows of no new socket, can send packets there and nowhere else.

// linkBuffer is how much each end may have on its way to the other, in bytes, as
// the kernel counts it. Without CAP_NET_ADMIN it is as much as the host allows.
const linkBuffer = 1 << 20

// linkPair makes the two ends.
func linkPair() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("link: %w", err)
	}
	for _, fd := range pair {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, linkBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, linkBuffer) // or what it is without
		}
	}
	return os.NewFile(uintptr(pair[0]), "link"), os.NewFile(uintptr(pair[1]), "link"), nil
}

// Link implements sandbox.Linked.
func (b *box) Link() *os.File {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link == nil {
		return nil
	}
	raw, err := b.link.SyscallConn()
	if err != nil {
		return nil
	}
	fd := -1
	_ = raw.Control(func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil || fd < 0 {
		return nil // there is no descriptor left
	}
	return os.NewFile(uintptr(fd), "link")
}

// startLinked starts a container that has been created without a network, and
// gives it the link. gVisor's own configuration knows networks of the host's that
// it copies, or none: it is told that there is nothing for it to set up, after its
// sentry has been told what there is.
func startLinked(c *container.Container, conf *config.Config, link *os.File) error {
	if err := setNetwork(c, link); err != nil {
		return err
	}
	own := *conf
	own.Network = config.NetworkHost
	return c.Start(&own)
}

func setNetwork(c *container.Container, link *os.File) error {
	path := c.Sandbox.GetControlSocketPath()
	if path == "" {
		return fmt.Errorf("link: the sentry has no control socket")
	}
	// A socket's address has room for 107 bytes.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	defer dir.Close()
	conn, err := client.ConnectTo(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	defer conn.Close()
	args := boot.CreateLinksAndRoutesArgs{
		FilePayload:   urpc.FilePayload{Files: []*os.File{link}},
		LoopbackLinks: []boot.LoopbackLink{boot.DefaultLoopbackLink},
		FDBasedLinks: []boot.FDBasedLink{{
			Name: sandbox.LinkName, MTU: sandbox.LinkMTU, NumChannels: 1, ProcessorsPerChannel: 1,
			Addresses: []boot.IPWithPrefix{
				{Address: net.ParseIP(sandbox.LinkAddr4), PrefixLen: 32},
				{Address: net.ParseIP(sandbox.LinkAddr6), PrefixLen: 128},
			},
			// What is at the other end is another process, not a wire.
			TXChecksumOffload: true, RXChecksumOffload: true,
		}},
		Defaultv4Gateway: boot.DefaultRoute{Name: sandbox.LinkName, Route: boot.Route{Destination: net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}}},
		Defaultv6Gateway: boot.DefaultRoute{Name: sandbox.LinkName, Route: boot.Route{Destination: net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}}},
	}
	if err := conn.Call(boot.ContMgrSetNetworkArgs, &args, nil); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	return nil
}
