package nodeapi

import (
	"net/url"
	"strings"
)

// Segment is a name as one element of the path of a request. What would be read as a
// place in a tree, and followed, is encoded too: a tenant may be called "..".
func Segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}
