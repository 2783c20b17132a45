package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/alcove-run/alcove/nodeapi"
)

// keysCmd makes and removes access keys.
type keysCmd struct {
	Create  keysCreateCmd  `cmd:"" help:"Make an access key that may do what a policy says; its secret is shown this once."`
	List    keysListCmd    `cmd:"" help:"List the access keys that were made."`
	Show    keysShowCmd    `cmd:"" help:"Show the policy of an access key."`
	Enable  keysEnableCmd  `cmd:"" help:"Accept an access key again."`
	Disable keysDisableCmd `cmd:"" help:"Refuse an access key from now on."`
	Delete  keysDeleteCmd  `cmd:"" help:"Remove an access key."`
}

// keyFlags name a key.
type keyFlags struct {
	clientFlags
	Name string `arg:"" help:"The key's name, which is the user's in its ARN."`
}

func (k keyFlags) path() string { return nodeapi.Prefix + "keys/" + nodeapi.Segment(k.Name) }

type keysCreateCmd struct {
	keyFlags
	Policy string `help:"File with the policy document; - is standard input." required:"" placeholder:"FILE" env:"-"`
	JSON   bool   `name:"json" help:"For programs: the key as a JSON object." env:"-"`
}

// Run implements the command.
func (c *keysCreateCmd) Run(ctx context.Context) error {
	document, err := readPolicy(c.Policy)
	if err != nil {
		return err
	}
	// As text, so that the node is what judges it.
	body, err := json.Marshal(map[string]string{"name": c.Name, "policy": string(document)})
	if err != nil {
		return err
	}
	var k nodeapi.AccessKey
	if err := c.call(ctx, http.MethodPost, nodeapi.Prefix+"keys", body, &k); err != nil {
		return err
	}
	warn(k.Warnings)
	if c.JSON {
		k.Policy = nil
		return json.NewEncoder(os.Stdout).Encode(k)
	}
	fmt.Printf("access key of %s, shown once:\n  AWS_ACCESS_KEY_ID=%s\n  AWS_SECRET_ACCESS_KEY=%s\n", printable(k.ARN), printable(k.AccessKeyID), printable(k.Secret))
	return nil
}

// maxPolicyFile bounds what is read of a policy, in bytes.
const maxPolicyFile = 32 << 10

// readPolicy reads the policy document that --policy names: a file, or - for
// standard input. Its errors name the flag.
func readPolicy(file string) ([]byte, error) {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--policy: %w: name a file with an IAM policy (docs/operations.md shows some), or give - and the policy on standard input", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxPolicyFile+1))
	if err != nil {
		return nil, fmt.Errorf("--policy: %w: name a file with an IAM policy", err)
	}
	if len(b) > maxPolicyFile {
		return nil, fmt.Errorf("--policy: %s is longer than %d bytes: no policy is", file, maxPolicyFile)
	}
	return b, nil
}

type keysListCmd struct{ clientFlags }

// Run implements the command.
func (c *keysListCmd) Run(ctx context.Context) error {
	var answer struct{ Keys []nodeapi.AccessKey }
	if err := c.getJSON(ctx, nodeapi.Prefix+"keys", nil, &answer); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tACCESS KEY ID\tSTATUS\tCREATED")
	for _, k := range answer.Keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", printable(k.Name), printable(k.AccessKeyID), statusOf(k), k.Created.Format(time.RFC3339))
	}
	return w.Flush()
}

func statusOf(k nodeapi.AccessKey) string {
	if k.Enabled {
		return "enabled"
	}
	return "disabled"
}

type keysShowCmd struct{ keyFlags }

// Run implements the command.
func (c *keysShowCmd) Run(ctx context.Context) error {
	var k nodeapi.AccessKey
	if err := c.call(ctx, http.MethodGet, c.path(), nil, &k); err != nil {
		return err
	}
	var document bytes.Buffer
	if err := json.Indent(&document, k.Policy, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Println(printable(document.String()))
	return err
}

type keysEnableCmd struct{ keyFlags }

// Run implements the command.
func (c *keysEnableCmd) Run(ctx context.Context) error { return c.set(ctx, true) }

type keysDisableCmd struct{ keyFlags }

// Run implements the command.
func (c *keysDisableCmd) Run(ctx context.Context) error { return c.set(ctx, false) }

func (k keyFlags) set(ctx context.Context, enabled bool) error {
	var answer nodeapi.AccessKey
	body := fmt.Appendf(nil, `{"enabled":%v}`, enabled)
	if err := k.call(ctx, http.MethodPut, k.path(), body, &answer); err != nil {
		return err
	}
	fmt.Printf("%s is %s\n", printable(answer.Name), statusOf(answer))
	return nil
}

type keysDeleteCmd struct{ keyFlags }

// Run implements the command.
func (c *keysDeleteCmd) Run(ctx context.Context) error {
	var k nodeapi.AccessKey
	if err := c.call(ctx, http.MethodDelete, c.path(), nil, &k); err != nil {
		return err
	}
	fmt.Printf("%s is deleted\n", printable(k.Name))
	return nil
}
