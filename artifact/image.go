package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact/flatten"
	"github.com/alcove-run/alcove/sandbox"
)

// Image is a container image that is here.
type Image struct {
	// Dir is its root tree, which nobody may write to.
	Dir      string
	Settings alcove.ImageSettings
}

// Names within the directory of an image.
const (
	rootName     = "root"
	settingsName = "settings.json"
)

// imageForm is that of the trees and settings that are made now. Whatever changes
// what an image's layers become makes it another: images of other forms are as good
// as not there, and are flattened again when they are wanted.
//
// 1: settings have the user, the tree is for that user, with a place for extensions.
const imageForm = 1

// keptImage is what the file of an image's settings holds.
type keptImage struct {
	Form int `json:"form"`
	alcove.ImageSettings
}

// imagePullers is how many images are taken in at a time.
const imagePullers = 2

// imageTree is what the root tree of every image has: the places of a sandbox's
// mounts, and what container engines and AWS bring along.
var imageTree = flatten.Fixed{
	Empty: []string{"/proc", "/sys", "/dev", "/tmp", sandbox.SocketDir, sandbox.ExtensionsDir},
	Dirs:  []string{"/var/task", "/opt"},
	Files: map[string][]byte{"/etc/hosts": []byte(sandbox.Hosts), "/etc/resolv.conf": []byte("nameserver " + sandbox.GatewayAddr4 + "\n")},
}

// Image gives an image that is here, in the form of today; else the error is fs.ErrNotExist.
func (s *Store) Image(sha string) (Image, error) {
	if !validDigest(sha) {
		return Image{}, fmt.Errorf("artifact: %q is no digest: %w", sha, fs.ErrNotExist)
	}
	raw, err := os.ReadFile(s.path("image", sha, settingsName))
	if err != nil {
		return Image{}, fmt.Errorf("artifact: %w", err)
	}
	var kept keptImage
	if err := json.Unmarshal(raw, &kept); err != nil {
		return Image{}, fmt.Errorf("artifact: image %s: %w", sha, err)
	}
	if kept.Form != imageForm {
		return Image{}, fmt.Errorf("artifact: image %s is of another version of alcove: %w", sha, fs.ErrNotExist)
	}
	return Image{Dir: s.path("image", sha, rootName), Settings: kept.ImageSettings}, nil
}

// ErrUnwanted is the cause with which the context of a call ends whose image is not
// wanted any more. Any other end only says that nobody waits for it now.
var ErrUnwanted = errors.New("artifact: the image is not wanted any more")

// Fill brings in an image: it lays the layers into the builder and tells the settings.
// Its context ends when nobody wants the image any more.
type Fill func(ctx context.Context, b *flatten.Builder) (alcove.ImageSettings, error)

// PutImage gives an image, which fill brings in unless it is here. Calls for one image
// share one fill, which goes on when ctx ends, unless it ends with ErrUnwanted for all
// of them. The image is whole and on the disk when PutImage answers; a fill that
// failed, or was cut off by a power failure, leaves nothing.
func (s *Store) PutImage(ctx context.Context, sha string, limit int64, fill Fill) (Image, error) {
	if !validDigest(sha) {
		return Image{}, fmt.Errorf("artifact: %q is no digest", sha)
	}
	for {
		if i, err := s.Image(sha); err == nil {
			return i, nil
		}
		f, given := s.fills.want(sha, func(ctx context.Context) error {
			// Not among the unpackers: it takes as long as a registry does.
			select {
			case s.pullers <- struct{}{}:
			case <-ctx.Done():
				return fmt.Errorf("artifact: %w", context.Cause(ctx))
			}
			defer func() { <-s.pullers }()
			return s.putImage(ctx, sha, limit, fill)
		})
		select {
		case <-f.done:
		case <-ctx.Done():
			err := context.Cause(ctx)
			if given && errors.Is(err, ErrUnwanted) {
				s.fills.leave(f)
			}
			return Image{}, fmt.Errorf("artifact: %w", err)
		}
		if !given {
			continue // it was given up before this call, which begins another
		}
		if f.err != nil {
			return Image{}, f.err
		}
		return s.Image(sha)
	}
}

// fills are the images that are being brought in.
type fills struct {
	mu sync.Mutex
	of map[string]*filling // guarded by mu
}

// filling is one that is being brought in.
type filling struct {
	wanted int // guarded by mu of fills; calls that have not said otherwise
	end    context.CancelCauseFunc
	done   chan struct{}
	err    error // once done is closed
}

// want gives the filling of an image, which do does if there is none, and whether it
// is for this call as well: not if it has been given up, and has yet to end.
func (f *fills) want(sha string, do func(ctx context.Context) error) (one *filling, given bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one = f.of[sha]; one != nil {
		if one.wanted == 0 {
			return one, false
		}
		one.wanted++
		return one, true
	}
	ctx, end := context.WithCancelCause(context.Background())
	one = &filling{wanted: 1, end: end, done: make(chan struct{})}
	if f.of == nil {
		f.of = map[string]*filling{}
	}
	f.of[sha] = one
	go func() {
		err := do(ctx)
		end(nil)
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.of, sha)
		one.err = err
		close(one.done)
	}()
	return one, true
}

// leave takes back what a call wanted, and gives the filling up if it was the last.
func (f *fills) leave(one *filling) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one.wanted--; one.wanted == 0 {
		one.end(ErrUnwanted)
	}
}

func (s *Store) putImage(ctx context.Context, sha string, limit int64, fill Fill) error {
	if _, err := s.Image(sha); err == nil {
		return nil
	}
	work, err := os.MkdirTemp(s.path("tmp"), "image-")
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer s.discard(work)
	files, made := filepath.Join(work, "files"), filepath.Join(work, "image")
	for _, dir := range []string{files, made} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
	}
	b := flatten.New(files, flatten.Limits{Bytes: limit}, s.room)
	settings, err := fill(ctx, b)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("artifact: %w", context.Cause(ctx))
	}
	if err := b.Finish(filepath.Join(made, rootName), imageTree); err != nil {
		return err
	}
	raw, err := json.Marshal(keptImage{imageForm, settings})
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	if err := os.WriteFile(filepath.Join(made, settingsName), raw, 0o600); err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	if err := os.Chmod(made, 0o755); err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	if err := syncFS(made); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// One of another form makes room. No sandbox is on it: none outlives its node.
	if err := os.Rename(s.path("image", sha), filepath.Join(work, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("artifact: %w", err)
	}
	if err := os.Rename(made, s.path("image", sha)); err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	return syncDir(s.path("image"))
}

// syncFS writes out the file system of a directory: one sync, instead of one for
// each of the thousands of files of an image.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	err = unix.Syncfs(int(f.Fd()))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	return nil
}
