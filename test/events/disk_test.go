package events

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/test/testnode"
)

// TestTheDiskIsFull has a node on a file system of its own run out of room, first to what
// is kept free and then to the last block, with events under way: new ones are refused,
// and say why; none that was accepted is lost, though the node is killed on the full
// disk; and with room again it all goes on.
func TestTheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	image, data := filepath.Join(dir, "image"), filepath.Join(dir, "data")
	run := func(command string, args ...string) {
		t.Helper()
		if out, err := exec.Command(command, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", command, args, err, out)
		}
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	run("truncate", "-s", "3G", image)
	run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", image)
	run("mount", "-o", "loop", image, data)
	t.Cleanup(func() {
		if err := unix.Unmount(data, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	to := startServices(t)
	n := startIn(t, filepath.Join(data, "node"), "--isolation", "namespace", "--destinations", to.flag(), "--concurrency", "8", "--tenant-idle-min", "0s")
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": telling}, testnode.Isolated)
	n.config(t, f, "", 0, fmt.Sprintf(arns, "sqs", "results"), "")
	accepted := map[string]string{}
	send := func() error {
		tenant := fmt.Sprint("t", len(accepted)%3)
		id, err := n.TryEvent(t, f, tenant, `{"n": 1, "sleep": 0.2}`)
		if err == nil {
			accepted[id] = tenant
		}
		return err
	}
	for range 60 {
		if err := send(); err != nil {
			t.Fatal(err)
		}
	}
	filler, err := os.Create(filepath.Join(data, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	size := int64(0)
	// leave fills the disk but for so many bytes.
	leave := func(bytes int64) {
		t.Helper()
		var st unix.Statfs_t
		if err := unix.Statfs(data, &st); err != nil {
			t.Fatal(err)
		}
		more := int64(st.Bavail)*st.Bsize - bytes
		for more > 4096 {
			if err := unix.Fallocate(int(filler.Fd()), 0, size, more); err == nil {
				size += more
				return
			}
			more /= 2 // others write, too
		}
	}
	refused := func(when string) {
		t.Helper()
		testnode.Eventually(t, "events are refused "+when, func() bool { return send() != nil })
		err := send()
		api, ok := errors.AsType[smithy.APIError](err)
		if !ok || api.ErrorCode() != "ServiceException" || !strings.Contains(api.ErrorMessage(), "The event was not accepted: the node cannot keep it now. Try again later.") {
			t.Errorf("%s: %v", when, err)
		}
	}
	leave(200 << 20)
	refused("below what is kept free")
	if log := n.Log.String(); !strings.Contains(log, "make room, or give the data directory a larger disk") {
		t.Errorf("the operator is not told: %s", testnode.Tail(log, 2000))
	}
	for range 3 {
		leave(0)
	}
	refused("on a full disk")
	n.Kill(t)
	for range 3 {
		leave(0)
	}
	n = n.again(t) // it starts on a full disk, too
	refused("after a kill")
	if err := filler.Truncate(0); err != nil {
		t.Fatal(err)
	}
	size = 0
	testnode.Eventually(t, "events are accepted again", func() bool { return send() == nil })
	testnode.Eventually(t, "everything has run", func() bool { return n.queue(t, f).Events == 0 })
	for _, m := range to.messages() {
		if tenant, ok := accepted[m.record.RequestContext.RequestID]; ok && strings.Contains(string(m.record.ResponsePayload), fmt.Sprintf("%q", tenant)) {
			delete(accepted, m.record.RequestContext.RequestID)
		}
	}
	// What is left was delivered twice, or never.
	for _, m := range to.messages() {
		delete(accepted, m.record.RequestContext.RequestID)
	}
	if len(accepted) > 0 {
		t.Errorf("%d events were accepted and are lost: %v", len(accepted), accepted)
	}
}
