package console

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/journal"
	"github.com/alcove-run/alcove/test/testnode"
)

// known is what a node has in its journal of a tenant.
type known struct {
	tenant                   string
	invocations, errors, p99 int
}

// crowd writes a journal as a node does that many tenants have called today, and gives
// what is in it, by tenant.
func crowd(t *testing.T, data string, n int) []known {
	t.Helper()
	j, err := journal.Open(journal.Config{Dir: filepath.Join(data, "journal"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var all []known
	defer func(began time.Time) { t.Logf("the journal was written in %v", time.Since(began)) }(time.Now())
	began := time.Now().Add(-time.Minute)
	for i := range n {
		// In no order that is another's.
		k := known{tenant: fmt.Sprintf("customer-%04d", i), invocations: 2 + i*7%3, errors: i * 11 % 3, p99: 10 + i*1009%n/4}
		for c := range k.invocations {
			took := time.Duration(k.p99) * time.Millisecond
			r := &alcove.Report{RequestID: uuid.NewString(), FunctionID: "6a1f6f0e-0000-4000-8000-000000000001", Function: "shop", Version: "$LATEST", Tenant: alcove.Tenant(k.tenant),
				Environment: fmt.Sprintf("%032x", i), Isolation: "namespace", Started: began, Duration: took, Billed: took, Start: alcove.StartWarm, Status: alcove.StatusSuccess,
				MemorySize: 128, MaxMemoryUsed: 20, Architecture: "x86_64", Ephemeral: 512, Bound: c == 0}
			if c < k.errors {
				r.Status, r.ErrorType = alcove.StatusError, "Unhandled"
			}
			if err := j.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, k)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// inRow finds the tenants of a page, in their order.
var inRow = regexp.MustCompile(`<th scope="row"><a href="/console/tenant\?tenant=([^"]+)"`)

// TestTenantsByTheThousands has a list of as many as a node may have: each order is the
// right one, and its pages go on where the one before ends.
func TestTenantsByTheThousands(t *testing.T) {
	t.Parallel()
	const count = 3200
	data := t.TempDir()
	all := crowd(t, data, count)
	n := testnode.Start(t, program, data, "--isolation", "namespace", "--auth", "none")
	get := func(query string) (tenants []string, page string) {
		t.Helper()
		began := time.Now()
		resp, err := http.Get(n.URL + "/console/tenants?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", query, resp.Status, err)
		}
		t.Logf("%s: %d KB after %v", query, len(b)>>10, time.Since(began).Round(time.Millisecond))
		if len(b) > 100<<10 {
			t.Errorf("%s is a page of %d bytes, want at most 100 KB", query, len(b))
		}
		for _, m := range inRow.FindAllStringSubmatch(string(b), -1) {
			tenant, err := url.QueryUnescape(html.UnescapeString(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			tenants = append(tenants, tenant)
		}
		return tenants, string(b)
	}
	// The ledger and the metrics read the journal when the node has started.
	testnode.Eventually(t, "all is counted", func() bool {
		_, page := get("sort=p99")
		return strings.Contains(page, "3200 tenants") && strings.Contains(page, " ms")
	})
	by := func(compare func(a, b known) int) (want []string) {
		sorted := slices.SortedFunc(slices.Values(all), func(a, b known) int { return cmp.Or(compare(a, b), cmp.Compare(a.tenant, b.tenant)) })
		for _, k := range sorted {
			want = append(want, k.tenant)
		}
		return want
	}
	same := func(a, b known) int { return 0 }
	for sort, compare := range map[string]func(a, b known) int{
		"tenant": same, "throttles": same, "environments": same, "busy": same, "memory": same,
		"invocations": func(a, b known) int { return b.invocations - a.invocations },
		"errors":      func(a, b known) int { return b.errors - a.errors },
		"cost":        func(a, b known) int { return b.invocations*b.p99 - a.invocations*a.p99 },
	} {
		got, _ := get("sort=" + sort)
		want := by(compare)[:50]
		if sort == "cost" { // requests cost too: the dearest are the longest
			want, got = want[:1], got[:1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %s: %q, want %q", sort, got, want)
		}
	}
	slow, _ := get("sort=p99") // in classes of some per cent
	if at := slices.IndexFunc(all, func(k known) bool { return k.tenant == slow[0] }); all[at].p99 < count/4*9/10 {
		t.Errorf("by p99 the first is %+v", all[at])
	}

	if got, page := get("search=-012&sort=tenant"); !slices.Equal(got, []string{"customer-0120", "customer-0121", "customer-0122", "customer-0123", "customer-0124", "customer-0125",
		"customer-0126", "customer-0127", "customer-0128", "customer-0129"}) || !strings.Contains(page, "10 tenants") {
		t.Errorf("the search has %q", got)
	}
	// A page goes on where the one before it ends, up to the last.
	want := by(func(a, b known) int { return b.errors - a.errors })
	for _, at := range []int{0, 50, 1600, 3100, 3150} {
		tenants, page := get(fmt.Sprintf("from=%d&sort=errors", at))
		if !slices.Equal(tenants, want[at:at+50]) {
			t.Errorf("from %d there is %q", at, tenants)
		}
		if next := strings.Contains(page, `href="?`+html.EscapeString(fmt.Sprintf("from=%d&sort=errors", at+50))+`" rel="next"`); next != (at+50 < count) {
			t.Errorf("from %d there is a next page: %v", at, next)
		}
	}
}
