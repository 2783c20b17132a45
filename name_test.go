package alcove

import (
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	p := Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	const arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
	for _, c := range []struct {
		name, qualifier string
		want            Ref
	}{
		{"f", "", Ref{"f", ""}},
		{"f", "$LATEST", Ref{"f", "$LATEST"}},
		{"f:1", "", Ref{"f", "1"}},
		{"f:1", "1", Ref{"f", "1"}},
		{"f:$LATEST", "", Ref{"f", "$LATEST"}},
		{"function:f", "", Ref{"f", ""}},
		{"000000000000:function:f", "", Ref{"f", ""}},
		{"000000000000:function:f:live", "", Ref{"f", "live"}},
		{arn, "", Ref{"f", ""}},
		{arn + ":1", "", Ref{"f", "1"}},
		{arn, "live", Ref{"f", "live"}},
	} {
		if got, err := p.ParseRef(c.name, c.qualifier); err != nil || got != c.want {
			t.Errorf("%q %q: %v %v", c.name, c.qualifier, got, err)
		}
	}
	for _, c := range []struct{ name, qualifier, code, text string }{
		{"", "", CodeValidation, "at 'functionName'"},
		{"a b", "", CodeValidation, "at 'functionName'"},
		{"a/b", "", CodeValidation, "at 'functionName'"},
		{"f:1:2", "", CodeValidation, "at 'functionName'"},
		{"f\n", "", CodeValidation, "at 'functionName'"},
		{"f", "a b", CodeValidation, "at 'qualifier'"},
		{"f", strings.Repeat("a", 129), CodeValidation, "at 'qualifier'"},
		{"f:1", "2", CodeInvalidParameterValue, "The derived qualifier from the function name does not match the specified qualifier."},
		{strings.Repeat("a", MaxNameLength+1), "", CodeResourceNotFound, "Function not found: "},
		{"111111111111:function:f", "", CodeResourceNotFound, "Function not found: 111111111111:function:f"},
		{strings.Replace(arn, "000000000000", "111111111111", 1), "", CodeResourceNotFound, "Function not found: arn:aws:lambda:us-east-1:111111111111:function:f"},
		{strings.Replace(arn, "us-east-1", "eu-west-1", 1), "", CodeResourceNotFound, "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"},
	} {
		got, err := p.ParseRef(c.name, c.qualifier)
		if err == nil {
			t.Errorf("%q %q: %v", c.name, c.qualifier, got)
		} else if e := AsError(err); e.Code != c.code || !strings.Contains(e.Message, c.text) {
			t.Errorf("%q %q: %v", c.name, c.qualifier, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	p := Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	f.Add("arn:aws:lambda:us-east-1:000000000000:function:f:1", "1")
	f.Add("000000000000:function:f", "$LATEST")
	f.Add("function:f:x", "")
	f.Fuzz(func(t *testing.T, name, qualifier string) {
		ref, err := p.ParseRef(name, qualifier)
		if err != nil {
			if AsError(err).Fault != FaultClient {
				t.Fatalf("%q %q: %v", name, qualifier, err)
			}
			return
		}
		if !ValidName(ref.Name) || qualifier != "" && ref.Qualifier != qualifier {
			t.Fatalf("%q %q: %+v", name, qualifier, ref)
		}
		if again, err := p.ParseRef(p.FunctionARN(ref.Name), ref.Qualifier); err != nil || again != ref {
			t.Fatalf("%q %q: %+v, but as an ARN %+v %v", name, qualifier, ref, again, err)
		}
	})
}
