package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// cli is the AWS CLI.
type cli struct {
	n    *node
	path string
	dir  string // for files that hold blobs
	// imported is a process that has imported the CLI and forks for each command, nil
	// where it is not a Python program. Its import is most of a command's time.
	imported *driver
	// flags are those that every call has.
	flags []string
}

// startCLI makes one, of any version.
func startCLI(t *testing.T, n *node, path string) *cli {
	t.Helper()
	c := &cli{n: n, path: path, dir: t.TempDir()}
	out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	var major, minor int
	if _, scanned := fmt.Sscanf(string(out), "aws-cli/%d.%d.", &major, &minor); err != nil || scanned != nil {
		t.Fatalf("%s --version: %v %s", path, err, out)
	}
	if major == 1 && minor < 29 || major == 2 && minor < 13 { // which know no AWS_ENDPOINT_URL
		c.flags = []string{"--endpoint-url", n.url}
	}
	if python := pythonOf(t, path); python != "" {
		c.imported = startDriver(t, n, "testdata/python", python, "cli.py")
	}
	return c
}

// pythonOf is the interpreter of a Python program, or of the one that pyenv runs by that name.
func pythonOf(t *testing.T, path string) string {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "pyenv", "which", filepath.Base(path)).Output(); err == nil && strings.Contains(path, "/shims/") {
		path = strings.TrimSpace(string(out))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text[:min(len(text), 256)]), "\n")
	python, script := strings.CutPrefix(first, "#!")
	if !script || !strings.Contains(filepath.Base(python), "python") || exec.CommandContext(t.Context(), python, "-c", "import awscli").Run() != nil {
		return ""
	}
	return python
}

// kebab is how the CLI spells a name.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			// ListFunctionsByCodeSigningConfig, but S3Bucket and KMSKeyArn too.
			if i > 0 && (unicode.IsLower(rune(name[i-1])) || unicode.IsDigit(rune(name[i-1])) || i+1 < len(name) && unicode.IsLower(rune(name[i+1]))) {
				b.WriteByte('-')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// args are the arguments of a request.
func (c *cli) args(t *testing.T, in object) (args []string) {
	t.Helper()
	for _, name := range sortedKeys(in) {
		flag := "--" + kebab(name)
		switch v := in[name].(type) {
		case string:
			if name == "ZipFile" || name == "Payload" || name == "InvokeArgs" {
				file := filepath.Join(c.dir, name)
				if err := os.WriteFile(file, []byte(decodeBlob(t, v)), 0o600); err != nil {
					t.Fatal(err)
				}
				if v = "fileb://" + file; name == "InvokeArgs" {
					v = file
				}
			}
			args = append(args, flag, v)
		case bool:
			if !v {
				flag = "--no-" + kebab(name)
			}
			args = append(args, flag)
		case object:
			// The package has an option of its own, in the code of functions and layers.
			if blob, ok := v["ZipFile"]; ok {
				args = append(args, c.args(t, object{"ZipFile": blob})...)
				continue
			}
			args = append(args, flag, jsonText(t, v))
		case []string:
			args = append(append(args, flag), v...)
		default:
			args = append(args, flag, jsonText(t, v))
		}
	}
	return args
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sortedKeys(o object) []string {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// cliError is how the CLI tells of an error of the service.
var cliError = regexp.MustCompile(`(?s)An error occurred \((\w+)\) when calling the \w+ operation[^:]*: (.*?)\s*(\n\nAdditional error details:.*)?$`)

// command runs the CLI once.
func (c *cli) command(t *testing.T, args ...string) (out, errs string, err error) {
	t.Helper()
	if c.imported != nil {
		var a struct {
			Status   int
			Out, Err string
		}
		c.imported.ask(t, object{"args": args}, &a)
		if a.Status != 0 {
			err = fmt.Errorf("wait status %#x", a.Status)
		}
		return a.Out, a.Err, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = c.n.clientEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

func (c *cli) run(t *testing.T, args ...string) reply {
	t.Helper()
	out, text, err := c.command(t, append(slices.Clone(c.flags), args...)...)
	if err != nil {
		if m := cliError.FindStringSubmatch(text); m != nil {
			return reply{Code: m[1], Text: m[2]}
		}
		if strings.Contains(text, "Unknown options:") || strings.Contains(text, "argument operation: ") || strings.Contains(text, "Unknown parameter in") || strings.Contains(text, "argument command: Invalid choice") ||
			strings.Contains(text, "must be a zip file") {
			return reply{Unknown: strings.Join(strings.Fields(tail(text, 160)), " ")}
		}
		if len(args) > 1 && args[1] == "wait" {
			return reply{Code: "waiter", Text: text}
		}
		t.Fatalf("aws %.300q: %v\n%s", args, err, text)
	}
	a := reply{Out: object{}}
	if strings.TrimSpace(out) != "" {
		if err := json.Unmarshal([]byte(out), &a.Out); err != nil {
			t.Fatalf("aws %.300q printed %s: %v", args, out, err)
		}
	}
	return a
}

func (c *cli) call(t *testing.T, operation string, in object) reply {
	t.Helper()
	if operation == "InvokeWithResponseStream" {
		return reply{Unknown: "the operation " + operation + ": the CLI has none that stream events"}
	}
	in = clone(in)
	if v, ok := in["Code"].(object); ok {
		if _, zip := v["ZipFile"]; zip {
			in["ZipFile"] = v["ZipFile"]
			delete(in, "Code")
		}
	}
	args := append([]string{"lambda", kebab(operation)}, c.args(t, in)...)
	file := ""
	if operation == "Invoke" {
		file = filepath.Join(c.dir, "answer")
		args = append(args, file)
	}
	a := c.run(t, args...)
	if file != "" && a.Code == "" && a.Unknown == "" {
		payload, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a.Out["Payload"] = base64.StdEncoding.EncodeToString(payload)
	}
	return a
}

func (c *cli) wait(t *testing.T, waiter string, in object) reply {
	t.Helper()
	return c.run(t, append([]string{"lambda", "wait", kebab(waiter)}, c.args(t, in)...)...)
}

func (c *cli) pages(t *testing.T, operation, list string, in object, size int) ([]int, []any, reply) {
	t.Helper()
	args := append([]string{"lambda", kebab(operation), "--page-size", fmt.Sprint(size)}, c.args(t, in)...)
	a := c.run(t, args...)
	all, _ := a.Out[list].([]any)
	return nil, all, a // the CLI puts the pages together
}
