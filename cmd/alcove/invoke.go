package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// invokeCmd is one synchronous invocation.
type invokeCmd struct {
	clientFlags
	Function string `arg:"" help:"Name or ARN of the function."`
	Tenant   string `help:"Tenant id, for a function with tenant isolation." placeholder:"ID" env:"-"`
	Payload  string `help:"The event: JSON, @FILE, or - for standard input." default:"{}" env:"-"`
	Event    bool   `help:"Have the event kept and run later; prints the request id of its runs." env:"-"`
}

var errFunctionFailed = errors.New("the function failed")

// Run implements the command.
func (c *invokeCmd) Run(ctx context.Context) error {
	if err := checkTenant(c.Tenant); err != nil {
		return err
	}
	payload, err := readPayload(c.Payload)
	if err != nil {
		return fmt.Errorf("--payload: %w: give the event as JSON, @ and the name of a file that has it, or - and the event on standard input", err)
	}
	client, err := c.lambda()
	if err != nil {
		return err
	}
	in := &lambda.InvokeInput{FunctionName: &c.Function, Payload: payload, LogType: types.LogTypeTail}
	if c.Tenant != "" {
		in.TenantId = &c.Tenant
	}
	if c.Event {
		in.InvocationType, in.LogType = types.InvocationTypeEvent, types.LogTypeNone
	}
	out, err := client.Invoke(ctx, in, func(o *lambda.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("X-Alcove-Explain", "1"))
	})
	if err != nil {
		return c.explain(err)
	}
	if c.Event {
		id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
		fmt.Println(printable(id))
		return nil
	}
	if err := writePayload(os.Stdout, out.Payload); err != nil {
		return err
	}
	if tail, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult)); err == nil && len(tail) > 0 {
		fmt.Fprintf(os.Stderr, "--- log\n%s\n", strings.TrimRight(printable(string(tail)), "\n"))
	}
	if start, why := startHeaders(out.ResultMetadata); why != "" {
		fmt.Fprintf(os.Stderr, "--- %s start: %s\n", start, printable(why))
	} else if start != "" {
		fmt.Fprintf(os.Stderr, "--- %s start\n", start)
	}
	if out.FunctionError != nil {
		return errFunctionFailed
	}
	return nil
}

// writePayload writes what the function answered: every byte of it, but to a
// terminal only what does not drive it.
func writePayload(f *os.File, payload []byte) error {
	if isTerminal(f) {
		payload = []byte(printable(string(payload)))
	}
	_, err := f.Write(append(payload, '\n'))
	return err
}

// startHeaders are how the invocation found its environment (warm, stock,
// runtime-stock, sandbox or cold), and why it found nothing quicker.
func startHeaders(m middleware.Metadata) (start, why string) {
	if resp, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response); ok {
		return resp.Header.Get("X-Alcove-Start"), resp.Header.Get("X-Alcove-Start-Reason")
	}
	return "", ""
}

func readPayload(s string) ([]byte, error) {
	switch {
	case s == "-":
		return io.ReadAll(os.Stdin)
	case strings.HasPrefix(s, "@"):
		return os.ReadFile(s[1:])
	}
	return []byte(s), nil
}
