package ext4

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestLayoutIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.Int64Range(1, 300<<20), rapid.Int64Range(1, MaxSize)).Draw(t, "size")
		g, err := Layout(size)
		if err != nil {
			t.Fatal(err)
		}
		usable := int64(g.Blocks-g.overhead) * blockSize
		// A last group that would be too small for itself is filled up: at most
		// that much more than was asked for.
		if usable < size || usable-size >= int64(3+g.tableBlocks)*blockSize {
			t.Errorf("%d bytes asked for, %d given by %+v", size, usable, g)
		}
		var free, used uint32
		for i := range g.groups {
			group := g.group(i)
			if group.used > group.blocks || group.inodes > 8*blockSize {
				t.Fatalf("group %d: %+v", i, group)
			}
			free += group.free
			used += group.used
		}
		if free+used != g.Blocks || used != g.overhead+1 {
			t.Errorf("%d free, %d used of %+v", free, used, g)
		}
	})
}

func TestLayoutRefuses(t *testing.T) {
	for _, size := range []int64{0, -1, MaxSize + 1} {
		if g, err := Layout(size); err == nil {
			t.Errorf("Layout(%d) = %+v", size, g)
		}
	}
}

func image(t testing.TB, size int64) (string, Geometry) {
	t.Helper()
	g, err := Layout(size)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(g.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := Format(f, g); err != nil {
		t.Fatal(err)
	}
	return path, g
}

var sizes = []int64{1, 1 << 20, 24 << 20, 127 << 20, 128 << 20, 129 << 20, 512 << 20, 1<<30 + 12345, 10240 << 20}

// The checker of e2fsprogs finds nothing but that there is no lost+found.
func TestChecker(t *testing.T) {
	fsck, err := exec.LookPath("e2fsck")
	if err != nil {
		if fsck = "/usr/sbin/e2fsck"; !isFile(fsck) {
			t.Skip("no e2fsck on this machine; TestKernelMounts checks the same with the kernel's eyes")
		}
	}
	harmless := regexp.MustCompile(`^(e2fsck .*|Pass \d.*|/lost\+found not found.*|\s*|.*: \*+ WARNING: Filesystem still has errors \*+|.*: \d+/\d+ files .*)$`)
	for _, size := range sizes {
		path, _ := image(t, size)
		out, _ := exec.Command(fsck, "-f", "-n", path).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !harmless.MatchString(strings.TrimSpace(line)) {
				t.Errorf("size %d: %s", size, line)
			}
		}
		if !strings.Contains(string(out), "Pass 5") {
			t.Errorf("size %d: not checked to the end:\n%s", size, out)
		}
	}
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// The kernel mounts it, tells the size that was asked for, and takes that many
// bytes.
func TestKernelMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount")
	}
	for _, size := range []int64{24 << 20, 129 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path, _ := image(t, size)
			dir := t.TempDir()
			if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop", path, dir).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			defer func() {
				if err := unix.Unmount(dir, 0); err != nil {
					t.Error(err)
				}
			}()
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				t.Fatal(err)
			}
			if got := int64(st.Blocks) * st.Bsize; got != size {
				t.Errorf("statfs tells %d bytes, want %d", got, size)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("in it: %v, %v", entries, err)
			}
			for i := range 2500 { // an indexed directory
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%d", i)), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func FuzzLayout(f *testing.F) {
	for _, s := range sizes {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, size int64) {
		g, err := Layout(size)
		if (err == nil) != (size > 0 && size <= MaxSize) {
			t.Errorf("Layout(%d): %v", size, err)
		}
		if err == nil && int64(g.Blocks-g.overhead)*blockSize < size {
			t.Errorf("Layout(%d) = %+v", size, g)
		}
	})
}
