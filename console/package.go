package console

import (
	"archive/zip"
	"bytes"
	"context"
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
	maxParts  = 100 // of a form
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

// readParts reads a form of parts, one of which may be a file. It stands in memory once:
// what parses forms for everybody has it three times meanwhile.
func (q *request) readParts() error {
	parts, err := q.MultipartReader()
	if err != nil {
		return err
	}
	q.PostForm = url.Values{}
	for range maxParts {
		part, err := parts.NextPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var b bytes.Buffer
		most := int64(maxForm)
		if part.FileName() != "" {
			most = maxUpload
			b.Grow(int(min(max(q.ContentLength, 0), maxUpload)) + bytes.MinRead)
		}
		if n, err := b.ReadFrom(io.LimitReader(part, most+1)); err != nil { // readForm bounds all of them
			return err
		} else if n > most {
			return &http.MaxBytesError{Limit: most}
		}
		switch {
		case part.FileName() == "":
			q.PostForm.Add(part.FormName(), b.String())
		case q.file == nil:
			q.file = b.Bytes()
		}
	}
	return errors.New("console: a form of too many parts")
}

// upload is the file of the form.
func (q *request) upload() ([]byte, error) {
	switch {
	case q.file == nil:
		return nil, badInput("No zip file was chosen.")
	case len(q.file) == 0:
		return nil, badInput("The zip file is empty.")
	}
	return q.file, nil
}

// download gets a package of so many bytes by the URL that the API gave for it. Only the
// path and the query count: it is this node's.
func (q *request) download(location string, size int64) ([]byte, error) {
	if size > maxUpload {
		return nil, &problem{Status: http.StatusRequestEntityTooLarge, Title: "The package is too large to show",
			Detail: "It has " + byteSize(size) + "; packages of up to 50 MB are shown here. GetFunction gives an address to download it from."}
	}
	u, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(q.Context(), apiTimeout)
	defer cancel()
	body, err := q.api().open(ctx, call{method: http.MethodGet, path: u.Path, query: u.Query()})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b := bytes.NewBuffer(make([]byte, 0, max(size, 0)+bytes.MinRead)) // all at once
	_, err = io.Copy(b, io.LimitReader(body, maxUpload))
	return b.Bytes(), err
}
