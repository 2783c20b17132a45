package telemetry

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func collect(feed func(l *Lines)) []string {
	var got []string
	l := NewLines(func(b []byte) { got = append(got, string(b)) })
	feed(l)
	return got
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", MaxRecord)
	tests := []struct {
		name   string
		writes []string
		want   []string
	}{
		{"lines", []string{"a\nb\n"}, []string{"a\n", "b\n"}},
		{"cut anywhere", []string{"he", "llo\nwor", "ld", "\n"}, []string{"hello\n", "world\n"}},
		{"partial last line", []string{"a\nb"}, []string{"a\n", "b"}},
		{"carriage return kept", []string{"a\r\nb\r", "\n"}, []string{"a\r\n", "b\r\n"}},
		{"empty lines", []string{"\n\n"}, []string{"\n", "\n"}},
		{"invalid bytes", []string{"a\xff\xfeb\n"}, []string{"a\uFFFDb\n"}},
		{"rune across writes", []string{"\xe2\x82", "\xac\n"}, []string{"€\n"}},
		{"NUL stays", []string{"a\x00b\n"}, []string{"a\x00b\n"}},
		{"exactly the limit", []string{long + "\n"}, []string{long + "\n"}},
		{"exactly the limit, newline later", []string{long, "\n"}, []string{long + "\n"}},
		{"one over", []string{long + "y\n"}, []string{long, "y\n"}},
		{"twice the limit in one write", []string{long + long + "z"}, []string{long, long, "z"}},
		{"rune at the limit", []string{long[:MaxRecord-1] + "€\n"}, []string{long[:MaxRecord-1], "€\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := collect(func(l *Lines) {
				for _, w := range tt.writes {
					if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
						t.Fatalf("Write = %d, %v", n, err)
					}
				}
				l.Flush()
				l.Flush() // has nothing more to say
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %.80q, want %.80q", got, tt.want)
			}
		})
	}
}

func TestLinesReleasesWhatItHeld(t *testing.T) {
	l := NewLines(func([]byte) {})
	l.Write(bytes.Repeat([]byte("x"), 100<<10))
	l.Flush()
	if cap(l.held) > keepBuffer {
		t.Errorf("keeps %d bytes", cap(l.held))
	}
}

// Whatever is written, cut anywhere, comes out as valid bounded text, and what
// was valid comes out as it was.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\xff€"), uint16(3), uint16(1))
	f.Add([]byte("\n\n\n"), uint16(1), uint16(1))
	f.Add([]byte("\xe2\x82\xac\xff"), uint16(1), uint16(9000))
	f.Fuzz(func(t *testing.T, p []byte, chunk, times uint16) {
		p = bytes.Repeat(p, 1+int(times)%10000)
		if len(p) > 4*MaxRecord {
			p = p[:4*MaxRecord]
		}
		var all []byte
		l := NewLines(func(b []byte) {
			if len(b) == 0 || len(b) > MaxRecord+1 || !utf8.Valid(b) || bytes.IndexByte(b[:len(b)-1], '\n') >= 0 {
				t.Fatalf("record of %d bytes: %.60q", len(b), b)
			}
			all = append(all, b...)
		})
		for rest := p; len(rest) > 0; {
			n := min(len(rest), 1+int(chunk))
			l.Write(rest[:n])
			rest = rest[n:]
			if len(l.held) > MaxRecord {
				t.Fatalf("holds %d bytes", len(l.held))
			}
		}
		l.Flush()
		if utf8.Valid(p) && !bytes.Equal(all, p) {
			t.Fatalf("%.60q became %.60q", p, all)
		}
	})
}

func BenchmarkLines(b *testing.B) {
	p := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 40))
	l := NewLines(func([]byte) {})
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		l.Write(p)
	}
}
