package queries

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alcove-run/alcove/logs/insights"
)

// pages are the rows of a result, compressed some at a time: they are read seldom,
// and wait for long.
type pages struct {
	list []page
	size int // of the list's bytes
	all  int // rows
}

// page is some rows, as JSON, one behind the other.
type page struct {
	rows  int
	ends  []uint32 // of each row
	bytes []byte   // compressed
}

// pageBytes is about how large a page is before it is compressed.
const pageBytes = 256 << 10

func (p *pages) add(one page) {
	p.list = append(p.list, one)
	p.size += len(one.bytes) + 4*len(one.ends)
	p.all += one.rows
}

// view is what there is at a moment: pages do not change.
func (p *pages) view() (pages, int) { return pages{list: slices.Clip(p.list)}, p.all }

// pack makes a page of rows; ok is false if there are none.
func pack(rows []byte, ends []int) (one page, ok bool) {
	if len(ends) == 0 {
		return page{}, false
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(rows)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil { // a level that there is, and a buffer
		panic(err)
	}
	one = page{rows: len(ends), bytes: bytes.Clone(b.Bytes())}
	for _, e := range ends {
		one.ends = append(one.ends, uint32(e))
	}
	return one, true
}

// rows gives some rows from one on: at most so many, in at most so many bytes, but one
// if there is one.
func (p pages) rows(from, most, size int) ([][]byte, error) {
	rows := [][]byte{}
	for _, one := range p.list {
		if from >= one.rows {
			from -= one.rows
			continue
		}
		if len(rows) >= most {
			break
		}
		all, err := io.ReadAll(flate.NewReader(bytes.NewReader(one.bytes)))
		if err != nil {
			return nil, fmt.Errorf("queries: read a page: %w", err)
		}
		for i := from; i < one.rows && len(rows) < most; i++ {
			start := 0
			if i > 0 {
				start = int(one.ends[i-1])
			}
			row := all[start:one.ends[i]]
			if size -= len(row); size < 0 && len(rows) > 0 {
				return rows, nil
			}
			rows = append(rows, row)
		}
		from = 0
	}
	return rows, nil
}

// appendRow adds a row as JSON.
func appendRow(b []byte, cells []insights.Cell) []byte {
	b = append(b, '[')
	for i, c := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"field":`...)
		b = appendString(b, c.Name)
		b = append(b, `,"value":`...)
		b = appendString(b, c.Value)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendString adds a string as JSON.
func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, '"')
	last := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[last:i]...)
		last = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	}
	return append(append(b, s[last:]...), '"')
}
