// Package ext4 writes empty ext4 file systems into sparse files: those that
// sandboxes have at /tmp. It takes well under a millisecond and no program of
// the host's. The file system has neither journal nor checksums, because nobody
// ever reads it after a crash.
//
// Field names and offsets are those of Documentation/filesystems/ext4 in the
// kernel's tree.
package ext4

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	blockSize      = 4096
	blocksPerGroup = 8 * blockSize // as many as a bitmap of one block can tell
	inodeSize      = 256
	inodeRatio     = 8 << 10 // bytes of space for which there is an inode
	firstInode     = 11      // those below are the file system's own
	rootInode      = 2
	descSize       = 32
)

// Geometry is the size of a file system and of its parts, in blocks of 4096
// bytes.
type Geometry struct {
	Blocks         uint32 // the file's size
	overhead       uint32 // blocks of the file system's own
	groups         uint32
	inodesPerGroup uint32
	tableBlocks    uint32 // for the inodes of one group
	descBlocks     uint32 // for the descriptors of all groups
}

// MaxSize is the largest size that Layout accepts, in bytes.
const MaxSize = 1 << 40

// Layout computes a file system on which statfs(2) tells exactly size bytes,
// rounded up to a block. One block of them is taken by the root directory.
func Layout(size int64) (Geometry, error) {
	if size <= 0 || size > MaxSize {
		return Geometry{}, fmt.Errorf("ext4: no file system of %d bytes", size)
	}
	usable := uint32((size + blockSize - 1) / blockSize)
	g := Geometry{}
	// Overhead makes blocks, which may make another group, which has overhead.
	for blocks := usable; ; {
		g.groups = (blocks + blocksPerGroup - 1) / blocksPerGroup
		inodes := max(uint32((uint64(blocks)*blockSize/inodeRatio+uint64(g.groups)-1)/uint64(g.groups)), 16)
		g.tableBlocks = (inodes*inodeSize + blockSize - 1) / blockSize
		g.inodesPerGroup = g.tableBlocks * (blockSize / inodeSize)
		g.descBlocks = (g.groups*descSize + blockSize - 1) / blockSize
		g.overhead = 1 + g.descBlocks + g.groups*(2+g.tableBlocks)
		// The last group must have room for what belongs to it.
		if blocks == usable+g.overhead && g.lastGroup(blocks) > 2+g.tableBlocks {
			g.Blocks = blocks
			return g, nil
		}
		if blocks >= usable+g.overhead { // a last group too small: a bit more for the user
			usable++
		}
		blocks = max(blocks, usable+g.overhead)
	}
}

func (g Geometry) lastGroup(blocks uint32) uint32 { return blocks - (g.groups-1)*blocksPerGroup }

// Bytes is the size that the file must have.
func (g Geometry) Bytes() int64 { return int64(g.Blocks) * blockSize }

// Format writes the file system into a file that reads as zeros and has the
// size g.Bytes().
func Format(w io.WriterAt, g Geometry) error {
	descs := make([]byte, g.descBlocks*blockSize)
	free := uint32(0)
	for i := range g.groups {
		group := g.group(i)
		free += group.free
		group.describe(descs[i*descSize:])
		if err := group.writeBitmaps(w); err != nil {
			return err
		}
	}
	first := g.group(0)
	writes := []struct {
		at    int64
		bytes []byte
	}{
		{1024, g.superblock(free)},
		{blockSize, descs},
		{int64(first.table)*blockSize + (rootInode-1)*inodeSize, first.rootInode()},
		{int64(first.root) * blockSize, rootDirectory()},
	}
	for _, c := range writes {
		if _, err := w.WriteAt(c.bytes, c.at); err != nil {
			return fmt.Errorf("ext4: %w", err)
		}
	}
	return nil
}

var le = binary.LittleEndian

func (g Geometry) superblock(free uint32) []byte {
	const (
		compatSparseSuper2 = 0x200 // no copies of the superblock anywhere
		compatDirIndex     = 0x20
		incompatFiletype   = 0x2
		incompatExtents    = 0x40
		roLargeFile        = 0x2
		roHugeFile         = 0x8
		roDirNlink         = 0x20
		roExtraIsize       = 0x40
	)
	b := make([]byte, 1024)
	inodes := g.groups * g.inodesPerGroup
	for _, f := range []struct {
		offset int
		value  uint32
	}{
		{0x00, inodes},
		{0x04, g.Blocks},
		{0x0c, free},
		{0x10, inodes - (firstInode - 1)},
		{0x18, 2}, // s_log_block_size: 1024 << 2
		{0x1c, 2}, // s_log_cluster_size
		{0x20, blocksPerGroup},
		{0x24, blocksPerGroup},
		{0x28, g.inodesPerGroup},
		{0x4c, 1}, // s_rev_level: dynamic
		{0x54, firstInode},
		{0x5c, compatSparseSuper2 | compatDirIndex},
		{0x60, incompatFiletype | incompatExtents},
		{0x64, roLargeFile | roHugeFile | roDirNlink | roExtraIsize},
		{0xec, 0x616c636f}, // s_hash_seed
		{0xf0, 0x76650000},
		{0xf4, 0x73616e64},
		{0xf8, 0x626f7800},
		{0x160, 1}, // s_flags: signed directory hash
		{0x248, g.overhead},
	} {
		le.PutUint32(b[f.offset:], f.value)
	}
	for _, f := range []struct {
		offset int
		value  uint16
	}{
		{0x36, 0xffff}, // s_max_mnt_count: never check
		{0x38, 0xef53}, // s_magic
		{0x3a, 1},      // s_state: clean
		{0x3c, 1},      // s_errors: go on
		{0x58, inodeSize},
		{0x15c, 32}, // s_min_extra_isize
		{0x15e, 32}, // s_want_extra_isize
	} {
		le.PutUint16(b[f.offset:], f.value)
	}
	copy(b[0x68:], "alcove sandbox\x00\x00") // s_uuid
	b[0xfc] = 1                              // s_def_hash_version: half MD4
	return b
}

// A group is a block group: where its parts lie and what is free of it.
type group struct {
	number        uint32
	bitmap        uint32 // of blocks; that of inodes follows, then the table
	table         uint32
	root          uint32 // block of the root directory, in the first group
	start, blocks uint32
	used, free    uint32 // blocks; those in use come first
	inodes        uint32
	tableBlocks   uint32
}

func (g Geometry) group(i uint32) group {
	out := group{number: i, start: i * blocksPerGroup, blocks: blocksPerGroup, inodes: g.inodesPerGroup, tableBlocks: g.tableBlocks}
	if i == g.groups-1 {
		out.blocks = g.lastGroup(g.Blocks)
	}
	out.bitmap = out.start
	if i == 0 {
		out.bitmap += 1 + g.descBlocks
	}
	out.table = out.bitmap + 2
	end := out.table + g.tableBlocks
	if i == 0 {
		out.root = end
		end++
	}
	out.used = end - out.start
	out.free = out.blocks - out.used
	return out
}

// reserved is how many of a group's inodes are in use: the file system's own.
func (g group) reserved() uint32 {
	if g.number == 0 {
		return firstInode - 1
	}
	return 0
}

func (g group) describe(b []byte) {
	le.PutUint32(b[0x0:], g.bitmap)
	le.PutUint32(b[0x4:], g.bitmap+1)
	le.PutUint32(b[0x8:], g.table)
	le.PutUint16(b[0xc:], uint16(g.free))
	le.PutUint16(b[0xe:], uint16(g.inodes-g.reserved()))
	if g.number == 0 {
		le.PutUint16(b[0x10:], 1) // directories
	}
}

func (g group) writeBitmaps(w io.WriterAt) error {
	b := make([]byte, 2*blockSize)
	setBits(b[:blockSize], 0, g.used)
	setBits(b[:blockSize], g.blocks, blocksPerGroup) // beyond the end
	setBits(b[blockSize:], 0, g.reserved())
	setBits(b[blockSize:], g.inodes, 8*blockSize)
	if _, err := w.WriteAt(b, int64(g.bitmap)*blockSize); err != nil {
		return fmt.Errorf("ext4: %w", err)
	}
	return nil
}

func setBits(b []byte, from, to uint32) {
	for ; from < to; from++ {
		if from%8 == 0 && to-from >= 8 {
			b[from/8] = 0xff
			from += 7
			continue
		}
		b[from/8] |= 1 << (from % 8)
	}
}

// rootInode is a directory of one block that everybody may write to.
func (g group) rootInode() []byte {
	b := make([]byte, inodeSize)
	le.PutUint16(b[0x0:], 0o041777)
	le.PutUint32(b[0x4:], blockSize)
	le.PutUint16(b[0x1a:], 2)             // links
	le.PutUint32(b[0x1c:], blockSize/512) // i_blocks
	le.PutUint32(b[0x20:], 0x80000)       // i_flags: extents
	le.PutUint16(b[0x28:], 0xf30a)        // extent header: magic,
	le.PutUint16(b[0x2a:], 1)             // entries,
	le.PutUint16(b[0x2c:], 4)             // room
	le.PutUint16(b[0x38:], 1)             // the extent: one block
	le.PutUint32(b[0x3c:], g.root)        // where
	le.PutUint16(b[0x80:], 32)            // i_extra_isize
	return b
}

func rootDirectory() []byte {
	b := make([]byte, blockSize)
	entry := func(at int, length uint16, name string) {
		le.PutUint32(b[at:], rootInode)
		le.PutUint16(b[at+4:], length)
		b[at+6] = byte(len(name))
		b[at+7] = 2 // a directory
		copy(b[at+8:], name)
	}
	entry(0, 12, ".")
	entry(12, blockSize-12, "..")
	return b
}
