package namespace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	if Main() {
		return
	}
	playRole()
	sandboxtest.Main(m, open)
}

// open makes a driver with cgroups that are told by its directory.
func open(dir string) (sandbox.Driver, error) {
	sum := sha256.Sum256([]byte(dir))
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	groups, err := cgroup.Open("nstest-"+hex.EncodeToString(sum[:6]), log)
	if err != nil {
		return nil, err
	}
	d, err := New(context.Background(), Config{Dir: dir, Cgroups: groups, Log: log})
	if err != nil {
		return nil, errors.Join(err, groups.Close())
	}
	return d, nil
}

func TestSuite(t *testing.T) {
	sandboxtest.Run(t, sandboxtest.Options{
		New: func(t *testing.T, dir string) sandbox.Driver {
			d, err := open(dir)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		SharesKernel: true,
		Forks:        true,
		Allowed: map[string]string{
			"posture/host_paths":                  bound,
			"late/posture/blank/host_paths":       bound,
			"late/posture/specialised/host_paths": bound,

			"forked/posture/host_paths":                  bound,
			"forked/late/posture/blank/host_paths":       bound,
			"forked/late/posture/specialised/host_paths": bound,
		},
	})
}

const bound = "the socket's directory is a bind mount, as a socket cannot be reached through an overlay: mountinfo tells its path"
