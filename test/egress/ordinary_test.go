package egress

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is an ordinary user.
const nobody = 65534

// TestAnOrdinaryUsersNode reaches and refuses the same, without root's rights, where
// it may open /dev/net/tun.
func TestAnOrdinaryUsersNode(t *testing.T) {
	dir, err := os.MkdirTemp("", "alcove-egress-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// A device that everybody may open, as distributions have it. This process has
	// a mount namespace of its own.
	devices := filepath.Join(dir, "dev")
	tun := filepath.Join(devices, "tun")
	for _, err := range []error{
		os.Chmod(dir, 0o755), os.Mkdir(devices, 0o755), unix.Mount("devices", devices, "tmpfs", 0, "mode=755"),
		unix.Mknod(tun, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))), os.Chmod(tun, 0o666), unix.Mount(tun, "/dev/net/tun", "", unix.MS_BIND, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		unix.Unmount("/dev/net/tun", 0)
		unix.Unmount(devices, 0)
	})
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	n := startAs(t, nobody, data, "namespace")
	n.function("explorer", explorer, true)
	var got map[string]any
	n.invoke("explorer", "ann", reach{TCP: at(80, "8.8.8.8", "2606:4700::1111", "10.1.2.3", "169.254.169.254", node4), UDP: at(7, "8.8.8.8")}, &got)
	for what, want := range map[string]any{
		"tcp 8.8.8.8 80": "at 8.8.8.8:80", "tcp 2606:4700::1111 80": "at [2606:4700::1111]:80", "udp 8.8.8.8 7": "echo hello",
		"tcp 10.1.2.3 80": "ECONNREFUSED", "tcp 169.254.169.254 80": "ECONNREFUSED", "tcp " + node4 + " 80": "ECONNREFUSED",
	} {
		if got[what] != want {
			t.Errorf("%s: %v, want %v", what, got[what], want)
		}
	}
}
