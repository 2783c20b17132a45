package console

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// What of a deployment package is shown: files of text, each and together, in
// bytes; and how many names.
const (
	maxShown  = 256 << 10
	maxListed = 500
)

// packed is a file of a deployment package.
type packed struct {
	name string
	body []byte
	mode fs.FileMode
}

// modeOf is the mode of a file that was typed.
func modeOf(name string) fs.FileMode {
	if name == "bootstrap" || strings.HasSuffix(name, ".sh") {
		return 0o755
	}
	return 0o644
}

// pack makes a zip file. Equal files make equal bytes.
func pack(files []packed) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.body); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

// replace makes of a zip file one in which a file is another, or is added; all
// others are copied as they are.
func replace(code []byte, name string, body []byte) ([]byte, error) {
	old, err := zip.NewReader(bytes.NewReader(code), int64(len(code)))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	mode, found := modeOf(name), false
	write := func() error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(mode)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write(body)
		}
		return err
	}
	for _, f := range old.File {
		if f.Name == name {
			mode, found = f.Mode(), true
			err = write()
		} else {
			err = z.Copy(f)
		}
		if err != nil {
			return nil, err
		}
	}
	if !found {
		if err := write(); err != nil {
			return nil, err
		}
	}
	err = z.Close()
	return b.Bytes(), err
}

// codeFile is a file of a package in a list.
type codeFile struct {
	Name     string
	Size     uint64
	Editable bool
}

// listFiles lists what is in a zip file.
func listFiles(code []byte) ([]codeFile, error) {
	z, err := zip.NewReader(bytes.NewReader(code), int64(len(code)))
	if err != nil {
		return nil, err
	}
	var out []codeFile
	for _, f := range z.File {
		if f.Mode().IsRegular() {
			out = append(out, codeFile{f.Name, f.UncompressedSize64, f.UncompressedSize64 <= maxShown})
		}
		if len(out) == maxListed {
			break
		}
	}
	slices.SortFunc(out, func(a, b codeFile) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// readText reads a file of a zip file that is text and short.
func readText(code []byte, name string) (string, error) {
	z, err := zip.NewReader(bytes.NewReader(code), int64(len(code)))
	if err != nil {
		return "", err
	}
	for _, f := range z.File {
		if f.Name != name {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(io.LimitReader(r, maxShown+1))
		if err != nil {
			return "", err
		}
		if len(b) > maxShown || !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
			return "", errNotText
		}
		return string(b), nil
	}
	return "", notFound("The package has no file of this name.")
}

var errNotText = errors.New("console: not a text that can be shown")

// upload is a file of a form.
func (q *request) upload(field string) ([]byte, error) {
	f, _, err := q.FormFile(field)
	if err != nil {
		return nil, badInput("No zip file was chosen.")
	}
	defer f.Close()
	b, err := io.ReadAll(f) // readForm bounds it
	if err == nil && len(b) == 0 {
		err = badInput("The zip file is empty.")
	}
	return b, err
}

// download gets a package by the URL that the API gave for it. Only the path and
// the query count: it is this node's.
func (q *request) download(location string) ([]byte, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	return q.api().send(q.Context(), call{method: http.MethodGet, path: u.Path, query: u.Query()})
}
