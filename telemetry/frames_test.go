package telemetry

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// frame builds a frame as the runtimes do.
func frame(kind uint32, level Level, at time.Time, claim int, message string) []byte {
	b := binary.BigEndian.AppendUint32(nil, frameMagic|uint32(level)<<2|kind)
	b = binary.BigEndian.AppendUint32(b, uint32(claim))
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMicro()))
	return append(b, message...)
}

// oldFrame builds a frame as the first clients did.
func oldFrame(message string) []byte {
	b := binary.BigEndian.AppendUint32(nil, oldType)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	return append(b, message...)
}

type decoded struct {
	Level   Level
	JSON    bool
	Message string
}

func decode(writes ...[]byte) ([]decoded, *Frames) {
	var got []decoded
	f := NewFrames(func(fr Frame) { got = append(got, decoded{fr.Level, fr.JSON, string(fr.Message)}) })
	for _, w := range writes {
		f.Write(w)
	}
	return got, f
}

func TestFrames(t *testing.T) {
	when := time.UnixMicro(1764000000123456)
	text := frame(kindText, LevelInfo, when, 5, "he\nlo")
	object := frame(kindJSON, LevelError, when, 7, `{"a":1}`)
	long := strings.Repeat("x", MaxRecord)
	tests := []struct {
		name    string
		writes  [][]byte
		want    []decoded
		dropped Dropped
	}{
		{"text and JSON", [][]byte{text, object}, []decoded{{LevelInfo, false, "he\nlo"}, {LevelError, true, `{"a":1}`}}, Dropped{}},
		{"one write", [][]byte{slices.Concat(text, object)}, []decoded{{LevelInfo, false, "he\nlo"}, {LevelError, true, `{"a":1}`}}, Dropped{}},
		{"byte by byte", slices.Collect(slices.Chunk(slices.Concat(text, object), 1)), []decoded{{LevelInfo, false, "he\nlo"}, {LevelError, true, `{"a":1}`}}, Dropped{}},
		{"older", [][]byte{oldFrame("he\nlo"), oldFrame("a"), text, oldFrame("")}, []decoded{{LevelNone, false, "he\nlo"}, {LevelNone, false, "a"}, {LevelInfo, false, "he\nlo"}}, Dropped{}},
		{"older, byte by byte", slices.Collect(slices.Chunk(slices.Concat(oldFrame("a"), text, oldFrame("bc"), oldFrame("d")), 1)),
			[]decoded{{LevelNone, false, "a"}, {LevelInfo, false, "he\nlo"}, {LevelNone, false, "bc"}, {LevelNone, false, "d"}}, Dropped{}},
		{"older, after garbage", [][]byte{[]byte("garbage"), slices.Concat(oldFrame("a"), oldFrame("b"), text)},
			[]decoded{{LevelNone, false, "a"}, {LevelNone, false, "b"}, {LevelInfo, false, "he\nlo"}}, Dropped{1, 7}},
		{"older, a claim of 4 GB", [][]byte{append(binary.BigEndian.AppendUint32(nil, oldType), 0xff, 0xff, 0xff, 0xff), text}, []decoded{{LevelInfo, false, "he\nlo"}}, Dropped{1, 8}},
		{"no level", [][]byte{frame(kindText, LevelNone, when, 1, "a")}, []decoded{{LevelNone, false, "a"}}, Dropped{}},
		{"empty message", [][]byte{frame(kindText, LevelInfo, when, 0, ""), text}, []decoded{{LevelInfo, false, "he\nlo"}}, Dropped{}},
		{"garbage before", [][]byte{[]byte("print\n\xa5\xa5\x5a"), text}, []decoded{{LevelInfo, false, "he\nlo"}}, Dropped{1, 9}},
		{"garbage between", [][]byte{text, bytes.Repeat([]byte("g"), 100), object}, []decoded{{LevelInfo, false, "he\nlo"}, {LevelError, true, `{"a":1}`}}, Dropped{1, 100}},
		{"claim of 4 GB", [][]byte{frame(kindText, LevelInfo, when, 1<<32-1, ""), text}, []decoded{{LevelInfo, false, "he\nlo"}}, Dropped{1, 16}},
		{"unknown level", [][]byte{frame(kindText, 7, when, 1, "a"), text}, []decoded{{LevelInfo, false, "he\nlo"}}, Dropped{1, 17}},
		{"unknown kind", [][]byte{frame(1, LevelInfo, when, 1, "a"), text}, []decoded{{LevelInfo, false, "he\nlo"}}, Dropped{1, 17}},
		{"longer than a record", [][]byte{frame(kindJSON, LevelInfo, when, MaxRecord+3, long+"abc")}, []decoded{{LevelInfo, false, long}, {LevelInfo, false, "abc"}}, Dropped{}},
		{"exactly a record", [][]byte{frame(kindJSON, LevelInfo, when, MaxRecord, long)}, []decoded{{LevelInfo, true, long}}, Dropped{}},
		{"exactly a record, in parts", [][]byte{frame(kindJSON, LevelInfo, when, MaxRecord, ""), []byte(long[1:]), []byte("x")}, []decoded{{LevelInfo, true, long}}, Dropped{}},
		{"invalid bytes", [][]byte{frame(kindText, LevelInfo, when, 3, "a\xffb")}, []decoded{{LevelInfo, false, "a\uFFFDb"}}, Dropped{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, f := decode(tt.writes...)
			f.Flush()
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %.80v, want %.80v", got, tt.want)
			}
			if f.Dropped() != tt.dropped {
				t.Errorf("dropped %+v, want %+v", f.Dropped(), tt.dropped)
			}
		})
	}
}

func TestFrameTime(t *testing.T) {
	when := time.UnixMicro(1764000000123456)
	var got time.Time
	NewFrames(func(f Frame) { got = f.Time }).Write(frame(kindText, LevelInfo, when, 1, "a"))
	if !got.Equal(when) {
		t.Errorf("time %v, want %v", got, when)
	}
}

// A function that ends in the middle of a frame loses nothing that it wrote,
// and the next process starts afresh.
func TestFramesUnfinished(t *testing.T) {
	var got []string
	f := NewFrames(func(fr Frame) { got = append(got, string(fr.Message)) })
	f.Write(frame(kindJSON, LevelInfo, at, 10, "hel"))
	f.Flush()
	f.Write([]byte("lo world"[:5]))
	f.Reset()
	f.Write(frame(kindText, LevelInfo, at, 5, "fresh"))
	f.Write([]byte{0xa5, 0x5a})
	f.Reset()
	if want := []string{"hel", "lo wo", "fresh"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f.Dropped().Bytes != 2 {
		t.Errorf("dropped %+v", f.Dropped())
	}
}

// Whatever a function writes: bounded memory, valid bounded messages, and a
// good frame after a reset is decoded.
func FuzzFrames(f *testing.F) {
	f.Add(frame(kindText, LevelInfo, at, 5, "hello"), uint16(3), uint16(2))
	f.Add(frame(kindJSON, LevelFatal, at, 1<<24, strings.Repeat("\xff", 300)), uint16(99), uint16(9000))
	f.Add([]byte("\xa5\x5a\x00\x0f\xff\xff\xff\xff"), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, p []byte, chunk, times uint16) {
		p = bytes.Repeat(p, 1+int(times)%10000)
		if len(p) > 3*MaxRecord {
			p = p[:3*MaxRecord]
		}
		var last string
		var bytesOut int
		fr := NewFrames(func(fr Frame) {
			if len(fr.Message) == 0 || len(fr.Message) > MaxRecord || !utf8.Valid(fr.Message) || fr.Level > LevelFatal {
				t.Fatalf("frame of %d bytes, level %d", len(fr.Message), fr.Level)
			}
			last = string(fr.Message)
			bytesOut += len(fr.Message)
		})
		for rest := p; len(rest) > 0; {
			n := min(len(rest), 1+int(chunk))
			fr.Write(rest[:n])
			rest = rest[n:]
			if len(fr.held) > MaxRecord || cap(fr.held) > 3*MaxRecord {
				t.Fatalf("holds %d of %d bytes", len(fr.held), cap(fr.held))
			}
		}
		if int(fr.Dropped().Bytes) > len(p) || bytesOut > 3*len(p) {
			t.Fatalf("%d bytes in, %d out, %d dropped", len(p), bytesOut, fr.Dropped().Bytes)
		}
		fr.Reset()
		fr.Write(frame(kindText, LevelInfo, at, 4, "good"))
		if last != "good" {
			t.Fatalf("after a reset: %.40q", last)
		}
	})
}
