package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/store"
)

const fn = "arn:aws:lambda:us-east-1:000000000000:function:"

// kept is an Auth over a store, and what it recorded.
type kept struct {
	*Auth
	store    *store.Store
	dir      string
	records  []Record
	failing  error
	policies map[alcove.Ref]string
}

func openKept(t *testing.T, dir string) *kept {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{store: st, dir: dir, policies: map[alcove.Ref]string{}}
	k.Auth, err = Open(t.Context(), Config{File: filepath.Join(dir, "root-key.json"), Mode: ModeSigV4, Place: place, Now: func() time.Time { return noon },
		Keys: st.Bucket(KeysBucket), Tags: func(f string) map[string]string { return map[string]string{"name": f} },
		ResourcePolicy: func(ref alcove.Ref) string { return k.policies[ref] },
		Record: func(r Record) error {
			if k.failing != nil {
				return k.failing
			}
			k.records = append(k.records, r)
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k
}

func (k *kept) close() {
	k.Close()
	k.store.Close()
}

func statement(effect, action, resource, condition string) string {
	if condition == "" {
		condition = "{}"
	}
	return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Action":"` + action + `","Resource":"` + resource + `","Condition":` + condition + `}}`
}

// make makes a key and gives its caller.
func (k *kept) make(t *testing.T, name, document string) (alcove.Caller, Key) {
	t.Helper()
	made, secret, err := k.CreateKey(t.Context(), k.rooted.caller, name, document)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := k.authenticate(t, secret)
	if err != nil || caller.ARN != "arn:aws:iam::000000000000:user/"+name || caller.AccessKeyID != made.AccessKeyID || !strings.HasPrefix(caller.UserID, "AIDA") {
		t.Fatalf("signs as %+v: %v", caller, err)
	}
	return caller, secret
}

func (k *kept) authenticate(t *testing.T, key Key) (alcove.Caller, error) {
	r := httptest.NewRequest("GET", "http://x/2015-03-31/functions", nil)
	s := k.signing()
	s.key = key
	sign(t, r, "", s)
	return k.Authenticate(r, nil)
}

func TestKeysOutliveTheProcessAndEndAtOnce(t *testing.T) {
	dir := t.TempDir()
	k := openKept(t, dir)
	everything := statement("Allow", "*", "*", "")
	caller, key := k.make(t, "ann", everything)
	if _, _, err := k.CreateKey(t.Context(), caller, "ann", everything); code(err) != CodeEntityExists {
		t.Errorf("made twice: %v", err)
	}
	for _, name := range []string{"", "a/b", "a b", strings.Repeat("a", 65)} {
		if _, _, err := k.CreateKey(t.Context(), caller, name, everything); code(err) != alcove.CodeValidation {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, _, err := k.CreateKey(t.Context(), caller, "bob", `{"Statement":[]}`); code(err) != CodeMalformedPolicy {
		t.Errorf("malformed: %v", err)
	}
	k.close()

	k = openKept(t, dir)
	if now, err := k.authenticate(t, key); err != nil || now != caller {
		t.Fatalf("after a restart: %+v, %v", now, err)
	}
	if list := k.AccessKeys(); len(list) != 1 || list[0].Name != "ann" || list[0].Policy != everything || !list[0].Created.Equal(noon) {
		t.Errorf("keys: %+v", list)
	}
	revoked := k.Revoked(caller)
	if _, err := k.SetKeyDisabled(t.Context(), caller, "ann", true); err != nil {
		t.Fatal(err)
	}
	<-revoked
	if _, err := k.authenticate(t, key); code(err) != CodeUnrecognizedClient {
		t.Errorf("disabled: %v", err)
	}
	if _, err := k.Authorize(caller, Operation{Action: "lambda:ListFunctions", Resource: "*"}); code(err) != CodeUnrecognizedClient {
		t.Errorf("authenticated before it was disabled: %v", err)
	}
	if _, err := k.SetKeyDisabled(t.Context(), caller, "ann", false); err != nil {
		t.Fatal(err)
	}
	if _, err := k.authenticate(t, key); err != nil {
		t.Errorf("enabled again: %v", err)
	}
	if err := k.DeleteKey(t.Context(), caller, "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.authenticate(t, key); code(err) != CodeUnrecognizedClient {
		t.Errorf("deleted: %v", err)
	}
	if err := k.DeleteKey(t.Context(), caller, "ann"); code(err) != CodeNoSuchEntity {
		t.Errorf("deleted twice: %v", err)
	}
	<-k.Revoked(caller)
	if k.Revoked(k.rooted.caller) != nil {
		t.Error("the root key is revoked")
	}
	k.close()
	if k = openKept(t, dir); len(k.AccessKeys()) != 0 {
		t.Errorf("back after a restart: %+v", k.AccessKeys())
	}
}

func TestARecordOfAnotherVersionIsNoKey(t *testing.T) {
	k := openKept(t, t.TempDir())
	b := k.store.Bucket(KeysBucket)
	document := `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Odd":{"aws:username":"x"}}}}`
	for name, record := range map[string]string{"odd": `{"name":"odd","accessKeyId":"AKIAODDODDODDODDODDO","secret":"s","policy":` + quoted(document) + `}`, "broken": "{"} {
		if _, err := b.Put(t.Context(), name, []byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	k.make(t, "later", statement("Allow", "*", "*", "")) // behind them in the bucket
	if list := k.AccessKeys(); len(list) != 1 {
		t.Errorf("keys: %+v", list)
	}
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

func TestAuthorize(t *testing.T) {
	k := openKept(t, t.TempDir())
	ann, _ := k.make(t, "ann", statement("Allow", "lambda:Get*", fn+"f*", `{"StringEquals":{"aws:ResourceTag/name":"f"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`))
	ann.Source = netip.MustParseAddr("10.0.0.1")
	get := func(ref alcove.Ref) Operation {
		return Operation{Action: "lambda:GetFunction", Function: ref, RequestID: "r1"}
	}
	if scope, err := k.Authorize(ann, get(alcove.Ref{Name: "f"})); err != nil || !scope.All() {
		t.Errorf("allowed: %v", err)
	}
	const who = "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: lambda:GetFunction on resource: "
	_, err := k.Authorize(ann, get(alcove.Ref{Name: "f2", Qualifier: "1"}))
	if e := alcove.AsError(err); e.Code != CodeAccessDenied || e.Message != who+fn+"f2:1 because no identity-based policy allows the lambda:GetFunction action" {
		t.Errorf("not allowed: %v", err)
	}
	elsewhere := ann
	elsewhere.Source = netip.MustParseAddr("192.0.2.1")
	if _, err := k.Authorize(elsewhere, get(alcove.Ref{Name: "f"})); code(err) != CodeAccessDenied {
		t.Errorf("from elsewhere: %v", err)
	}
	bob, _ := k.make(t, "bob", statement("Deny", "*", "*", ""))
	_, err = k.Authorize(bob, get(alcove.Ref{Name: "f"}))
	if e := alcove.AsError(err); !strings.HasSuffix(e.Message, "with an explicit deny in an identity-based policy") {
		t.Errorf("denied: %v", err)
	}
	if _, err := k.Authorize(bob, Operation{Action: "sts:GetCallerIdentity", Resource: "*", Free: true}); err != nil {
		t.Errorf("free: %v", err)
	}
	if _, err := k.Authorize(k.rooted.caller, get(alcove.Ref{Name: "f"})); err != nil {
		t.Errorf("root: %v", err)
	}
	var seen []string
	for _, r := range k.records {
		if !r.Time.Equal(noon) || r.AccessKeyID == "" || r.Allowed != (r.Reason == "") {
			t.Errorf("record %+v", r)
		}
		allowed := map[bool]string{true: "+", false: "-"}[r.Allowed]
		seen = append(seen, allowed+strings.TrimPrefix(r.Caller, "arn:aws:iam::000000000000:")+" "+strings.TrimPrefix(r.Resource, fn)+" "+r.Source)
	}
	if want := []string{"+user/ann f 10.0.0.1", "-user/ann f2:1 10.0.0.1", "-user/ann f 192.0.2.1", "-user/bob f 192.0.2.1", "+user/bob * 192.0.2.1", "+root f "}; !slices.Equal(seen, want) {
		t.Errorf("recorded %q, want %q", seen, want)
	}
	// What cannot be recorded is done for nobody but root.
	k.failing = errors.New("disk full")
	if _, err := k.Authorize(ann, get(alcove.Ref{Name: "f"})); alcove.AsError(err).Fault != alcove.FaultPlatform {
		t.Errorf("not recorded, but: %v", err)
	}
	if _, err := k.Authorize(bob, get(alcove.Ref{Name: "f"})); code(err) != CodeAccessDenied {
		t.Errorf("denied and not recorded: %v", err)
	}
	if _, err := k.Authorize(k.rooted.caller, get(alcove.Ref{Name: "f"})); err != nil {
		t.Errorf("root, not recorded: %v", err)
	}
}

func TestInvocationsAreAuthorised(t *testing.T) {
	k := openKept(t, t.TempDir())
	blue := `{"StringEquals":{"lambda:TenantId":"blue"}}`
	bound, _ := k.make(t, "bound", statement("Allow", "lambda:InvokeFunction", fn+"f", blue))
	none, _ := k.make(t, "none", statement("Allow", "lambda:GetFunction", "*", ""))
	allowed := func(who alcove.Caller, ref alcove.Ref, tenant alcove.Tenant) error {
		_, err := k.Authorize(who, Operation{Action: "lambda:InvokeFunction", Function: ref, Tenant: tenant, Invocation: true, Reported: true})
		return err
	}
	f := alcove.Ref{Name: "f"}
	if err := allowed(bound, f, "blue"); err != nil {
		t.Errorf("her own: %v", err)
	}
	for tenant, says := range map[alcove.Tenant]string{"": "action without a tenant id (lambda:TenantId)", "green": `action for the tenant id "green" (lambda:TenantId)`, "blue ": `tenant id "blue "`} {
		if err := allowed(bound, f, tenant); code(err) != CodeAccessDenied || !strings.Contains(err.Error(), says) {
			t.Errorf("for %q: %v", tenant, err)
		}
	}
	if len(k.records) != 3 {
		t.Errorf("an allowed invocation is recorded twice: %+v", k.records)
	}
	policy := func(effect, who string) string {
		return `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s","Effect":"` + effect + `","Principal":` + who + `,"Action":"lambda:InvokeFunction","Resource":"` + fn + `f"}]}`
	}
	k.policies[f] = policy("Allow", `"*"`)
	if err := allowed(none, f, "green"); err != nil {
		t.Errorf("by the function's policy: %v", err)
	}
	if err := allowed(bound, f, "green"); code(err) != CodeAccessDenied {
		t.Errorf("a bound key by the function's policy: %v", err)
	}
	if err := allowed(none, alcove.Ref{Name: "f", Qualifier: "1"}, ""); code(err) != CodeAccessDenied {
		t.Errorf("another qualifier: %v", err)
	}
	k.policies[f] = policy("Deny", `{"AWS":"`+bound.ARN+`"}`)
	if err := allowed(bound, f, "blue"); !strings.HasSuffix(alcove.AsError(err).Message, "with an explicit deny in a resource-based policy") {
		t.Errorf("denied by the function's policy: %v", err)
	}
	if err := allowed(none, f, ""); code(err) != CodeAccessDenied {
		t.Errorf("the policy that was: %v", err)
	}
	k.policies[f] = `{"Statement":[{"Effect":"Allow"}]}`
	if err := allowed(bound, f, "blue"); code(err) != CodeAccessDenied {
		t.Errorf("by a policy that cannot be read: %v", err)
	}
	if err := allowed(k.rooted.caller, f, "blue"); err != nil {
		t.Errorf("root: %v", err)
	}
	k.Failed(none, Operation{Action: "lambda:InvokeFunction", Function: f, Tenant: "blue"}, alcove.NotFound("f"))
	if last := k.records[len(k.records)-1]; !last.Allowed || last.Reason != alcove.CodeResourceNotFound || last.Tenant != "blue" {
		t.Errorf("record of one that was not run: %+v", last)
	}
}

func TestABoundKeySeesItsTenant(t *testing.T) {
	k := openKept(t, t.TempDir())
	document := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":["logs:*","alcove:*"],"Resource":"*"}]}`
	caller, _ := k.make(t, "blue", document)
	scope, err := k.Authorize(caller, Operation{Action: "logs:FilterLogEvents", Resource: "*", PerTenant: true})
	if err != nil {
		t.Fatal(err)
	}
	if scope.All() || !scope.Sees("blue") || scope.Sees("green") || scope.Sees("") {
		t.Errorf("sees blue %v, green %v, nobody's %v", scope.Sees("blue"), scope.Sees("green"), scope.Sees(""))
	}
	_, err = k.Authorize(caller, Operation{Action: "alcove:CreateKey", Resource: "*", Whole: true})
	if code(err) != CodeAccessDenied || !strings.Contains(err.Error(), "bound to tenants") {
		t.Errorf("what is everybody's: %v", err)
	}
	for tenant, says := range map[alcove.Tenant]string{"blue": "", "green": `this is not theirs for the tenant id "green"`, "": "this is not theirs without a tenant id"} {
		_, err = k.Authorize(caller, Operation{Action: "alcove:PurgeQueue", Function: alcove.Ref{Name: "f"}, Tenant: tenant, OfTenant: true})
		if says == "" && err != nil || says != "" && (code(err) != CodeAccessDenied || !strings.Contains(err.Error(), says)) {
			t.Errorf("changes what is %q's: %v", tenant, err)
		}
	}
	free, _ := k.make(t, "free", statement("Allow", "alcove:*", "*", ""))
	if _, err := k.Authorize(free, Operation{Action: "alcove:PurgeQueue", Function: alcove.Ref{Name: "f"}, Tenant: "green", OfTenant: true}); err != nil {
		t.Errorf("a key that is bound to nobody: %v", err)
	}
}

// TestTheRootKeyCostsNothing holds what the path of invocations relies on.
func TestTheRootKeyCostsNothing(t *testing.T) {
	a := open(t, ModeSigV4)
	r := httptest.NewRequest(http.MethodPost, "http://x/", nil)
	o := Operation{Action: "lambda:InvokeFunction", Function: alcove.Ref{Name: "f"}, Invocation: true, Reported: true, Request: r}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.Authorize(a.rooted.caller, o); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAuthorizeInvoke(b *testing.B) {
	st, err := store.Open(context.Background(), store.Config{Dir: filepath.Join(b.TempDir(), "state")})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	a, err := Open(b.Context(), Config{File: filepath.Join(b.TempDir(), "k"), Mode: ModeSigV4, Place: place, Keys: st.Bucket(KeysBucket)})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	key, _, err := a.CreateKey(b.Context(), a.rooted.caller, "ann", statement("Allow", "lambda:InvokeFunction", "*", `{"StringEquals":{"lambda:TenantId":"blue"}}`))
	if err != nil {
		b.Fatal(err)
	}
	caller := a.find(key.AccessKeyID).caller
	o := Operation{Action: "lambda:InvokeFunction", Function: alcove.Ref{Name: "f"}, Tenant: "blue", Invocation: true, Reported: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authorize(caller, o); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLayersHavePolicies: the policy of a layer lets in who has none, denies nobody
// by what it cannot say, and its denial is recorded though it is part of a call.
func TestLayersHavePolicies(t *testing.T) {
	k := openKept(t, t.TempDir())
	const layer = "arn:aws:lambda:us-east-1:000000000000:layer:l:1"
	ann, _ := k.make(t, "ann", statement("Allow", "lambda:CreateFunction", "*", ""))
	bob, _ := k.make(t, "bob", statement("Allow", "lambda:GetLayerVersion", layer, ""))
	eve, _ := k.make(t, "eve", statement("Deny", "lambda:GetLayerVersion", "*", ""))
	of := func(principal string) string {
		return `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s","Effect":"Allow","Principal":` + principal + `,"Action":"lambda:GetLayerVersion","Resource":"` + layer + `"}]}`
	}
	for _, c := range []struct {
		name   string
		caller alcove.Caller
		policy string
		want   string
	}{
		{"nobody lets ann", ann, "", "because no identity-based policy allows the lambda:GetLayerVersion action"},
		{"the layer lets everybody", ann, of(`"*"`), ""},
		{"the layer lets the account, which leaves it to keys", ann, of(`{"AWS":"arn:aws:iam::000000000000:root"}`), "because no identity-based policy allows"},
		{"the layer lets another account", ann, of(`{"AWS":"arn:aws:iam::111111111111:root"}`), "because no identity-based policy allows"},
		{"what cannot be read lets nobody", ann, "{", "because no identity-based policy allows"},
		{"the key lets bob", bob, "", ""},
		{"the key denies eve", eve, of(`"*"`), "with an explicit deny in an identity-based policy"},
	} {
		k.records = nil
		_, err := k.Authorize(c.caller, Operation{Action: "lambda:GetLayerVersion", Resource: layer, Policy: c.policy, Implied: true})
		if c.want == "" {
			if err != nil || len(k.records) != 0 {
				t.Errorf("%s: %v, %d records", c.name, err, len(k.records))
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "is not authorized to perform: lambda:GetLayerVersion on resource: "+layer+" "+c.want) || len(k.records) != 1 || k.records[0].Allowed {
			t.Errorf("%s: %v, records %+v", c.name, err, k.records)
		}
	}
}

// Conditions on tags hold of what is no function, too.
func TestTagsOfResources(t *testing.T) {
	k := openKept(t, t.TempDir())
	who, _ := k.make(t, "tagged", statement("Allow", "lambda:GetCodeSigningConfig", "*", `{"StringEquals":{"aws:ResourceTag/team":"a"}}`))
	for team, want := range map[string]string{"a": "", "b": CodeAccessDenied} {
		_, err := k.Authorize(who, Operation{Action: "lambda:GetCodeSigningConfig", Resource: "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-1", Tags: map[string]string{"team": team}})
		if got := ""; err != nil {
			if got = code(err); got != want {
				t.Errorf("of %s: %v", team, err)
			}
		} else if want != "" {
			t.Errorf("of %s: allowed", team)
		}
	}
}
