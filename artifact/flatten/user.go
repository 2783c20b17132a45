package flatten

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox"
)

const (
	maxID     = math.MaxInt32 // what container engines take
	nobody    = math.MaxUint32
	maxUser   = 256     // bytes of what an image says of its user
	maxPasswd = 1 << 20 // bytes of a file that is read for it
)

// As finds who the programs of the image run as, in the words of its config: a name
// or number of a user, and after a colon of a group. Names are looked up in the
// image's own files, after its last layer, and as the OCI image specification and
// container engines have it: without a group, the user's groups of both files;
// with one, that and no other. Finish then makes the tree for this user.
//
// Who is root, or says nothing, is nobody in particular: nil.
func (b *Builder) As(who string) (*alcove.ImageUser, error) {
	if len(who) > maxUser || strings.ContainsAny(who, "\x00\n") {
		return nil, invalid("its user has %d bytes, or is none", len(who))
	}
	user, group, _ := strings.Cut(who, ":")
	if user == "" || user == "root" || user == "0" {
		return nil, nil
	}
	u := &alcove.ImageUser{Home: "/"}
	number, isNumber := parseID(user)
	name, found := "", false
	err := b.records("/etc/passwd", 7, func(f []string) bool {
		uid, ok := parseID(f[2])
		gid, gok := parseID(f[3])
		if !ok || !gok || f[0] != user && f[2] != user {
			return true
		}
		name, found = f[0], true
		u.UID, u.GID = uid, gid
		if strings.HasPrefix(f[5], "/") && len(f[5]) <= maxName && !strings.ContainsRune(f[5], 0) {
			u.Home = f[5]
		}
		return false
	})
	switch {
	case err != nil:
		return nil, err
	case !found && !isNumber:
		return nil, invalid("its user %q is not in its /etc/passwd", user)
	case !found:
		u.UID = number
	}
	if u.UID == 0 {
		return nil, nil
	}
	if err := b.groups(u, name, group); err != nil {
		return nil, err
	}
	if len(u.Groups) > sandbox.MaxGroups {
		return nil, invalid("its user %q is in more than %d groups", user, sandbox.MaxGroups)
	}
	b.user = u
	return u, nil
}

// groups finds the groups of a user: the one that the image names, else those that
// the user's name is in.
func (b *Builder) groups(u *alcove.ImageUser, name, group string) error {
	if group == "" && name == "" {
		return nil
	}
	found := false
	err := b.records("/etc/group", 4, func(f []string) bool {
		gid, ok := parseID(f[2])
		switch {
		case !ok:
		case group != "":
			if f[0] == group || f[2] == group {
				u.GID, found = gid, true
			}
			return !found
		case gid != u.GID && !slices.Contains(u.Groups, gid) && slices.Contains(strings.Split(f[3], ","), name):
			u.Groups = append(u.Groups, gid)
		}
		return len(u.Groups) <= sandbox.MaxGroups
	})
	if err != nil || group == "" || found {
		return err
	}
	gid, ok := parseID(group)
	if !ok {
		return invalid("its group %q is not in its /etc/group", group)
	}
	u.GID = gid
	return nil
}

func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n <= maxID
}

// records reads a file of lines of fields until each says that it has seen enough.
// A file that is not there has none.
func (b *Builder) records(path string, fields int, each func(f []string) bool) error {
	n, err := b.file(path)
	if err != nil || n == nil {
		return err
	}
	info, err := os.Stat(b.path(n))
	if err != nil {
		return err
	}
	if info.Size() > maxPasswd {
		return invalid("its %s has %d bytes", path, info.Size())
	}
	text, err := os.ReadFile(b.path(n))
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxPasswd+1)
	for lines.Scan() {
		if f := strings.SplitN(strings.TrimSpace(lines.Text()), ":", fields); len(f) == fields && !each(f) {
			break
		}
	}
	return lines.Err()
}

// file gives the file at a path, following links, or nil.
func (b *Builder) file(path string) (*node, error) {
	parts, err := b.split(path)
	for links := 0; err == nil && len(parts) > 0; links++ {
		above, last := parts[:len(parts)-1], parts[len(parts)-1]
		var in *node
		if in, err = b.find(above, false); err != nil || in == nil {
			return nil, err
		}
		switch c := in.children[last]; {
		case c.node == nil || c.kind == directory:
			return nil, nil
		case c.kind == file:
			return c.node, nil
		case links == maxLinks:
			return nil, invalid("%q leads over more than %d links", path, maxLinks)
		case strings.HasPrefix(c.target, "/"):
			parts = strings.Split(strings.Trim(c.target, "/"), "/")
		default:
			parts = slices.Concat(above, strings.Split(strings.TrimRight(c.target, "/"), "/"))
		}
	}
	return nil, err
}

// modeFor is what a file or directory of the tree has: for the user's owners and
// groups what their permissions are in the image, for everybody. The tree's own
// owner is the node, which reads all of it.
func (b *Builder) modeFor(n *node) fs.FileMode {
	u := b.user
	if u == nil {
		return n.mode
	}
	may := n.mode
	switch {
	case n.uid == u.UID:
		may >>= 6
	case n.gid == u.GID || slices.Contains(u.Groups, n.gid):
		may >>= 3
	}
	may &= 0o5
	return n.mode&0o700 | may<<6 | may<<3 | may
}

// closedFor is modeFor where the tree is owned by who runs in it.
func (b *Builder) closedFor(n *node) fs.FileMode {
	may := b.modeFor(n) & 0o5
	mode := may<<6 | may<<3 | may
	if n.kind == directory {
		mode |= 0o200 // or its owner could not remove what is in it; nobody writes to the tree
	}
	return mode
}
