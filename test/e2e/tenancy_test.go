package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"golang.org/x/sync/errgroup"
)

// whoAmI answers with an id that was made when the module was loaded.
const whoAmI = `
import time, uuid
me, count, seen = str(uuid.uuid4()), 0, set()
def handler(event, context):
    global count
    count += 1
    seen.add(context.tenant_id)
    time.sleep(event.get('seconds', 0))
    return {'me': me, 'count': count, 'tenant': context.tenant_id, 'seen': sorted(map(str, seen))}
`

// identity is what whoAmI answers.
type identity struct {
	Me     string
	Count  int
	Tenant string
	Seen   []string
}

// TestTenantsInTurns is the main job: A, B, A, B, each in an environment of its
// own that is found again.
func TestTenantsInTurns(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
		of := map[string]string{}
		for round := 1; round <= 3; round++ {
			for _, tenant := range []string{"a", "b"} {
				var got identity
				inv := n.run(t, f, call{tenant: tenant}, &got)
				if round == 1 {
					of[tenant] = got.Me
				}
				if got.Count != round || got.Tenant != tenant || got.Me != of[tenant] || len(got.Seen) != 1 {
					t.Errorf("round %d, tenant %s: %+v", round, tenant, got)
				}
				if warm := inv.start == "warm"; warm != (round > 1) {
					t.Errorf("round %d, tenant %s: a %s start", round, tenant, inv.start)
				}
			}
		}
		if of["a"] == of["b"] {
			t.Error("one environment answered for both")
		}
		envs := n.environments(t, f)
		if len(envs) != 2 || envs[0].LogStream == envs[1].LogStream || envs[0].ID == envs[1].ID {
			t.Errorf("environments: %+v", envs)
		}
		for _, e := range envs {
			if !e.Bound || e.Invocations != 3 || e.Tenant != "a" && e.Tenant != "b" {
				t.Errorf("environment: %+v", e)
			}
		}
		eventually(t, "idle environments are frozen", func() bool {
			for _, e := range n.environments(t, f) {
				if !e.Frozen {
					return false
				}
			}
			return true
		})
	})
}

// TestTenantIDs checks AWS's answers to ids that are missing, unwanted or wrong.
func TestTenantIDs(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	plain := n.deploy(t, python, files{"main.py": whoAmI})
	_, err := n.try(t, f, call{})
	wantError(t, err, 400, "InvalidParameterValueException",
		"The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.")
	_, err = n.try(t, plain, call{tenant: "blue"})
	wantError(t, err, 400, "InvalidParameterValueException",
		"The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again.")
	for _, id := range []string{"bl,ue", "blue;", "blü", "a\tb", "two  spaces", strings.Repeat("x", 257)} {
		_, err := n.try(t, f, call{tenant: id})
		wantError(t, err, 400, "ValidationException", "at 'tenantId' failed to satisfy constraint")
	}
	for _, id := range []string{"a", "a b", "A-Z_0.9:/=+-@", strings.Repeat("x", 256)} {
		var got identity
		if n.run(t, f, call{tenant: id}, &got); got.Tenant != id {
			t.Errorf("for %q, the handler saw %q", id, got.Tenant)
		}
	}
	var got identity
	if n.run(t, plain, call{}, &got); got.Tenant != "" {
		t.Errorf("without tenants, the handler saw %q", got.Tenant)
	}
}

// TestTenantHeader sends what no SDK sends: the other spelling, both, and twice.
func TestTenantHeader(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	send := func(headers http.Header) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/2015-03-31/functions/"+f+"/invocations", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = headers
		const hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // SHA-256 of {}
		if err := v4.NewSigner().SignHTTP(t.Context(), n.key, req, hash, "lambda", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		name    string
		headers http.Header
		want    int
	}{
		{"the model's", http.Header{"X-Amz-Tenant-Id": {"blue"}}, 200},
		{"the documentation's", http.Header{"X-Amzn-Tenant-Id": {"blue"}}, 200},
		{"both", http.Header{"X-Amz-Tenant-Id": {"blue"}, "X-Amzn-Tenant-Id": {"blue"}}, 400},
		{"twice", http.Header{"X-Amz-Tenant-Id": {"blue", "green"}}, 400},
		{"empty", http.Header{"X-Amz-Tenant-Id": {""}}, 400},
	} {
		if got := send(c.headers); got != c.want {
			t.Errorf("%s: status %d, want %d", c.name, got, c.want)
		}
	}
}

// tenants counts who was answered by which environment.
type tenants struct {
	mu sync.Mutex
	of map[string]string // environment -> tenant; guarded by mu
}

func (m *tenants) add(t *testing.T, tenant string, got identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if had, there := m.of[got.Me]; there && had != tenant {
		t.Errorf("environment %s answered for %q and for %q", got.Me, had, tenant)
	}
	m.of[got.Me] = tenant
	if got.Tenant != tenant || len(got.Seen) != 1 || got.Seen[0] != tenant {
		t.Errorf("invoked for %q: %+v", tenant, got)
	}
}

// TestCrowd sends 200 invocations for 20 tenants at the same time.
func TestCrowd(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": whoAmI}, isolated, timeout(60))
		m := &tenants{of: map[string]string{}}
		var g errgroup.Group
		for i := range 200 {
			g.Go(func() error {
				tenant := fmt.Sprintf("tenant %d", i%20)
				var got identity
				inv, err := n.try(t, f, call{tenant: tenant})
				if err != nil {
					return err
				}
				if err := decode(inv, &got); err != nil {
					return err
				}
				m.add(t, tenant, got)
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		if len(m.of) < 20 {
			t.Errorf("%d environments for 20 tenants", len(m.of))
		}
	})
}

// TestRandomTenants invokes in random order for many tenants at a cap that makes
// environments come and go all the time: none ever answers for two.
func TestRandomTenants(t *testing.T) {
	for _, c := range []struct {
		driver                  string
		tenants, calls, clients int
		concurrency             string
	}{
		{"namespace", 120, 400, 8, "24"},
		{"gvisor", 40, 120, 4, "12"},
	} {
		t.Run(c.driver, func(t *testing.T) {
			n := start(t, "--isolation", c.driver, "--concurrency", c.concurrency, "--tenant-idle-min", "0s", "--log-level", "warn")
			f := n.deploy(t, python, files{"main.py": whoAmI}, isolated, timeout(60))
			m := &tenants{of: map[string]string{}}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 1))
			orders := make([][]int, c.clients)
			for i := range c.calls {
				// Some tenants come often, most of them seldom.
				k := int(float64(c.tenants) * r.Float64() * r.Float64())
				orders[i%c.clients] = append(orders[i%c.clients], k)
			}
			var g errgroup.Group
			for _, order := range orders {
				g.Go(func() error {
					for _, k := range order {
						tenant := fmt.Sprintf("t/%d", k)
						inv, err := n.try(t, f, call{tenant: tenant})
						if err != nil {
							return err
						}
						var got identity
						if err := decode(inv, &got); err != nil {
							return err
						}
						m.add(t, tenant, got)
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			t.Logf("%d invocations, %d environments", c.calls, len(m.of))
			if len(m.of) < c.tenants/2 {
				t.Errorf("only %d environments: nothing was evicted", len(m.of))
			}
		})
	}
}

// TestTenancyIsForLife checks that a function cannot change sides.
func TestTenancyIsForLife(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
	mode := func(c *types.TenancyConfig) string {
		if c == nil {
			return ""
		}
		return string(c.TenantIsolationMode)
	}
	up, err := n.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &f})
	if err != nil || mode(up.TenancyConfig) != "PER_TENANT" {
		t.Errorf("after an update: %v, %v", up, err)
	}
	n.updated(t, f)
	v, err := n.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: &f})
	if err != nil || mode(v.TenancyConfig) != "PER_TENANT" {
		t.Errorf("of a version: %v, %v", v, err)
	}
	_, err = n.try(t, f, call{qualifier: "1"})
	wantError(t, err, 400, "InvalidParameterValueException", "Add a valid tenant ID")
	var latest, one identity
	n.run(t, f, call{tenant: "a"}, &latest)
	n.run(t, f, call{tenant: "a", qualifier: "1"}, &one)
	if latest.Me == one.Me {
		t.Error("two versions share an environment")
	}
}
