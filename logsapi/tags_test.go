package logsapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/alcove-run/alcove"
)

const groupsARN = "arn:aws:logs:us-east-1:" + account + ":log-group:"

// TestTagsAsTerraformDoes makes the calls of Terraform's aws_cloudwatch_log_group:
// create with tags, retention, read, change of tags, import, destroy.
func TestTagsAsTerraformDoes(t *testing.T) {
	f := start(t)
	ctx, g := t.Context(), aws.String("/terraform/g")
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: g, LogGroupClass: types.LogGroupClassStandard, Tags: map[string]string{"team": "a b", "cost centre": "Zürich+1:2/3=4@5"}})
	fatal(err)
	_, err = f.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: g, RetentionInDays: aws.Int32(7)})
	fatal(err)
	read := func(want map[string]string) string {
		t.Helper()
		groups, err := f.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: g})
		fatal(err)
		if len(groups.LogGroups) != 1 || aws.ToInt32(groups.LogGroups[0].RetentionInDays) != 7 || groups.LogGroups[0].LogGroupClass != types.LogGroupClassStandard || groups.LogGroups[0].KmsKeyId != nil {
			t.Fatalf("groups %+v", groups.LogGroups)
		}
		arn := strings.TrimSuffix(*groups.LogGroups[0].Arn, ":*")
		tags, err := f.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: &arn})
		fatal(err)
		older, err := f.ListTagsLogGroup(ctx, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: g})
		fatal(err)
		if !maps.Equal(tags.Tags, want) || !maps.Equal(older.Tags, want) || tags.Tags == nil || older.Tags == nil {
			t.Errorf("tags %q and %q, want %q", tags.Tags, older.Tags, want)
		}
		return arn
	}
	arn := read(map[string]string{"team": "a b", "cost centre": "Zürich+1:2/3=4@5"})
	if arn != groupsARN+*g {
		t.Errorf("ARN %s", arn)
	}
	_, err = f.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"cost centre", "none"}})
	fatal(err)
	_, err = f.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"team": "", "x": "y"}})
	fatal(err)
	read(map[string]string{"team": "", "x": "y"})
	_, err = f.TagLogGroup(ctx, &cloudwatchlogs.TagLogGroupInput{LogGroupName: g, Tags: map[string]string{"z": "1"}})
	fatal(err)
	_, err = f.UntagLogGroup(ctx, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: g, Tags: []string{"x", "team"}})
	fatal(err)
	read(map[string]string{"z": "1"})
	_, err = f.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: g})
	fatal(err)
	_, err = f.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: &arn})
	if code(err) != "ResourceNotFoundException: The specified log group does not exist." {
		t.Errorf("of a group that is gone: %v", err)
	}
	// A group that came by itself has none.
	f.fill()
	tags, err := f.ListTagsForResource(ctx, &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String(groupsARN + group)})
	if err != nil || tags.Tags == nil || len(tags.Tags) != 0 {
		t.Errorf("of a function's group: %+v, %v", tags, err)
	}
}

func TestTagErrors(t *testing.T) {
	f := start(t)
	ctx, g, arn := t.Context(), aws.String("g"), aws.String(groupsARN+"g")
	numbered := func(n int) map[string]string {
		tags := make(map[string]string)
		for i := range n {
			tags[fmt.Sprint(i)] = ""
		}
		return tags
	}
	create := func(in *cloudwatchlogs.CreateLogGroupInput) error {
		in.LogGroupName = g
		_, err := f.CreateLogGroup(ctx, in)
		return err
	}
	tag := func(arn string, tags map[string]string) error {
		_, err := f.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: &arn, Tags: tags})
		return err
	}
	older := func(tags map[string]string) error {
		_, err := f.TagLogGroup(ctx, &cloudwatchlogs.TagLogGroupInput{LogGroupName: g, Tags: tags})
		return err
	}
	const invalid, at, absent = "InvalidParameterException: ", "' at 'tags' failed to satisfy constraint: Member must ", "ResourceNotFoundException: The specified resource does not exist."
	one := map[string]string{"a": "b"}
	check := func(name string, err error, want string) {
		t.Helper()
		if got := code(err); got != want && (want == "<nil>" || !strings.Contains(got, want)) {
			t.Errorf("%s: got  %s\nwant %s", name, got, want)
		}
	}
	check("a key", create(&cloudwatchlogs.CreateLogGroupInput{Tags: map[string]string{"a*": "b"}}), invalid+`1 validation error detected: Value 'a*`+at+`satisfy regular expression pattern: `+tagKeyPattern)
	check("a class", create(&cloudwatchlogs.CreateLogGroupInput{LogGroupClass: types.LogGroupClassInfrequentAccess}), invalid+"Log groups have the class STANDARD here")
	check("a KMS key", create(&cloudwatchlogs.CreateLogGroupInput{KmsKeyId: aws.String("k")}), invalid+"Log groups are not encrypted")
	check("protection", create(&cloudwatchlogs.CreateLogGroupInput{DeletionProtectionEnabled: aws.Bool(true)}), invalid+"Log groups cannot be protected")
	check("51 at once", create(&cloudwatchlogs.CreateLogGroupInput{Tags: numbered(51)}), at+"have length less than or equal to 50")
	if _, err := f.store.Group(ctx, "g"); err == nil {
		t.Error("a refused request made a group")
	}
	check("50 at once", create(&cloudwatchlogs.CreateLogGroupInput{Tags: numbered(50)}), "<nil>")
	check("one more", tag(*arn, one), "TooManyTagsException: The log group would have more than 50 tags.")
	check("one more, older", older(one), invalid+"The log group would have more than 50 tags.")
	check("none", tag(*arn, map[string]string{}), at+"have length greater than or equal to 1")
	check("a long key", tag(*arn, map[string]string{strings.Repeat("ü", 129): ""}), at+"have length less than or equal to 128")
	check("a long value", older(map[string]string{"0": strings.Repeat("ü", 257)}), at+"have length less than or equal to 256")
	check("a value", older(map[string]string{"0": "a\x00b"}), at+"satisfy regular expression pattern: "+tagValuePattern)
	check("a reserved key", tag(*arn, map[string]string{"AWS:x": ""}), at+"not begin with aws:")
	check("the longest", tag(*arn, map[string]string{"0": strings.Repeat("ü", 256)}), "<nil>")
	for _, other := range []string{"g", groupsARN, groupsARN + "g:log-stream:s", "arn:aws:logs:eu-west-1:" + account + ":log-group:g", "arn:aws:logs:us-east-1:" + account + ":destination:g", "arn:aws:lambda:us-east-1:" + account + ":function:g"} {
		check(other, tag(other, one), absent)
	}
	check("no such group", tag(groupsARN+"none", one), "ResourceNotFoundException: The specified log group does not exist.")
	check("no ARN", tag("a b", one), "at 'resourceArn' failed to satisfy constraint: Member must satisfy regular expression pattern: "+arnPattern)
	_, err := f.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: arn, TagKeys: []string{""}})
	check("an empty key", err, "at 'tagKeys' failed to satisfy constraint: Member must have length greater than or equal to 1")
	_, err = f.UntagLogGroup(ctx, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: g, Tags: []string{}})
	check("no keys", err, at+"have length greater than or equal to 1")
	for _, target := range []string{"TagResource", "UntagResource", "ListTagsForResource", "TagLogGroup", "UntagLogGroup", "ListTagsLogGroup"} {
		if status, body := f.post(t, targetPrefix+target, `{}`); status != 400 || !strings.Contains(body, "Member must not be null") {
			t.Errorf("%s of nothing: %d %s", target, status, body)
		}
	}
}

// TestPoliciesAskAboutTags has real keys whose policies allow by the tags that a
// request sets and by those that a group has.
func TestPoliciesAskAboutTags(t *testing.T) {
	f := start(t)
	keys := realKeys(t)
	as := func(name, statements string) *cloudwatchlogs.Client {
		made, _, err := keys.CreateKey(t.Context(), alcove.Caller{}, name, `{"Version":"2012-10-17","Statement":[`+statements+`]}`)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(New(Config{Store: f.store, Place: here, Authorize: keys.Authorize,
			Authenticate: func(*http.Request, []byte) (alcove.Caller, error) {
				return alcove.Caller{AccessKeyID: made.AccessKeyID, Account: account, ARN: "arn:aws:iam::" + account + ":user/" + name}, nil
			}}))
		t.Cleanup(server.Close)
		return client(server.URL, "any")
	}
	ctx := t.Context()
	err := errors.Join(f.store.CreateGroup(ctx, "mine", map[string]string{"team": "a"}), f.store.CreateGroup(ctx, "other", map[string]string{"team": "b"}), f.store.CreateGroup(ctx, "plain", nil))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error, denied string) {
		t.Helper()
		if denied == "" && err != nil || denied != "" && !strings.Contains(code(err), "AccessDeniedException") || denied != "" && !strings.Contains(code(err), denied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	team := as("team", `{"Effect":"Allow","Action":"logs:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"a"}}},
		{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:TagResource"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"a"}}}`)
	filter := func(c *cloudwatchlogs.Client, g string) error {
		_, err := c.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &g})
		return err
	}
	create := func(c *cloudwatchlogs.Client, g string, tags map[string]string) error {
		_, err := c.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &g, Tags: tags})
		return err
	}
	tag := func(c *cloudwatchlogs.Client, g, value string) error {
		_, err := c.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: aws.String(groupsARN + g), Tags: map[string]string{"team": value}})
		return err
	}
	check("its group", filter(team, "mine"), "")
	check("another's", filter(team, "other"), "logs:FilterLogEvents")
	check("one without tags", filter(team, "plain"), "logs:FilterLogEvents")
	check("a new one", create(team, "new", map[string]string{"team": "a"}), "")
	check("a new one for another", create(team, "new2", map[string]string{"team": "b"}), "logs:CreateLogGroup")
	check("a new one without", create(team, "new2", nil), "logs:CreateLogGroup")

	frozen := as("frozen", `{"Effect":"Allow","Action":"logs:*","Resource":"*"},
		{"Effect":"Deny","Action":"logs:*","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}}},
		{"Effect":"Deny","Action":"logs:DeleteLogGroup","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"b"}}}`)
	check("a tag that it must not set", tag(frozen, "plain", "a"), "explicit deny")
	_, err = frozen.UntagResource(ctx, &cloudwatchlogs.UntagResourceInput{ResourceArn: aws.String(groupsARN + "mine"), TagKeys: []string{"team"}})
	check("a tag that it must not take away", err, "explicit deny")
	_, err = frozen.UntagLogGroup(ctx, &cloudwatchlogs.UntagLogGroupInput{LogGroupName: aws.String("mine"), Tags: []string{"team"}})
	check("a tag that it must not take away", err, "explicit deny")
	_, err = frozen.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("other")})
	check("a group that it must not delete", err, "explicit deny")

	creates := as("creates", `{"Effect":"Allow","Action":"logs:CreateLogGroup","Resource":"*"}`)
	check("with tags that it may not set", create(creates, "new3", map[string]string{"a": "b"}), "logs:TagResource on resource: "+groupsARN+"new3")
	if _, err := f.store.Group(ctx, "new3"); err == nil {
		t.Error("a refused request made a group")
	}
	check("without tags", create(creates, "new3", nil), "")

	bound := as("bound", `{"Effect":"Allow","Action":"logs:*","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}}`)
	check("bound to a tenant", tag(bound, "mine", "a"), "AccessDenied")
	_, err = bound.ListTagsLogGroup(ctx, &cloudwatchlogs.ListTagsLogGroupInput{LogGroupName: aws.String("mine")})
	check("bound to a tenant", err, "AccessDenied")
	if tags, err := f.store.Tags(ctx, "mine"); err != nil || tags["team"] != "a" {
		t.Errorf("in the end %q, %v", tags, err)
	}
}
