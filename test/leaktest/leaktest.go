// Package leaktest finds out whether a Lambda-compatible service keeps tenants
// apart. It is what `alcove leaktest` runs: it deploys functions of its own
// through the official SDK, invokes them for several tenants in turns and all
// at once, and reports what one tenant found of another.
//
// It knows nothing of the service but the Lambda API, so it says the same of
// any. A service that ignores tenants fails; one that refuses what a check needs
// is reported as not supporting it.
package leaktest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Config is what a run needs.
type Config struct {
	Client *lambda.Client
	// Runtimes are the Lambda runtime names to test on; those that begin with
	// "python" and "nodejs" are understood.
	Runtimes []string
	// Role is the functions' role ARN.
	Role string
	// Tenants and PerTenant size the crowd: so many tenants, each with so many
	// invocations, all at once.
	Tenants, PerTenant int
	// Progress is told what is being done, in one line at a time. It may be nil.
	Progress func(format string, args ...any)
}

// Verdict is what a check came to.
type Verdict string

// The verdicts.
const (
	Pass        Verdict = "PASS"
	Fail        Verdict = "FAIL"
	Unsupported Verdict = "not supported by this service"
)

// Row is one check on one runtime.
type Row struct {
	Runtime string
	Check   string
	Verdict Verdict
	Seen    string // one sentence
}

// Report is what a run found.
type Report struct {
	Rows  []Row
	Notes []string
}

// Failed counts the rows that failed.
func (r *Report) Failed() int {
	n := 0
	for _, row := range r.Rows {
		if row.Verdict == Fail {
			n++
		}
	}
	return n
}

// Run tests the service. Its error says that something could not be tested; what
// was found about tenants is in the report. The functions that it made are
// deleted before it returns, whatever happens.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Tenants < 2 || cfg.PerTenant < 1 || len(cfg.Runtimes) == 0 {
		return nil, fmt.Errorf("leaktest: needs a runtime, 2 tenants and 1 invocation of each at least")
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, ...any) {}
	}
	report := &Report{}
	var errs []error
	for _, runtime := range cfg.Runtimes {
		s := &session{cfg: cfg, report: report, runtime: runtime, run: newID()}
		if err := s.all(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", runtime, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return report, errors.Join(errs...)
}

// newID is different in every run.
func newID() string {
	var b [5]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// session is the test of one runtime.
type session struct {
	cfg     Config
	report  *Report
	runtime string
	run     string
	// name is the function with tenant isolation, ordinary one without.
	name, ordinary string
	made           []string
	// isolated says that the service took TenancyConfig.
	isolated bool
	// everybody is the tenants that have left marks.
	everybody []string
}

// cleanTime bounds the cleaning up, which is done even after an interrupt.
const cleanTime = 30 * time.Second

func (s *session) all(ctx context.Context) (err error) {
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		err = errors.Join(err, s.clean(clean))
	}()
	s.cfg.Progress("%s: creating functions", s.runtime)
	if err := s.create(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"tenants a and b in turns", s.turns},
		{"a crowd of tenants", s.crowd},
		{"tenant ids that look alike", s.lookalikes},
		{"requests that must be refused", s.refusals},
		{"the same name made again", s.madeAgain},
	} {
		s.cfg.Progress("%s: %s", s.runtime, step.what)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (s *session) row(check string, v Verdict, format string, args ...any) {
	s.report.Rows = append(s.report.Rows, Row{Runtime: s.runtime, Check: check, Verdict: v, Seen: fmt.Sprintf(format, args...)})
}

// verdict is Pass or Fail.
func verdict(ok bool) Verdict {
	if ok {
		return Pass
	}
	return Fail
}
