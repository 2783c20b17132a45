package egress

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// nobody is an ordinary user.
const nobody = 65534

// TestAnOrdinaryUsersNode reaches and refuses the same, without root's rights, on
// both drivers, and where it may not open /dev/net/tun.
func TestAnOrdinaryUsersNode(t *testing.T) {
	dir, err := os.MkdirTemp("", "alcove-egress-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	devices := filepath.Join(dir, "dev")
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(devices, 0o755), unix.Mount("devices", devices, "tmpfs", 0, "mode=755")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Unmount(devices, 0) })
	earth.name("good.example", "8.8.8.8")
	for name, c := range map[string]struct {
		driver string
		mode   uint32 // of /dev/net/tun
	}{"gvisor": {"gvisor", 0o600}, "namespace": {"namespace", 0o666}, "namespace without tun": {"namespace", 0o600}} {
		t.Run(name, func(t *testing.T) {
			d := c.driver
			// As distributions have it. This process has a mount namespace of its own.
			tun := filepath.Join(devices, "tun")
			_ = os.Remove(tun)
			for _, err := range []error{
				unix.Mknod(tun, unix.S_IFCHR|c.mode, int(unix.Mkdev(10, 200))), os.Chmod(tun, fs.FileMode(c.mode)), unix.Mount(tun, "/dev/net/tun", "", unix.MS_BIND, ""),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { unix.Unmount("/dev/net/tun", 0) })
			data := filepath.Join(dir, name)
			if err := errors.Join(os.Mkdir(data, 0o700), os.Chown(data, nobody, nobody)); err != nil {
				t.Fatal(err)
			}
			n := startAs(t, nobody, data, d)
			n.function("explorer", explorer, true)
			look := func(n *node) {
				t.Helper()
				var got map[string]any
				n.invoke("explorer", "ann", reach{TCP: at(80, "8.8.8.8", "2606:4700::1111", "10.1.2.3", "169.254.169.254", node4), UDP: at(7, "8.8.8.8"), Names: []string{"good.example"}}, &got)
				for what, want := range map[string]string{
					"tcp 8.8.8.8 80": "at 8.8.8.8:80", "tcp 2606:4700::1111 80": "at [2606:4700::1111]:80", "udp 8.8.8.8 7": "echo hello", "name good.example": "[8.8.8.8]",
					"tcp 10.1.2.3 80": "ECONNREFUSED", "tcp 169.254.169.254 80": "ECONNREFUSED", "tcp " + node4 + " 80": "ECONNREFUSED",
				} {
					if fmt.Sprint(got[what]) != want {
						t.Errorf("%s: %v, want %v", what, got[what], want)
					}
				}
			}
			look(n)
			// Killed, it leaves nothing that the next one does not find.
			left, _ := descent(t, n.cmd.Process.Pid)
			if err := n.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-n.ended
			again := startAs(t, nobody, data, d)
			look(again)
			eventually(t, "nothing to be left of the killed node", func() bool { return len(left()) == 0 })
		})
	}
}
