package flatten

import "strings"

// split gives the parts of a path as a root has it: absolute or not, ".." at the
// top leads nowhere.
func (b *Builder) split(path string) ([]string, error) {
	if len(path) > maxPath {
		return nil, invalid("a path has %d bytes", len(path))
	}
	if strings.ContainsRune(path, 0) {
		return nil, invalid("%q contains NUL", path)
	}
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "" || part == ".":
		case part == "..":
			parts = parts[:max(0, len(parts)-1)]
		case len(part) > maxName:
			return nil, invalid("a part of %q has %d bytes", path, len(part))
		default:
			parts = append(parts, strings.Clone(part)) // not all of what was read
		}
	}
	return parts, b.step(len(parts))
}

// step counts work.
func (b *Builder) step(n int) error {
	if b.steps -= n; b.steps < 0 {
		return invalid("its links and whiteouts are too entangled")
	}
	return nil
}

// find gives the directory at a path, following links. If it is not there it is
// made, or nil.
func (b *Builder) find(parts []string, create bool) (*node, error) {
	at := []*node{b.root} // the way here, for ".."
	links := 0
	rest := parts
	for len(rest) > 0 {
		if err := b.step(1); err != nil {
			return nil, err
		}
		name := rest[0]
		rest = rest[1:]
		here := at[len(at)-1]
		switch name {
		case "", ".":
			continue
		case "..":
			at = at[:max(1, len(at)-1)]
			continue
		}
		next := here.children[name]
		switch {
		case next.node == nil && !create:
			return nil, nil
		case next.node == nil:
			if len(name) > maxName || len(at) > maxDepth {
				return nil, invalid("a path leads too deep, or has a part of more than %d bytes", maxName)
			}
			if b.names--; b.names < 0 {
				return nil, invalid("it has more than %d files, directories and links", b.limits.Entries)
			}
			made := newDir()
			here.children[strings.Clone(name)] = entry{made, b.layer}
			at = append(at, made)
		case next.kind == directory:
			at = append(at, next.node)
		case next.kind == symlink:
			if links++; links > maxLinks {
				return nil, invalid("%q leads over more than %d links", strings.Join(parts, "/"), maxLinks)
			}
			if strings.HasPrefix(next.target, "/") {
				at = at[:1]
			}
			to := strings.Split(next.target, "/")
			if err := b.step(len(to) + len(rest)); err != nil {
				return nil, err
			}
			rest = append(to, rest...)
		case !create:
			return nil, nil
		default:
			return nil, invalid("%q is a file, and has something below it", strings.Join(parts, "/"))
		}
	}
	return at[len(at)-1], nil
}

// hide takes away what lower layers have: of a directory all, or one name.
func (b *Builder) hide(above []string, name string, opaque bool) error {
	in, err := b.find(above, false)
	if err != nil || in == nil {
		return err
	}
	if opaque {
		if in.opaque == b.layer {
			return nil
		}
		in.opaque = b.layer
		return b.hideBelow(in)
	}
	if name == "" || name == "." || name == ".." {
		return invalid("%q is no whiteout", whiteout+name)
	}
	return b.hideName(in, name)
}

// hideBelow leaves of a directory what this layer has put there.
func (b *Builder) hideBelow(in *node) error {
	for name := range in.children {
		if err := b.hideName(in, name); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) hideName(in *node, name string) error {
	if err := b.step(1); err != nil {
		return err
	}
	c, ok := in.children[name]
	if !ok {
		return nil
	}
	if c.kind == directory {
		if err := b.hideBelow(c.node); err != nil {
			return err
		}
		if len(c.children) > 0 {
			return nil // what this layer has is in it
		}
	}
	if c.layer == b.layer {
		return nil
	}
	delete(in.children, name)
	return b.drop(c.node)
}
