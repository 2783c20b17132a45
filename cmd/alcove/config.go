package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// configFile is what --config names: a YAML map of flags' names to values. A flag
// stands at the top, for every command that has it, or below a command's name,
// for that one, which comes first.
type configFile map[string]any

// loadConfig reads a configuration file. It implements kong.ConfigurationLoader.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	var c map[string]any
	if err := yaml.NewDecoder(r).Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return configFile(c), nil
}

// Resolve implements kong.Resolver. What stands below a command goes before what
// stands below the group that it is in, and that before what stands at the top.
func (c configFile) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	node := parent.Node()
	if node.Type == kong.ApplicationNode {
		return nil, nil // --config itself, --help
	}
	var path []*kong.Node // from the application down
	for n := node; n != nil; n = n.Parent {
		path = append([]*kong.Node{n}, path...)
	}
	var found any
	at := map[string]any(c)
	for i, n := range path {
		value := at[flag.Name]
		if _, isMap := value.(map[string]any); value != nil && !(isMap && (n.Type == kong.ApplicationNode || hasChild(n, flag.Name))) {
			found = value
		}
		if i+1 == len(path) {
			break
		}
		below, ok := at[path[i+1].Name].(map[string]any)
		if !ok {
			break
		}
		at = below
	}
	return found, nil
}

func hasChild(n *kong.Node, name string) bool {
	return slices.ContainsFunc(n.Children, func(c *kong.Node) bool { return c.Name == name })
}

// Validate implements kong.Resolver: a key that no flag has is a mistake, and
// what was meant by it would be missing silently.
func (c configFile) Validate(app *kong.Application) error {
	_, err := check(app.Node, c, "", false)
	return err
}

// check looks at what stands below a node, and gives the flags that it and what is
// below it have. own says that the node's flags may stand there.
func check(node *kong.Node, at map[string]any, path string, own bool) (flags map[string]bool, err error) {
	flags = map[string]bool{}
	if own {
		for _, f := range node.Flags {
			flags[f.Name] = true
		}
	}
	known := map[string]bool{}
	for _, command := range node.Children {
		known[command.Name] = true
		below, _ := at[command.Name].(map[string]any)
		theirs, err := check(command, below, path+command.Name+": ", true)
		if err != nil {
			return nil, err
		}
		maps.Copy(flags, theirs)
	}
	for _, command := range node.Children {
		_, isMap := at[command.Name].(map[string]any)
		if v := at[command.Name]; v != nil && !isMap && !flags[command.Name] {
			return nil, fmt.Errorf("--config: %q is a command: put its flags below it, as %s: {flag: value}", path+command.Name, command.Name)
		}
	}
	for name := range flags {
		known[name] = true
	}
	for _, key := range slices.Sorted(maps.Keys(at)) {
		if !known[key] {
			return nil, unknownKey(path+key, key, known)
		}
	}
	return flags, nil
}

func unknownKey(name, key string, known map[string]bool) error {
	best := ""
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if best == "" || distance(key, k) < distance(key, best) {
			best = k
		}
	}
	if best == "" {
		return fmt.Errorf("--config: unknown key %q: the command has no flags", name)
	}
	return fmt.Errorf("--config: unknown key %q: did you mean %q?", name, best)
}

// distance is how many bytes have to be put in, left out or changed to make b of
// a (Levenshtein's).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
