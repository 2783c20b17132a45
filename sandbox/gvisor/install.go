package gvisor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/gvisor/embedded"
)

// installApart has another process do what install does, so that the node does
// not hold the pages of a program that it never runs. A node that starts again with
// the same program needs no such process.
func installApart(ctx context.Context, dir string) (programs, error) {
	now, err := thisExecutable()
	if err != nil {
		return programs{}, fmt.Errorf("install the embedded programs: %w", err)
	}
	if p, ok := installedBy(now, dir); ok {
		return p, nil
	}
	cmd := exec.CommandContext(ctx, argSelf)
	cmd.Args = []string{argInstaller, dir}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return programs{}, fmt.Errorf("install the embedded programs: %w", err)
	}
	parts, door, _ := strings.Cut(string(out), "\x00")
	p := programs{parts, door}
	return p, now.note(dir, p)
}

// installerMain is the process that installApart starts. It prints the paths.
func installerMain() int {
	parts, err := installFrom(embedded.Program, os.Args[1], programPrefix)
	if err == nil {
		var door string
		if door, err = installFrom(embedded.Door, os.Args[1], doorPrefix); err == nil {
			fmt.Print(parts, "\x00", door)
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func installFrom(open func() (io.ReadSeekCloser, error), dir, prefix string) (string, error) {
	f, err := open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	return install(dir, prefix, f)
}

// install puts a program into dir, unless it is there, and removes others with
// that prefix.
func install(dir, prefix string, program io.ReadSeeker) (string, error) {
	sum, err := digest(program)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, prefix+hex.EncodeToString(sum[:8]))
	old, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, p := range old {
		if p != path {
			if err := os.Remove(p); err != nil {
				return "", err
			}
		}
	}
	if same(path, sum) {
		return path, nil
	}
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o700)
	if err != nil {
		return "", err
	}
	_, err = program.Seek(0, io.SeekStart)
	if err == nil {
		_, err = copyAll(f, program)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return path, os.Rename(tmp, path)
}

// copyAll is io.Copy in pieces of which a program has few.
func copyAll(to io.Writer, from io.Reader) (int64, error) {
	// Neither may copy in a way of its own, which would be in small pieces.
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 256<<10))
}

func digest(r io.Reader) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if _, err := copyAll(h, r); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// same tells whether the file at path has this digest. One that a power loss
// has cut short has not.
func same(path string, sum [sha256.Size]byte) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	is, err := digest(f)
	return err == nil && is == sum
}

// executable tells the node's program from any other, and from itself before the
// machine last started: until then what was written is there as it was written.
type executable struct {
	Boot                    string
	Device, Inode           uint64
	Size, Modified, Changed int64
}

// installation is what a file beside the installed programs says.
type installation struct {
	By          executable
	Parts, Door string // their names
	// Sizes are theirs, in bytes.
	Sizes [2]int64
}

// thisExecutable describes the running program. Where the kernel does not tell one
// start of the machine from another, it is like none that was described before.
func thisExecutable() (executable, error) {
	var st unix.Stat_t
	if err := unix.Stat(argSelf, &st); err != nil {
		return executable{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil
	}
	return executable{strings.TrimSpace(string(boot)), st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, nil
}

// installedBy answers with the programs in dir if this executable has put them there
// since the machine was started.
func installedBy(e executable, dir string) (programs, bool) {
	text, err := os.ReadFile(filepath.Join(dir, installedName))
	var is installation
	if err != nil || json.Unmarshal(text, &is) != nil || is.By != e || e.Boot == "" {
		return programs{}, false
	}
	p := programs{filepath.Join(dir, is.Parts), filepath.Join(dir, is.Door)}
	sizes, err := p.sizes()
	return p, err == nil && sizes == is.Sizes
}

// note says in dir that this executable has put the programs there.
func (e executable) note(dir string, p programs) error {
	sizes, err := p.sizes()
	if err != nil {
		return fmt.Errorf("install the embedded programs: %w", err)
	}
	text, err := json.Marshal(installation{e, filepath.Base(p.parts), filepath.Base(p.door), sizes})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, installedName)
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		return fmt.Errorf("install the embedded programs: %w", err)
	}
	return nil
}

func (p programs) sizes() (s [2]int64, err error) {
	for i, path := range []string{p.parts, p.door} {
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i] = info.Size()
	}
	return s, nil
}
