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

// Resolve implements kong.Resolver.
func (c configFile) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	node := parent.Node()
	if node.Type == kong.ApplicationNode {
		return nil, nil // --config itself, --help
	}
	if own, ok := c[node.Name].(map[string]any); ok && own[flag.Name] != nil {
		return own[flag.Name], nil
	}
	if _, isCommand := c[flag.Name].(map[string]any); isCommand {
		return nil, nil
	}
	return c[flag.Name], nil
}

// Validate implements kong.Resolver: a key that no flag has is a mistake, and
// what was meant by it would be missing silently.
func (c configFile) Validate(app *kong.Application) error {
	top := make(map[string]bool) // every flag, every command
	allFlags := make(map[string]bool)
	for _, command := range app.Children {
		flags := make(map[string]bool)
		for _, f := range command.Flags {
			flags[f.Name], allFlags[f.Name], top[f.Name] = true, true, true
		}
		top[command.Name] = true
		own, ok := c[command.Name].(map[string]any)
		if !ok {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(own)) {
			if !flags[key] {
				return unknownKey(command.Name+": "+key, key, flags)
			}
		}
	}
	for _, command := range app.Children {
		if v, ok := c[command.Name]; ok && !allFlags[command.Name] {
			if _, ok := v.(map[string]any); !ok {
				return fmt.Errorf("--config: %q is a command: put its flags below it, as %s: {flag: value}", command.Name, command.Name)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if !top[key] {
			return unknownKey(key, key, top)
		}
	}
	return nil
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
