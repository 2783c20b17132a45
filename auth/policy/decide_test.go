package policy

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const (
	fn   = "arn:aws:lambda:us-east-1:000000000000:function:"
	user = "arn:aws:iam::000000000000:user/ann"
)

// request is one that ann makes; change makes it another.
func request(action, resource string, change ...func(*Request)) *Request {
	r := &Request{Action: action, Resource: resource, Region: "us-east-1", FunctionARN: fn + "f",
		Principal: Principal{ARN: user, Account: "000000000000", UserID: "AIDAANN", Name: "ann"},
		Time:      time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), Source: netip.MustParseAddr("10.1.2.3"),
		Tags: map[string]string{"Team": "red", "empty": ""}}
	for _, c := range change {
		c(r)
	}
	return r
}

func tenant(t string) func(*Request) { return func(r *Request) { r.Tenant = t } }

func parse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return d
}

// doc is a document of statements.
func doc(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func allow(rest string) string { return `{"Effect":"Allow",` + rest + `}` }
func deny(rest string) string  { return `{"Effect":"Deny",` + rest + `}` }

const everything = `"Action":"*","Resource":"*"`

func TestDecide(t *testing.T) {
	invoke := request("lambda:InvokeFunction", fn+"f")
	for _, c := range []struct {
		name, document string
		r              *Request
		want           Decision
	}{
		{"nothing", doc(allow(`"Action":"lambda:GetFunction","Resource":"*"`)), invoke, NotAllowed},
		{"everything", doc(allow(everything)), invoke, Allowed},
		{"one statement", `{"Statement":` + allow(everything) + `}`, invoke, Allowed},
		{"deny wins, whatever the order", doc(deny(everything), allow(everything)), invoke, Denied},
		{"deny wins behind", doc(allow(everything), deny(`"Action":["lambda:Get*","lambda:InvokeFunction"],"Resource":"`+fn+`f"`)), invoke, Denied},
		{"deny of another", doc(allow(everything), deny(`"Action":"*","Resource":"`+fn+`g"`)), invoke, Allowed},
		{"action in any case", doc(allow(`"Action":"LAMBDA:invokefunction","Resource":"*"`)), invoke, Allowed},
		{"wildcard action", doc(allow(`"Action":"lambda:Invoke*","Resource":"*"`)), invoke, Allowed},
		{"? is one character", doc(allow(`"Action":"lambda:InvokeFunctio?","Resource":"*"`)), invoke, Allowed},
		{"? is not none", doc(allow(`"Action":"lambda:InvokeFunction?","Resource":"*"`)), invoke, NotAllowed},
		{"not action", doc(allow(`"NotAction":"lambda:Delete*","Resource":"*"`)), invoke, Allowed},
		{"not action, that one", doc(allow(`"NotAction":["iam:*","lambda:Inv*"],"Resource":"*"`)), invoke, NotAllowed},
		{"resource", doc(allow(`"Action":"*","Resource":"` + fn + `f"`)), invoke, Allowed},
		{"resource case", doc(allow(`"Action":"*","Resource":"` + fn + `F"`)), invoke, NotAllowed},
		{"unqualified is not qualified", doc(allow(`"Action":"*","Resource":"` + fn + `f"`)), request("lambda:InvokeFunction", fn+"f:1"), NotAllowed},
		{"qualified", doc(allow(`"Action":"*","Resource":"` + fn + `f:*"`)), request("lambda:InvokeFunction", fn+"f:1"), Allowed},
		{"wildcard in the account", doc(allow(`"Action":"*","Resource":"arn:aws:lambda:*:*:function:f*"`)), invoke, Allowed},
		{"no wildcard over a colon", doc(allow(`"Action":"*","Resource":"arn:aws:lambda:*:function:f:x"`)), request("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:0:function:f:x"), NotAllowed},
		{"not resource", doc(allow(`"Action":"*","NotResource":"` + fn + `g*"`)), invoke, Allowed},
		{"not resource, that one", doc(allow(`"Action":"*","NotResource":"` + fn + `*"`)), invoke, NotAllowed},
		{"ARN of what has none", doc(allow(`"Action":"*","Resource":"arn:aws:lambda:*:*:*"`)), request("lambda:ListFunctions", "*"), NotAllowed},
		{"variable in a resource", doc(allow(`"Action":"*","Resource":"` + fn + `${aws:username}-*"`)), request("lambda:InvokeFunction", fn+"ann-x"), Allowed},
		{"variable, another", doc(allow(`"Action":"*","Resource":"` + fn + `${aws:username}-*"`)), request("lambda:InvokeFunction", fn+"bob-x"), NotAllowed},
		{"a variable's value has no wildcards", doc(allow(`"Action":"*","Resource":"` + fn + `${aws:username}"`)),
			request("lambda:InvokeFunction", fn+"bob", func(r *Request) { r.Principal.Name = "*" }), NotAllowed},
		{"default value", doc(allow(`"Action":"*","Resource":"` + fn + `${aws:PrincipalTag/x, 'f'}"`)), invoke, Allowed},
		{"without its variable, allows nothing", doc(allow(`"Action":"*","NotResource":"` + fn + `${aws:PrincipalTag/x}"`)), invoke, NotAllowed},
		{"without its variable, denies the rest", doc(allow(everything), deny(`"Action":"*","NotResource":"`+fn+`${aws:PrincipalTag/x}"`)), invoke, Denied},
		{"escaped wildcard", doc(allow(`"Action":"*","Resource":"` + fn + `${*}"`)), invoke, NotAllowed},
		{"no variables in the first version", `{"Version":"2008-10-17","Statement":` + allow(`"Action":"*","Resource":"`+fn+`${aws:username}"`) + `}`,
			request("lambda:InvokeFunction", fn+"${aws:username}"), Allowed},
	} {
		if got := parse(t, c.document).Decide(c.r); got != c.want {
			t.Errorf("%s: %v, want %v\n%s", c.name, got, c.want, c.document)
		}
	}
	var none *Document
	if none.Decide(invoke) != NotAllowed {
		t.Error("no document allows")
	}
}

func TestConditions(t *testing.T) {
	blue := tenant("blue")
	for _, c := range []struct {
		condition string
		want      bool
		change    func(*Request)
	}{
		{`"StringEquals":{"lambda:TenantId":"blue"}`, true, blue},
		{`"StringEquals":{"LAMBDA:tenantid":["green","blue"]}`, true, blue},
		{`"StringEquals":{"lambda:TenantId":"blue"}`, false, tenant("blu")},
		{`"StringEquals":{"lambda:TenantId":"blue"}`, false, tenant("")},
		{`"StringEquals":{"lambda:TenantId":"b*"}`, false, blue},
		{`"StringEquals":{"lambda:TenantId":"${aws:username}"}`, true, tenant("ann")},
		{`"StringEqualsIfExists":{"lambda:TenantId":"blue"}`, true, tenant("")},
		{`"StringNotEquals":{"lambda:TenantId":"blue"}`, true, tenant("")},
		{`"StringNotEquals":{"lambda:TenantId":["blue","green"]}`, false, tenant("green")},
		{`"StringLike":{"lambda:TenantId":"acme-*"}`, true, tenant("acme-1")},
		{`"StringLike":{"lambda:TenantId":"acme-*"}`, false, tenant("acme")},
		{`"StringNotLike":{"lambda:TenantId":"acme-*"}`, false, tenant("acme-1")},
		{`"StringEqualsIgnoreCase":{"lambda:TenantId":"BLUE"}`, true, blue},
		{`"StringNotEqualsIgnoreCase":{"lambda:TenantId":"BLUE"}`, false, blue},
		{`"ForAnyValue:StringEquals":{"lambda:TenantId":"blue"}`, true, blue},
		{`"ForAnyValue:StringNotEquals":{"lambda:TenantId":"blue"}`, false, tenant("")},
		{`"ForAllValues:StringEquals":{"lambda:TenantId":"blue"}`, true, tenant("")},
		{`"ForAllValues:StringEquals":{"lambda:TenantId":"blue"}`, false, tenant("green")},
		{`"Null":{"lambda:TenantId":"true"}`, true, tenant("")},
		{`"Null":{"lambda:TenantId":true}`, false, blue},
		{`"Null":{"lambda:TenantId":"false"}`, true, blue},
		{`"Null":{"aws:ResourceTag/empty":"true"}`, false, blue},
		{`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, true, blue},
		{`"IpAddress":{"aws:SourceIp":["192.0.2.1","10.1.2.3"]}`, true, blue},
		{`"IpAddress":{"aws:SourceIp":"::ffff:10.0.0.0/104"}`, true, blue},
		{`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, false, blue},
		{`"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}`, false, func(r *Request) { r.Source = netip.Addr{} }},
		{`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, true, func(r *Request) { r.Source = netip.MustParseAddr("::ffff:10.9.9.9") }},
		{`"Bool":{"aws:SecureTransport":"true"}`, false, blue},
		{`"Bool":{"aws:SecureTransport":false}`, true, blue},
		{`"Bool":{"aws:MultiFactorAuthPresent":"true"}`, false, blue},
		{`"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}`, true, blue},
		{`"DateLessThan":{"aws:CurrentTime":"2026-11-27T12:00:01Z"}`, true, blue},
		{`"DateLessThan":{"aws:CurrentTime":"2026-11-27T12:00:00Z"}`, false, blue},
		{`"DateGreaterThanEquals":{"aws:CurrentTime":"2026-11-27"}`, true, blue},
		{`"DateEquals":{"aws:EpochTime":1795780800}`, true, blue},
		{`"NumericGreaterThan":{"aws:EpochTime":1795780799.5}`, true, blue},
		{`"NumericLessThanEquals":{"aws:EpochTime":"1795780799"}`, false, blue},
		{`"NumericEquals":{"aws:username":"0"}`, false, blue},
		{`"ArnLike":{"lambda:FunctionArn":"arn:aws:lambda:*:*:function:?"}`, true, blue},
		{`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/an*"}`, true, blue},
		{`"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/an*"}`, false, blue},
		{`"StringEquals":{"aws:ResourceTag/team":"red"}`, true, blue},
		{`"StringEquals":{"aws:ResourceTag/Team":"${aws:username}"}`, false, blue},
		{`"StringEquals":{"aws:ResourceTag/Team":"red","aws:username":"ann"}`, true, blue},
		{`"StringEquals":{"aws:ResourceTag/Team":"red","aws:username":"bob"}`, false, blue},
		{`"StringEquals":{"aws:username":"ann"},"StringLike":{"aws:userid":"AIDA*"},"Null":{"aws:PrincipalOrgID":"false"}`, false, blue},
	} {
		d := parse(t, doc(allow(everything+`,"Condition":{`+c.condition+`}`)))
		if got := d.Decide(request("lambda:InvokeFunction", fn+"f", c.change)) == Allowed; got != c.want {
			t.Errorf("%s holds: %v", c.condition, got)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, c := range []struct{ document, want string }{
		{``, "The policy is not in the valid JSON format."},
		{`{`, "The policy is not in the valid JSON format."},
		{"{\"Version\":\"2012-10-17\xff\"}", "The policy is not in the valid JSON format."},
		{`[]`, "Syntax errors in policy."},
		{`{"Version":"2012-10-17"}`, "Syntax errors in policy."},
		{`{"Version":"2012-10-17","Statement":[]}`, "Syntax errors in policy."},
		{`{"Version":"2013-10-17","Statement":` + allow(everything) + `}`, "Policy document must be version 2012-10-17 or greater."},
		{`{"version":"2012-10-17","Statement":` + allow(everything) + `}`, "Syntax errors in policy."},
		{`{"Statement":` + allow(everything) + `,"Statement":` + allow(everything) + `}`, "Syntax errors in policy."},
		{doc(`{"effect":"Allow",` + everything + `}`), "Syntax errors in policy."},
		{doc(`{"Effect":"allow",` + everything + `}`), "Syntax errors in policy."},
		{doc(allow(everything + `,"Effect":"Deny"`)), "Syntax errors in policy."},
		{doc(allow(`"Resource":"*"`)), "Policy statement must contain actions."},
		{doc(allow(`"Action":[],"Resource":"*"`)), "Policy statement must contain actions."},
		{doc(allow(`"Action":"*"`)), "Policy statement must contain resources."},
		{doc(allow(`"Action":"*","NotAction":"a:b","Resource":"*"`)), "Syntax errors in policy."},
		{doc(allow(`"Action":null,"Resource":"*"`)), "Policy statement must contain actions."},
		{doc(allow(`"Action":"invoke","Resource":"*"`)), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
		{doc(allow(`"Action":"*","Resource":"f"`)), `Resource f must be in ARN format or "*".`},
		{doc(allow(`"Action":"*","Resource":"arn:aws:lambda:*"`)), `Resource arn:aws:lambda:* must be in ARN format or "*".`},
		{doc(allow(`"Principal":"*",` + everything)), "Policy document should not specify a principal."},
		{doc(allow(`"Sid":"a b",` + everything)), "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"},
		{doc(allow(`"Sid":"a",`+everything), deny(`"Sid":"a",`+everything)), "Statement IDs (SID) in a single policy must be unique."},
		{doc(allow(everything + `,"Condition":{"StringEqual":{"aws:username":"a"}}`)), "Invalid Condition type : StringEqual."},
		{doc(allow(everything + `,"Condition":{"BinaryEquals":{"aws:username":"a"}}`)), "Invalid Condition type : BinaryEquals."},
		{doc(allow(everything + `,"Condition":{"NullIfExists":{"aws:username":"true"}}`)), "Invalid Condition type : NullIfExists."},
		{doc(allow(everything + `,"Condition":{"ForAllValues:Null":{"aws:username":"true"}}`)), "Invalid Condition type : ForAllValues:Null."},
		{doc(allow(everything + `,"Condition":{"StringEquals":{"username":"a"}}`)), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
		{doc(allow(everything + `,"Condition":{"StringEquals":{"lambda:Tenant":"a"}}`)), "The condition key lambda:tenant is not supported."},
		{doc(allow(everything + `,"Condition":{"StringEquals":{"aws:username":[]}}`)), "Syntax errors in policy."},
		{doc(allow(everything + `,"Condition":{"StringEquals":{"aws:username":"a","AWS:username":"b"}}`)), "Syntax errors in policy."},
		{doc(allow(everything + `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}`)), "Invalid IP address or range: 10.0.0.0/33"},
		{doc(allow(everything + `,"Condition":{"StringLike":{"aws:username":"${aws:x"}}`)), "The policy has a variable without an end: ${aws:x"},
		{doc(allow(`"Action":"*","Resource":"` + fn + `${lambda:TenantId}"`)), "lambda:TenantId is a condition key; it is no policy variable"},
		{doc(allow(`"Action":"*","Resource":"` + fn + strings.Repeat("x", MaxDocument) + `"`)), "Cannot exceed quota for PolicySize: 6144"},
	} {
		_, err := Parse(c.document)
		var wrong *MalformedError
		if !errors.As(err, &wrong) || wrong.Text != c.want {
			t.Errorf("%.200s: %v, want %s", c.document, err, c.want)
		}
	}
	parse(t, doc(allow(everything))+strings.Repeat(" ", MaxDocument)) // white space does not count
}

func TestTenantScope(t *testing.T) {
	invoke := `"Action":"lambda:InvokeFunction","Resource":"*","Condition":`
	logs := allow(`"Action":"logs:*","Resource":"*"`)
	for _, c := range []struct {
		name, document string
		scoped         bool
		covers         map[string]bool
	}{
		{"no tenant in it", doc(logs), false, map[string]bool{"": true, "blue": true}},
		{"bound", doc(allow(invoke+`{"StringEquals":{"lambda:TenantId":["blue","teal"]}}`), logs), true,
			map[string]bool{"": false, "blue": true, "teal": true, "green": false}},
		{"like", doc(allow(invoke + `{"StringLike":{"lambda:TenantId":"acme-*"},"IpAddress":{"aws:SourceIp":"10.0.0.1"}}`)), true,
			map[string]bool{"": false, "acme-1": true, "green": false}},
		{"all but one", doc(allow(everything), deny(`"Action":"logs:*","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}`)), true,
			map[string]bool{"": true, "blue": false, "green": true}},
		{"bound by what is denied", doc(allow(everything), deny(invoke+`{"StringNotEquals":{"lambda:TenantId":"blue"}}`)), true,
			map[string]bool{"": false, "blue": true, "green": false}},
		{"two", doc(allow(invoke+`{"StringEquals":{"lambda:TenantId":"blue"}}`), allow(`"Action":"logs:*","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"green"}}`)), true,
			map[string]bool{"": false, "blue": true, "green": true, "red": false}},
	} {
		d := parse(t, c.document)
		if d.Scoped() != c.scoped {
			t.Errorf("%s: scoped is %v", c.name, d.Scoped())
		}
		for who, want := range c.covers {
			if got := d.Covers(who); got != want {
				t.Errorf("%s: covers %q: %v", c.name, who, got)
			}
		}
	}
	// Before it is known whose records there are, what one tenant may see is asked for.
	d := parse(t, doc(allow(`"Action":"logs:*","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}`),
		deny(`"Action":"logs:GetLogEvents","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}`)))
	some := func(r *Request) { r.AnyTenant = true }
	if got := d.Decide(request("logs:FilterLogEvents", "*", some)); got != Allowed {
		t.Errorf("for any tenant: %v", got)
	}
	if got := d.Decide(request("logs:FilterLogEvents", "*")); got != NotAllowed {
		t.Errorf("for none: %v", got)
	}
	if got := d.Decide(request("logs:GetLogEvents", "*", tenant("blue"))); got != Denied {
		t.Errorf("for blue: %v", got)
	}
}

func TestResourcePolicies(t *testing.T) {
	about := `,"Action":"lambda:InvokeFunction","Resource":"` + fn + `f"`
	account := `"Principal":{"AWS":"arn:aws:iam::000000000000:root"}`
	invoke := request("lambda:InvokeFunction", fn+"f")
	for _, c := range []struct {
		name, document string
		want           Decision
	}{
		{"everyone", doc(allow(`"Sid":"a-b_c","Principal":"*"` + about)), Allowed},
		{"everyone of AWS", doc(allow(`"Principal":{"AWS":["*"]}` + about)), Allowed},
		{"her", doc(allow(`"Principal":{"AWS":"` + user + `"}` + about)), Allowed},
		{"somebody else", doc(allow(`"Principal":{"AWS":"` + user + `a"}` + about)), NotAllowed},
		{"no wildcards in principals", doc(allow(`"Principal":{"AWS":"arn:aws:iam::000000000000:user/*"}` + about)), NotAllowed},
		{"her account lets its own policies decide", doc(allow(account + about)), NotAllowed},
		{"her account, denied", doc(deny(account + about)), Denied},
		{"her account by its number, denied", doc(deny(`"Principal":{"AWS":"000000000000"}` + about)), Denied},
		{"another account", doc(deny(`"Principal":{"AWS":"111111111111"}` + about)), NotAllowed},
		{"a service", doc(allow(`"Principal":{"Service":"s3.amazonaws.com"}` + about)), NotAllowed},
		{"all but her", doc(deny(`"NotPrincipal":{"AWS":"` + user + `"}` + about)), NotAllowed},
		{"all but another", doc(deny(`"NotPrincipal":{"AWS":"` + user + `x"}` + about)), Denied},
		{"allow all but another gives nothing", doc(allow(`"NotPrincipal":{"AWS":"` + user + `x"}` + about)), NotAllowed},
		{"for a function URL", doc(allow(`"Principal":"*"` + about + `,"Condition":{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}`)), NotAllowed},
		{"for a bucket", doc(allow(`"Principal":"*"` + about + `,"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"}}`)), NotAllowed},
		{"unknown operator allows nothing", doc(allow(`"Principal":"*"` + about + `,"Condition":{"Odd":{"aws:username":"ann"}}`)), NotAllowed},
		{"and denies", doc(deny(`"Principal":"*"` + about + `,"Condition":{"Odd":{"aws:username":"ann"}}`)), Denied},
	} {
		d, err := ParseResource(c.document)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := d.Decide(invoke); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestConditionsOfManyValues: how many of a request's values have to match.
func TestConditionsOfManyValues(t *testing.T) {
	for _, c := range []struct {
		condition string
		// what holds for these keys of tags
		none, a, ab, c bool
	}{
		{`"StringEquals":{"aws:TagKeys":["a","b"]}`, false, true, true, false},
		{`"StringNotEquals":{"aws:TagKeys":["a","b"]}`, true, false, false, true},
		{`"StringEqualsIfExists":{"aws:TagKeys":"a"}`, true, true, true, false},
		{`"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}`, true, true, false, false},
		{`"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}`, true, true, true, false},
		{`"ForAnyValue:StringEquals":{"aws:TagKeys":["b"]}`, false, false, true, false},
		{`"ForAllValues:StringNotEquals":{"aws:TagKeys":["b"]}`, true, true, false, true},
		{`"ForAnyValue:StringNotEquals":{"aws:TagKeys":["b"]}`, false, true, true, true},
		{`"ForAnyValue:StringLike":{"AWS:tagkeys":["?"]}`, false, true, true, true},
		{`"Null":{"aws:TagKeys":"true"}`, true, false, false, false},
		{`"Null":{"aws:TagKeys":"false"}`, false, true, true, true},
	} {
		d := parse(t, doc(allow(`"Action":"*","Resource":"*","Condition":{`+c.condition+`}`)))
		for _, with := range []struct {
			keys []string
			want bool
		}{{nil, c.none}, {[]string{"a"}, c.a}, {[]string{"a", "b"}, c.ab}, {[]string{"c"}, c.c}} {
			r := request("lambda:TagResource", fn+"f", func(r *Request) { r.Asked.TagKeys = with.keys })
			if got := d.Decide(r) == Allowed; got != with.want {
				t.Errorf("%s with %v: %v", c.condition, with.keys, got)
			}
		}
	}
}

// TestConditionsOnWhatIsAsked has one for each of the other keys.
func TestConditionsOnWhatIsAsked(t *testing.T) {
	const layer = "arn:aws:lambda:us-east-1:000000000000:layer:"
	all := Asked{URLAuthType: "AWS_IAM", Tags: map[string]string{"Team": "x"}, TagKeys: []string{"Team"}, Layers: []string{layer + "a:1", layer + "b:2"},
		Principal: "sns.amazonaws.com", SigningConfig: "arn:csc"}
	for _, c := range []struct {
		condition      string
		asked, nothing bool
	}{
		{`"StringEquals":{"lambda:FunctionUrlAuthType":"AWS_IAM"}`, true, false},
		{`"StringNotEquals":{"lambda:FunctionUrlAuthType":"NONE"}`, true, true},
		{`"StringEquals":{"aws:RequestTag/team":"x"}`, true, false},
		{`"StringEquals":{"aws:RequestTag/other":"x"}`, false, false},
		{`"StringEquals":{"lambda:Principal":"sns.amazonaws.com"}`, true, false},
		{`"StringEquals":{"lambda:CodeSigningConfigArn":"arn:csc"}`, true, false},
		{`"ForAllValues:StringLike":{"lambda:Layer":"` + layer + `*:*"}`, true, true},
		{`"ForAllValues:StringLike":{"lambda:Layer":"` + layer + `a:*"}`, false, true},
		{`"ForAnyValue:ArnLike":{"lambda:Layer":"` + layer + `b:*"}`, true, false},
		{`"StringEquals":{"lambda:SourceFunctionArn":"*"}`, false, false},
		{`"Null":{"lambda:VpcIds":"true"}`, true, true},
	} {
		d := parse(t, doc(allow(`"Action":"*","Resource":"*","Condition":{`+c.condition+`}`)))
		for _, with := range []struct {
			asked Asked
			want  bool
		}{{all, c.asked}, {Asked{}, c.nothing}} {
			asked, want := with.asked, with.want
			r := request("lambda:CreateFunction", fn+"f", func(r *Request) { r.Asked = asked })
			if got := d.Decide(r) == Allowed; got != want {
				t.Errorf("%s with %+v: %v", c.condition, asked, got)
			}
		}
	}
}
