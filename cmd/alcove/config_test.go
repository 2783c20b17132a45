package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// parse reads a command line with a configuration file.
func parse(t *testing.T, config string, args ...string) (commands, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alcove.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var c commands
	parser, err := newParser(t.Context(), &c)
	if err != nil {
		t.Fatal(err)
	}
	parser.Exit = func(int) { t.Error("the parser ends the program") }
	_, err = parser.Parse(append([]string{"--config", file}, args...))
	return c, err
}

func TestConfigFileSetsFlags(t *testing.T) {
	for config, want := range map[string]string{
		"region: eu-west-1\ntenant-idle-min: 3s\nmemory: 1GB\ntenant-share: 0.25\n": "eu-west-1 3s 1073741824 0.25",
		"serve:\n  region: eu-west-1\nregion: us-west-2\n":                          "eu-west-1 1m0s 0 0.5",
		"logs:\n  tenant: blue\n":                                                   "us-east-1 1m0s 0 0.5",
		"":                                                                          "us-east-1 1m0s 0 0.5",
	} {
		c, err := parse(t, config, "serve")
		if err != nil {
			t.Errorf("%q: %v", config, err)
			continue
		}
		s := c.Serve
		if got := strings.TrimSpace(fmt.Sprintln(s.Region, s.TenantIdleMin, int64(s.Memory), s.TenantShare)); got != want {
			t.Errorf("%q gives %s, want %s", config, got, want)
		}
	}
	if c, err := parse(t, "region: eu-west-1\n", "serve", "--region", "ap-south-1"); err != nil || c.Serve.Region != "ap-south-1" {
		t.Errorf("beside the flag itself: %v, %v", c.Serve.Region, err)
	}
}

// Commands in groups have their flags below the group, or below themselves in it.
func TestConfigFileSetsFlagsOfGroups(t *testing.T) {
	for config, want := range map[string]string{
		"endpoint: http://a\n":                              "http://a p",
		"keys:\n  endpoint: http://b\nendpoint: http://a\n": "http://b p",
		"keys:\n  create:\n    endpoint: http://c\n    policy: q\n  endpoint: http://b\nendpoint: http://a\n": "http://c q",
		"keys:\n  list:\n    endpoint: http://d\nendpoint: http://a\n":                                        "http://a p",
	} {
		args := []string{"keys", "create", "k"}
		if strings.HasSuffix(want, "p") {
			args = append(args, "--policy", "p")
		}
		c, err := parse(t, config, args...)
		if k := c.Keys.Create; err != nil || k.Endpoint+" "+k.Policy != want {
			t.Errorf("%q gives %s %s, %v, want %s", config, k.Endpoint, k.Policy, err, want)
		}
	}
	if c, err := parse(t, "roles:\n  put:\n    policy: r\ntenants:\n  purge: {endpoint: 'http://e'}\n", "tenants", "purge", "blue"); err != nil || c.Tenants.Purge.Endpoint != "http://e" {
		t.Errorf("%+v, %v", c.Tenants.Purge, err)
	}
	if c, err := parse(t, "deploy:\n  env: {A: b}\n", "deploy", "--image", "i", "--name", "n"); err != nil || c.Deploy.Env["A"] != "b" {
		t.Errorf("%+v, %v", c.Deploy.Env, err)
	}
}

func TestConfigFileWithMistakesIsRefused(t *testing.T) {
	for config, want := range map[string]string{
		"tenant-idle-mim: 3s\n":            `unknown key "tenant-idle-mim": did you mean "tenant-idle-min"?`,
		"tenantShare: 1\n":                 `unknown key "tenantShare": did you mean "tenant-share"?`,
		"isolatoin: namespace\n":           `unknown key "isolatoin": did you mean "isolation"?`,
		"serve:\n  lisen: 127.0.0.1:0\n":   `unknown key "serve: lisen": did you mean "listen"?`,
		"servce:\n  listen: 127.0.0.1:0\n": `unknown key "servce": did you mean "serve"?`,
		"region: a\nregion: b\n":           "already defined",
		"serve: 1\n":                       `"serve" is a command`,
		"keys: 1\n":                        `"keys" is a command`,
		"keys: {create: 1}\n":              `"keys: create" is a command`,
		"keys: {create: {polcy: x}}\n":     `unknown key "keys: create: polcy": did you mean "policy"?`,
		"keys: {crate: {policy: x}}\n":     `unknown key "keys: crate": did you mean "create"?`,
		"- region\n":                       "--config",
	} {
		_, err := parse(t, config, "serve")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", config, err, want)
		}
	}
}

// FuzzConfigFile: a file that the operator mistook for one is refused or read,
// and never ends the program.
func FuzzConfigFile(f *testing.F) {
	for _, s := range []string{"region: x", "serve: {listen: 1}", "[]", "1: 2", "a: &a [*a]", "serve: 1", "? {}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := loadConfig(strings.NewReader(s))
		if err != nil {
			return
		}
		var c commands
		parser, err := newParser(t.Context(), &c)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Validate(parser.Model)
	})
}

var _ kong.ConfigurationLoader = loadConfig
