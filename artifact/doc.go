// Package artifact keeps deployment packages: the zip files as they were sent,
// named by their digest, and one tree per zip, unpacked once and shared
// read-only by every environment that runs it. Layers that lie over each other
// are one more tree, named by the list of their digests. Container images are
// kept as the trees that their layers make together.
//
// It owns one directory:
//
//	zip/<sha256>            the file, as sent
//	tree/<boot>/<sha256>/   what is in it: files 0644 or 0755, directories 0755
//	image/<sha256>/         a container image by its manifest: root/ and settings.json
//	tmp/                    what is being written or removed; [Open] moves it aside, Store.Clean removes that
//
// A package is verified whole before it is kept, and its zip is on the disk
// before [Store.PutZip] answers. Whatever is refused, or fails, leaves nothing.
//
// Trees are made from zips at any time, and are not synced: a sync for each of
// the thousands of files that a Node package has takes seconds, and one for the
// whole file system waits for everybody else's writes. Instead a tree is good
// for one boot of the machine. A killed process leaves whole trees or none; what
// a power failure left of them is never looked at again.
//
// An image is on the disk before it has its name: its registry may not be there
// after a power failure.
//
// The package knows no functions: which digests are still wanted is what
// [Store.Remove] asks its caller.
package artifact
