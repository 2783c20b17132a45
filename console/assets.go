package console

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// assets are the files that pages load, below an address that changes with what is
// in any of them: browsers keep them for good, and what one names beside itself
// is of the same build.
type assets struct {
	version string
	files   map[string]asset
}

type asset struct {
	body []byte
	kind string // its media type
}

func loadAssets(files fs.FS) (assets, error) {
	names, err := fs.Glob(files, "static/*")
	if err != nil {
		return assets{}, err
	}
	a := assets{files: map[string]asset{}}
	all := sha256.New()
	for _, name := range names {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return assets{}, err
		}
		fmt.Fprintf(all, "%s %d\n", name, len(b))
		all.Write(b)
		kind := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".js" {
			kind = "text/javascript; charset=utf-8" // whatever the machine's table says
		}
		a.files[strings.TrimPrefix(name, "static/")] = asset{b, kind}
	}
	a.version = hex.EncodeToString(all.Sum(nil)[:8])
	return a, nil
}

// path is the address of a file, for templates.
func (a assets) path(name string) (string, error) {
	if _, ok := a.files[name]; !ok {
		return "", fmt.Errorf("console: no file %s", name)
	}
	return Prefix + "static/" + a.version + "/" + name, nil
}

func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // of a page of another build
	if r.PathValue("version") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(f.body)
}
