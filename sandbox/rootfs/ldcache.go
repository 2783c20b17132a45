package rootfs

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"strings"
)

// The loader's cache as glibc's ldconfig writes it (elf/cache.c, dl-cache.h):
// a header of 48 bytes, entries of 24 bytes, strings. An older format may
// stand in front of it.
const (
	ldOldMagic  = "ld.so-1.7.0\x00"
	ldNewMagic  = "glibc-ld.so.cache1.1"
	ldHeader    = 48
	ldEntry     = 24
	ldOldHeader = 16
	ldOldEntry  = 12
)

// ldCache maps a library's name to the paths the loader would try, in its
// order. Variants for certain processors are left out: the plain one does on
// every machine. A cache that is damaged or of another kind yields what can be
// read of it: the default directories are searched anyway.
func ldCache(raw []byte) map[string][]string {
	order := binary.ByteOrder(binary.NativeEndian)
	if bytes.HasPrefix(raw, []byte(ldOldMagic)) && len(raw) >= ldOldHeader {
		n := uint64(order.Uint32(raw[12:]))
		skip := (ldOldHeader + n*ldOldEntry + 7) &^ 7
		if skip > uint64(len(raw)) {
			return nil
		}
		raw = raw[skip:]
	}
	if len(raw) < ldHeader || !bytes.HasPrefix(raw, []byte(ldNewMagic)) {
		return nil
	}
	libs := make(map[string][]string)
	n := uint64(order.Uint32(raw[len(ldNewMagic):]))
	for i := range n {
		at := ldHeader + i*ldEntry
		if at+ldEntry > uint64(len(raw)) {
			break
		}
		name := cString(raw, order.Uint32(raw[at+4:]))
		path := cString(raw, order.Uint32(raw[at+8:]))
		hwcap := order.Uint64(raw[at+16:])
		if name == "" || !filepath.IsAbs(path) || hwcap != 0 || strings.Contains(path, "/glibc-hwcaps/") {
			continue
		}
		libs[name] = append(libs[name], path)
	}
	return libs
}

// cString is the string at an offset, or "" if it does not end within raw.
func cString(raw []byte, offset uint32) string {
	if uint64(offset) >= uint64(len(raw)) {
		return ""
	}
	end := bytes.IndexByte(raw[offset:], 0)
	if end < 0 {
		return ""
	}
	return string(raw[offset : int(offset)+end])
}
