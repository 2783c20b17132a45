package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove/sandbox/supervise"
)

// memory is what a supervisor takes.
const memory = 8 << 20

// Install puts the supervisor into dir, which has nothing else.
func Install(dir string) (p supervise.Program, err error) {
	p = supervise.Program{Dir: dir, Memory: memory}
	from, err := files.Open("bin/" + Name)
	if err != nil {
		return p, errors.New("functions with extensions cannot run: this program was built without what starts them (build it with make, or run go generate ./sandbox/supervise/embedded before go build)")
	}
	defer from.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, fmt.Errorf("install the supervisor: %w", err)
	}
	path := filepath.Join(dir, supervise.Name)
	// Not below dir: what a sandbox sees there is whole.
	made, err := os.CreateTemp(filepath.Dir(dir), "supervisor-")
	if err != nil {
		return p, fmt.Errorf("install the supervisor: %w", err)
	}
	_, err = io.Copy(made, from)
	err = errors.Join(err, made.Chmod(0o555), made.Close())
	if err == nil {
		err = os.Rename(made.Name(), path)
	}
	if err != nil {
		_ = os.Remove(made.Name())
		return p, fmt.Errorf("install the supervisor: %w", err)
	}
	return p, nil
}
