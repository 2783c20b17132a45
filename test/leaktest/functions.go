package leaktest

import (
	"archive/zip"
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

//go:embed functions/probe.py
var pythonProbe []byte

//go:embed functions/probe.mjs
var nodeProbe []byte

// event is what the probes are sent; see functions/probe.py.
type event struct {
	Op           string   `json:"op"` // probe, identify or stop
	Run          string   `json:"run"`
	Who          string   `json:"who"`
	Everybody    []string `json:"everybody"`
	Milliseconds int      `json:"milliseconds,omitempty"`
}

// answer is what the probes answer.
type answer struct {
	Environment string  `json:"environment"` // made when the module was loaded
	Tenant      *string `json:"tenant"`
	// Found has, by channel, whose marks were there, and where.
	Found map[string]map[string]string `json:"found"`
	// Planted has, by channel, why no mark could be left; empty if one was.
	Planted   map[string]string `json:"planted"`
	Trouble   map[string]string `json:"trouble"`
	Count     int               `json:"count"`     // of this tenant in this environment
	Everyone  int               `json:"everybody"` // of all tenants in this environment
	logResult string
}

// create makes the two functions. A service that does not take TenancyConfig
// gets an ordinary function in its place, and is tested all the same: it is what
// its users would have.
func (s *session) create(ctx context.Context) error {
	s.name, s.ordinary = "leaktest-"+s.run, "leaktest-"+s.run+"-ordinary"
	s.isolated = true
	err := s.createFunction(ctx, s.name, true)
	if refused(err) {
		s.isolated = false
		s.report.Notes = append(s.report.Notes, fmt.Sprintf(
			"%s: the service refused TenancyConfig (%s); an ordinary function was tested instead.", s.runtime, errorText(err)))
		err = s.createFunction(ctx, s.name, false)
	}
	if err != nil {
		return err
	}
	if s.isolated {
		got, err := s.cfg.Client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &s.name})
		if err != nil {
			return err
		}
		kept := got.TenancyConfig != nil && got.TenancyConfig.TenantIsolationMode == types.TenantIsolationModePerTenant
		seen := "GetFunctionConfiguration answers with the TenancyConfig of CreateFunction"
		if !kept {
			seen = "TenancyConfig was accepted and then dropped: the function has none"
		}
		s.row("TenancyConfig", verdict(kept), "%s.", seen)
	} else {
		s.row("TenancyConfig", Unsupported, "CreateFunction refuses it.")
	}
	return s.createFunction(ctx, s.ordinary, false)
}

// refused says whether the service itself turned a request down.
func refused(err error) bool {
	status, _ := status(err)
	return status >= 400 && status < 500
}

func (s *session) createFunction(ctx context.Context, name string, isolated bool) error {
	code, handler, err := s.code()
	if err != nil {
		return err
	}
	in := &lambda.CreateFunctionInput{
		FunctionName: &name, Runtime: types.Runtime(s.runtime), Handler: &handler, Role: &s.cfg.Role,
		Code: &types.FunctionCode{ZipFile: code}, Timeout: aws.Int32(30), MemorySize: aws.Int32(256),
	}
	if isolated {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	}
	if _, err := s.cfg.Client.CreateFunction(ctx, in); err != nil {
		return err
	}
	s.made = append(s.made, name)
	return lambda.NewFunctionActiveV2Waiter(s.cfg.Client, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, 2*time.Second
	}).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &name}, 3*time.Minute)
}

func (s *session) code() (zipped []byte, handler string, err error) {
	name, text := "probe.py", pythonProbe
	switch {
	case strings.HasPrefix(s.runtime, "python"):
	case strings.HasPrefix(s.runtime, "nodejs"):
		name, text = "probe.mjs", nodeProbe
	default:
		return nil, "", fmt.Errorf("no probe for this runtime: give one that begins with python or nodejs")
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(0o644)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write(text)
	}
	err = errors.Join(err, z.Close())
	return buf.Bytes(), "probe.handler", err
}

// clean takes back what probes left outside their environments, if they could,
// and deletes the functions.
func (s *session) clean(ctx context.Context) error {
	var errs []error
	for _, name := range s.made {
		if name == s.name && len(s.everybody) > 0 {
			// A service that runs functions on the bare machine is left as it was
			// found; for one that confines them this is without effect.
			for _, who := range s.everybody {
				_, _ = s.invoke(ctx, name, who, event{Op: "stop"})
			}
		}
		if _, err := s.cfg.Client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name}); err != nil {
			errs = append(errs, fmt.Errorf("function %s could not be deleted: %w", name, err))
		}
	}
	s.made = nil
	return errors.Join(errs...)
}

// invoke runs the probe for a tenant. A service that refuses the tenant id on
// the ordinary function that stands in for an isolated one gets none: its users
// could not send one either.
func (s *session) invoke(ctx context.Context, name, tenant string, e event) (*answer, error) {
	e.Run, e.Everybody = s.run, s.everybody
	if e.Who == "" {
		e.Who = tenant
	}
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	in := &lambda.InvokeInput{FunctionName: &name, Payload: payload, TenantId: &tenant, LogType: types.LogTypeTail}
	out, err := s.cfg.Client.Invoke(ctx, in, patient)
	if !s.isolated && refused(err) {
		in.TenantId = nil
		out, err = s.cfg.Client.Invoke(ctx, in, patient)
	}
	if err != nil {
		return nil, err
	}
	if out.FunctionError != nil {
		return nil, fmt.Errorf("the probe failed: %.600s", out.Payload)
	}
	a := &answer{}
	if err := json.Unmarshal(out.Payload, a); err != nil {
		return nil, fmt.Errorf("the probe's answer %.200q: %w", out.Payload, err)
	}
	if a.Environment == "" {
		return nil, fmt.Errorf("the service answered %.200q, which is not what the probe answers", out.Payload)
	}
	if tail, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult)); err == nil {
		a.logResult = string(tail)
	}
	return a, nil
}

// patient lets the SDK try throttled calls again: new environments take time.
func patient(o *lambda.Options) { o.RetryMaxAttempts = 10 }
