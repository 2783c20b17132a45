package environment

import (
	"context"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// PruneRoots removes the root trees that none of these versions, and nothing that
// was ever started here, runs on. If it cannot be told what a version runs on, nothing
// is removed.
func (f *Factory) PruneRoots(ctx context.Context, versions []*alcove.Version) error {
	wanted := map[string]rootfs.Want{}
	for _, v := range versions {
		if _, ok := wanted[v.Config.Runtime]; ok || v.Config.Runtime == "" {
			continue
		}
		r, err := f.Runtimes.Resolve(v.Config.Runtime)
		if err != nil {
			return err
		}
		if !r.Image { // an image is no tree of Roots
			wanted[v.Config.Runtime] = r.For(v).Want
		}
	}
	all := make([]rootfs.Want, 0, len(wanted))
	for _, w := range wanted {
		all = append(all, w)
	}
	return f.Roots.Prune(ctx, all...)
}
