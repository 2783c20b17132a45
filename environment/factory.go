package environment

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// Factory knows what a version needs to run on this node.
type Factory struct {
	Driver    sandbox.Driver
	Roots     *rootfs.Store
	Artifacts *artifact.Store
	Runtimes  *runtimes.Set
	Images    Images
	Place     alcove.Place
	// Dir is where environments have their directories.
	Dir string
	// Network and Rules are those of every environment.
	Network Network
	Rules   func(v *alcove.Version, t alcove.Tenant) policy.Rules
	// Refusals remembers what they are refused.
	Refusals *Refusals
	// Linger is Config.Linger of every environment.
	Linger *Linger
	// Ends is Config.Ends of every environment.
	Ends Ends
	// Supervisor is what starts extensions.
	Supervisor Supervisor
	// Spare is Config.Spare of every environment.
	Spare *runtimeapi.Spare
	// Stream opens a log stream.
	Stream func(group, stream string) LogStream
	// FreezeAfter is Config.FreezeAfter of every environment.
	FreezeAfter time.Duration
	Log         *slog.Logger

	internals internals
}

// Images gives container images, which it pulls if they are not here.
type Images interface {
	// Image gives the image of a function's code.
	Image(ctx context.Context, code alcove.Code) (artifact.Image, error)
	// Runtime gives the image that stands for a runtime.
	Runtime(ctx context.Context, name string) (alcove.Code, artifact.Image, error)
}

// Prepare makes whatever v's environments share: the root tree of its runtime
// and the tree of its code, or its image. It is slow the first time and quick
// after that.
func (f *Factory) Prepare(ctx context.Context, v *alcove.Version) error {
	_, err := f.basis(ctx, v)
	return err
}

// basis is what environments of a version are made of.
type basis struct {
	runtime runtimes.Runtime
	spec    sandbox.Spec
	// image is the container image that is the root, or nil.
	image *artifact.Image
}

func (f *Factory) basis(ctx context.Context, v *alcove.Version) (basis, error) {
	if v.FromImage() {
		return f.imageBasis(ctx, v)
	}
	r, err := f.Runtimes.Resolve(v.Config.Runtime)
	if err != nil {
		return basis{}, err
	}
	if r.Image {
		return f.runtimeImageBasis(ctx, v, r)
	}
	r = r.For(v)
	root, err := f.Roots.Tree(ctx, r.Want)
	if err != nil {
		return basis{}, fmt.Errorf("root tree of %s: %w", r.Name, err)
	}
	mounts, err := f.mounts(ctx, v)
	if err != nil {
		return basis{}, err
	}
	return basis{runtime: r, spec: sandbox.Spec{
		Root:   root.Dir,
		Mounts: mounts,
		TCP:    r.TCP,
		Args:   r.Args,
		Dir:    runtimes.TaskDir,
		Limits: limits(v.Config),
	}}, nil
}

// mounts are the trees of v's code and of its layers.
func (f *Factory) mounts(ctx context.Context, v *alcove.Version) ([]sandbox.Mount, error) {
	code, err := f.Artifacts.Tree(ctx, v.Code)
	if err != nil {
		return nil, fmt.Errorf("code of %s: %w", v.QualifiedARN(), err)
	}
	mounts := []sandbox.Mount{{Source: code, Target: runtimes.TaskDir}}
	layers, err := f.Artifacts.Layers(ctx, v.Config.Layers)
	if err != nil {
		return nil, fmt.Errorf("layers of %s: %w", v.QualifiedARN(), err)
	}
	if layers != "" {
		mounts = append(mounts, sandbox.Mount{Source: layers, Target: runtimes.LayerDir})
	}
	return mounts, nil
}

// shmSize is /dev/shm's; AWS gives none, ordinary programs expect some.
const shmSize = 64 << 20

func limits(c alcove.Config) sandbox.Limits {
	return sandbox.Limits{
		Memory:    int64(c.MemorySize) << 20,
		Tmp:       int64(c.Ephemeral) << 20,
		Shm:       shmSize,
		CPU:       float64(c.MemorySize) / alcove.MemoryPerCPU,
		Processes: 1024,
		OpenFiles: 1024,
	}
}

// Config describes a new environment of v. If stream is empty the environment
// gets a log stream of its own.
func (f *Factory) Config(ctx context.Context, v *alcove.Version, stream string) (Config, error) {
	b, err := f.basis(ctx, v)
	if err != nil {
		return Config{}, err
	}
	cfg := f.config(v, b, newID(), stream)
	if err := f.extend(&cfg, b); err != nil {
		return Config{}, err
	}
	if !cfg.supervised() {
		f.fork(&cfg, v, b.runtime)
	}
	return cfg, nil
}

// fork has the sandbox of cfg forked from the template of blank ones, where the
// driver can do that at once. The process is then told its variables, as a blank
// one is; all else it has from its start.
func (f *Factory) fork(cfg *Config, v *alcove.Version, r runtimes.Runtime) {
	forker, ok := f.Driver.(sandbox.Forker)
	if !ok || r.Family != runtimes.Python || r.OwnStart(v) != "" {
		return
	}
	spec := cfg.Spec
	spec.Env, spec.Template = runtimes.BlankEnviron(r, f.Place), true
	if forker.Forks(spec) {
		cfg.Tell, cfg.Spec = cfg.Spec.Env, spec
	}
}

func (f *Factory) config(v *alcove.Version, b basis, id, stream string) Config {
	if stream == "" {
		stream = streamName(v, id, time.Now())
	}
	r := b.runtime
	cfg := Config{
		ID: id, Version: v, RuntimeVersion: r.Label(), RuntimeVersionARN: r.VersionARN(f.Place),
		Driver: f.Driver, Network: f.Network, Rules: f.Rules, Refusals: f.Refusals, Spare: f.Spare, Ends: f.Ends, Spec: b.spec, Dir: filepath.Join(f.Dir, id),
		Stream: f.Stream(v.Config.Logging.Group, stream), StreamName: stream,
		FreezeAfter: f.FreezeAfter, Log: f.Log,
	}
	if f.Supervisor != nil {
		cfg.OnInternal = f.internals.learn
	}
	if b.image != nil {
		cfg.Spec.Env = runtimes.ImageEnviron(v, r, b.image.Settings, f.Place, stream)
		if u := b.image.Settings.User; u != nil {
			cfg.Spec.User = &sandbox.User{UID: u.UID, GID: u.GID, Groups: u.Groups}
		}
	} else {
		cfg.Spec.Env = runtimes.Environ(v, r, f.Place, stream)
	}
	cfg.Spec.Env = append(cfg.Spec.Env, fmt.Sprintf("_LAMBDA_TELEMETRY_LOG_FD=%d", sandbox.LogFD))
	switch {
	case r.Family == runtimes.Provided:
		if cfg.Spec.Args = bootstrap(b.spec.Mounts); cfg.Spec.Args == nil {
			cfg.InvalidEntrypoint = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
		}
	case b.image != nil:
		cfg.command(b.image)
	}
	return cfg
}

// bootstrap is the command of a custom runtime: the first program of that name in
// the code and the layers, or nil if there is none (developer guide, "Building a
// custom runtime").
func bootstrap(mounts []sandbox.Mount) []string {
	for _, m := range mounts {
		st, err := os.Stat(filepath.Join(m.Source, "bootstrap"))
		if err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0 {
			return []string{m.Target + "/bootstrap"}
		}
	}
	return nil
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, crypto/rand
	return hex.EncodeToString(b[:])
}

// streamName is an environment's log stream as Lambda names it: in the
// function's own group by version, in a shared group by function and version
// (developer guide, "Configuring CloudWatch log groups").
func streamName(v *alcove.Version, id string, now time.Time) string {
	day := now.UTC().Format("2006/01/02/")
	if v.Config.Logging.Group == "/aws/lambda/"+v.Name {
		return day + "[" + v.Number + "]" + id
	}
	return day + v.Name + "[" + v.Number + "]" + id
}
