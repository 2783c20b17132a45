package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alcove-run/alcove/test/leaktest"
)

// leaktestCmd finds out whether a service keeps tenants apart. The service may
// be any that speaks Lambda's API; AWS's own is reached by naming its endpoint.
type leaktestCmd struct {
	clientFlags
	Runtime   []string `help:"Runtimes to test on; names that begin with python and nodejs are understood." default:"python3.13,nodejs22.x" env:"-"`
	Role      string   `help:"Role of the functions that are made." default:"arn:aws:iam::000000000000:role/alcove" env:"-"`
	Tenants   int      `help:"How many tenants invoke all at once." default:"20" env:"-"`
	PerTenant int      `help:"How many invocations each of them makes." default:"3" env:"-"`
}

// chainTime bounds the search for credentials, which may lead to a process or an
// address that does not answer.
const chainTime = 3 * time.Second

var errLeak = errors.New("the service does not keep tenants apart: see the rows with FAIL")

// Run implements the command.
func (c *leaktestCmd) Run(ctx context.Context) error {
	client, err := c.anyLambda(ctx)
	if err != nil {
		return err
	}
	report, err := leaktest.Run(ctx, leaktest.Config{
		Client: client, Runtimes: c.Runtime, Role: c.Role, Tenants: c.Tenants, PerTenant: c.PerTenant,
		Progress: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+" …\n", args...) },
	})
	if send := (*smithyhttp.RequestSendError)(nil); errors.As(err, &send) {
		return c.explain(err) // there is nothing to report of
	}
	if report != nil {
		err = errors.Join(err, report.Write(os.Stdout))
		if report.Failed() > 0 {
			err = errors.Join(err, errLeak)
		}
	}
	return err
}

// anyLambda is a client with credentials of AWS's usual chain, if it has any,
// else with those of a node on this machine. The address at which a cloud gives
// a machine's own is left out of the chain: nobody meant those.
func (c *leaktestCmd) anyLambda(ctx context.Context) (*lambda.Client, error) {
	if c.Data != "" {
		return c.lambda()
	}
	conf, err := config.LoadDefaultConfig(ctx, config.WithRegion(c.Region), config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return nil, err
	}
	if conf.Credentials != nil {
		brief, cancel := context.WithTimeout(ctx, chainTime)
		defer cancel()
		if _, err := conf.Credentials.Retrieve(brief); err == nil {
			return lambda.NewFromConfig(conf, func(o *lambda.Options) { o.BaseEndpoint = &c.Endpoint }), nil
		}
	}
	return c.lambda()
}
