package nodeapi

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/journal"
	"github.com/alcove-run/alcove/usage"
)

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	place, keys := realKeys(t, dir)
	root, _ := keys.RootKey()
	operator := alcove.Caller{AccessKeyID: root.ID}
	bound, _, err := keys.CreateKey(t.Context(), operator, "blue", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"alcove:*","Resource":"*",
		"Condition":{"StringEquals":{"lambda:TenantId":"blue"}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ledger, err := usage.Open(usage.Config{Dir: filepath.Join(dir, "usage"), Journal: j, Prices: usage.ListPrices()})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	now := time.Now()
	for _, tenant := range []alcove.Tenant{"blue", "red", "red", ""} {
		if err := j.Append(&alcove.Report{RequestID: "8a0f2a80-2d26-46f6-9391-156d55d6cfda", FunctionID: "id", Function: "f", Tenant: tenant, Started: now,
			Billed: time.Second, MemorySize: 1024, Status: alcove.StatusSuccess}); err != nil {
			t.Fatal(err)
		}
	}
	caller := operator
	h := New(Config{Place: place, Usage: ledger, Authorize: keys.Authorize, Log: slog.New(slog.DiscardHandler),
		Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return caller, nil }})
	for _, c := range []struct {
		key, path string
		status    int
		want, not string
	}{
		{"root", "usage?by=tenant", 200, `"total":{"invocations":4`, "\x00"},
		{"root", "usage?tenant=red", 200, `"total":{"invocations":2`, "\x00"},
		{"root", "usage?tenant=", 200, `"total":{"invocations":1`, "\x00"},
		{"root", "usage?function=f", 200, `"total":{"invocations":4`, "\x00"},
		{"root", "usage?function=arn:aws:lambda:us-east-1:000000000000:function:f", 200, `"total":{"invocations":4`, "\x00"},
		{"root", "usage?function=g&by=day", 200, `"rows":[],"total":{"invocations":0`, "\x00"},
		{"root", "usage?format=csv&by=tenant,day", 200, "\n" + now.UTC().Format(time.DateOnly) + ",red,2,0", "total"},
		{"root", "usage/entries", 200, `"tenant":"red"`, "\x00"},
		{"blue", "usage?by=tenant", 200, `"total":{"invocations":1`, "red"},
		{"blue", "usage", 200, `"total":{"invocations":1`, "red"},
		{"blue", "usage?by=function", 200, `"total":{"invocations":1`, "red"},
		{"blue", "usage?tenant=red", 200, `"total":{"invocations":0`, `"invocations":2`},
		{"blue", "usage?format=csv&by=tenant", 200, "\nblue,1,0", "red"},
		{"blue", "usage/entries", 200, `"tenant":"blue"`, "red"},
		{"root", "usage?by=colour", 400, "by is tenant", "rows"},
		{"root", "usage?form=csv", 400, "no parameter", "rows"},
		{"root", "usage?format=xml", 400, "format is", "rows"},
		{"root", "usage?from=yesterday", 400, "from is no day", "rows"},
		{"root", "usage?from=2026-11-02&to=2026-11-02", 400, "after from", "rows"},
		{"root", "usage?tenant=%00", 400, alcove.CodeValidation, "rows"},
		{"root", "usage/entries?limit=0", 400, "limit has to be", "requestId"},
		{"root", "usage/entries?after=x", 400, "after has to be", "requestId"},
	} {
		if caller = operator; c.key == "blue" {
			caller = alcove.Caller{AccessKeyID: bound.AccessKeyID, ARN: place.UserARN("blue"), Account: place.Account}
		}
		status, body := ask(h, "GET", c.path, "", "")
		if status != c.status || !strings.Contains(body, c.want) || strings.Contains(body, c.not) {
			t.Errorf("%s as %s: %d %s", c.path, c.key, status, body)
		}
	}
}

// An answer that fails on its way is cut off, not ended.
func TestAnswerThatFailsIsCutOff(t *testing.T) {
	b := &begun{w: httptest.NewRecorder()}
	if err := b.end(errors.New("early")); err == nil || err.Error() != "early" {
		t.Errorf("%v", err)
	}
	if _, err := b.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("not cut off")
		}
	}()
	_ = b.end(errors.New("late"))
}
