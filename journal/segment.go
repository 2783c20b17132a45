package journal

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment is a file of a header and frames. The header is eight bytes that
// name the format. A frame is the length of its payload and the CRC-32C of
// length and payload, little-endian uint32 each, then the payload: one report
// as JSON. A payload that begins with a zero byte was erased.
const (
	segmentMagic = "alcvjr1\n"
	headerSize   = int64(len(segmentMagic))
	frameHeader  = 8
	// maxPayload bounds a report; a longer one is refused, a longer claim is
	// damage.
	maxPayload    = 1 << 20
	segmentSuffix = ".journal"
	// unfinishedSuffix is of a file that is about to replace another.
	unfinishedSuffix = ".erasing"
)

var errTorn = errors.New("torn or damaged frame")

// castagnoli gives the table of CRC-32C, which processors compute.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// appendFrame appends payload as a frame.
func appendFrame(dst, payload []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, frameHeader+len(payload))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum(dst[start:], castagnoli()), castagnoli(), payload)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, payload...)
}

// readFrame reads one frame and gives its payload, in buf if that is large
// enough. io.EOF means a clean end, errTorn anything that is no whole frame.
func readFrame(r *bufio.Reader, buf []byte) ([]byte, error) {
	var head [frameHeader]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		return nil, frameError(n, err)
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size == 0 || size > maxPayload {
		return nil, errTorn
	}
	payload := slices.Grow(buf[:0], int(size))[:size]
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, frameError(1, err)
	}
	sum := crc32.Update(crc32.Checksum(head[:4], castagnoli()), castagnoli(), payload)
	if sum != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errTorn
	}
	return payload, nil
}

func frameError(read int, err error) error {
	switch {
	case err == io.EOF && read == 0:
		return io.EOF
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return errTorn
	}
	return err
}

// createSegment makes an empty segment: its header, and nothing else.
func createSegment(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: create segment: %w", err)
	}
	if _, err := f.WriteString(segmentMagic); err != nil {
		return nil, errors.Join(fmt.Errorf("journal: create segment: %w", err), f.Close(), os.Remove(path))
	}
	return f, nil
}

// scanSegment finds where the whole frames of a segment end. A sealed segment,
// one that another follows, is taken as it is: its end was written by an orderly
// change of segments, and a reader stops at damage anyway.
func scanSegment(path string, sealed bool) (end, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, fmt.Errorf("journal: open segment: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, fmt.Errorf("journal: stat segment: %w", err)
	}
	size = info.Size()
	if sealed {
		return size, size, nil
	}
	r := bufio.NewReaderSize(f, 64<<10)
	magic := make([]byte, headerSize)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != segmentMagic {
		return 0, size, nil
	}
	var buf []byte
	for end = headerSize; ; {
		payload, err := readFrame(r, buf)
		switch {
		case err == io.EOF, err == errTorn:
			return end, size, nil
		case err != nil:
			return 0, 0, fmt.Errorf("journal: read segment: %w", err)
		}
		buf = payload
		end += frameHeader + int64(len(payload))
	}
}

// path is the file of a segment. Names sort as numbers do.
func (j *Journal) path(number uint64) string {
	return filepath.Join(j.cfg.Dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

// listSegments gives the numbers of the segments in dir, oldest first. Other
// files are none of the journal's business.
func listSegments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: list segments: %w", err)
	}
	var numbers []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if n, err := strconv.ParseUint(name, 16, 64); ok && len(name) == 16 && err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// removeUnfinished deletes what a killed process was about to replace segments by.
func removeUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "*"+unfinishedSuffix))
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("journal: remove unfinished segment: %w", err)
		}
	}
	return err
}

// idFile has a journal's name: random bytes in hexadecimal.
const idFile = "id"

// identify gives the name of the journal in dir, made if it has none.
func identify(dir string) (string, error) {
	path := filepath.Join(dir, idFile)
	b, err := os.ReadFile(path)
	if len(b) == 32 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return string(b), err
	}
	id := make([]byte, 16)
	rand.Read(id)
	b = hex.AppendEncode(nil, id)
	f, err := os.CreateTemp(dir, idFile+"*"+unfinishedSuffix)
	if err != nil {
		return "", fmt.Errorf("journal: name it: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("journal: name it: %w", err), os.Remove(f.Name()))
	}
	return string(b), nil
}
