package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// TestWhatGoesOnIsAskedForAgain asks again of a call that goes on: it has one record while
// it is allowed, and what of tenants is seen is what the policy says now.
func TestWhatGoesOnIsAskedForAgain(t *testing.T) {
	k := openKept(t, t.TempDir())
	now := noon
	k.config.Now = func() time.Time { return now }
	until := noon.Add(time.Hour).UTC().Format(time.RFC3339)
	made, _, err := k.CreateKey(t.Context(), alcove.Caller{}, "shift", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"alcove:GetLogs","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":"alcove:GetLogs","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"green"},"DateLessThan":{"aws:CurrentTime":%q}}},
		{"Effect":"Deny","Action":"alcove:GetLogs","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":%q}}}]}`, until, noon.Add(2*time.Hour).UTC().Format(time.RFC3339)))
	if err != nil {
		t.Fatal(err)
	}
	caller := alcove.Caller{AccessKeyID: made.AccessKeyID, Account: place.Account}
	o := Operation{Action: "alcove:GetLogs", Function: alcove.Ref{Name: "f"}, PerTenant: true, RequestID: "r"}
	had := len(k.records)
	for i, c := range []struct {
		at           time.Duration
		allowed      bool
		green        bool
		moreRecorded int
	}{{0, true, true, 1}, {time.Minute, true, true, 1}, {90 * time.Minute, true, false, 1}, {3 * time.Hour, false, false, 2}} {
		now, o.Again = noon.Add(c.at), i > 0
		scope, err := k.Authorize(caller, o)
		if (err == nil) != c.allowed || len(k.records)-had != c.moreRecorded {
			t.Fatalf("after %v: %v, %d records", c.at, err, len(k.records)-had)
		}
		if c.allowed && (!scope.Sees("blue") || scope.Sees("green") != c.green || scope.Sees("red")) {
			t.Errorf("after %v it sees blue %v, green %v, red %v", c.at, scope.Sees("blue"), scope.Sees("green"), scope.Sees("red"))
		}
	}
	if last := k.records[len(k.records)-1]; last.Allowed || last.RequestID != "r" {
		t.Errorf("the last record is %+v", last)
	}
}
