package logsapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/auth/policy"
	"github.com/alcove-run/alcove/logs"

	"github.com/alcove-run/alcove/internal/lazyregexp"
)

// Tags of log groups, by the two sets of operations that there are: AWS has
// replaced those that name a group by those that name a resource, and answers both.

// AWS's patterns (botocore, logs 2014-03-28), quoted in its validation errors.
const (
	tagKeyPattern   = `^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$`
	tagValuePattern = `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`
	arnPattern      = `[\w+=/:,.@-]*`
)

var (
	tagKey   = lazyregexp.New(tagKeyPattern)
	tagValue = lazyregexp.New(tagValuePattern)
	anyARN   = lazyregexp.New(`^` + arnPattern + `$`)
)

// tagMap checks tags that are to be set.
func (c *checks) tagMap(tags map[string]string) {
	if len(tags) == 0 {
		c.fail(fmt.Sprint(tags), "tags", "have length greater than or equal to 1")
	}
	if len(tags) > alcove.MaxTags {
		c.fail(fmt.Sprint(len(tags), " tags"), "tags", fmt.Sprint("have length less than or equal to ", alcove.MaxTags))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		c.tagKey(key, "tags")
		switch value := tags[key]; {
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			c.fail(key, "tags", "not begin with aws:, which is reserved")
		case c.length(value, "tags", 0, 256) && !tagValue.MatchString(value):
			c.fail(value, "tags", "satisfy regular expression pattern: "+tagValuePattern)
		}
	}
}

func (c *checks) tagKey(key, member string) {
	if c.length(key, member, 1, 128) && !tagKey.MatchString(key) {
		c.fail(key, member, "satisfy regular expression pattern: "+tagKeyPattern)
	}
}

// tagKeys checks keys of tags that are to go.
func (c *checks) tagKeys(keys []string, member string, least, most int) {
	switch {
	case keys == nil:
		c.fail("null", member, "not be null")
	case len(keys) < least:
		c.fail("[]", member, fmt.Sprint("have length greater than or equal to ", least))
	case len(keys) > most:
		c.fail(fmt.Sprint(len(keys), " keys"), member, fmt.Sprint("have length less than or equal to ", most))
	default:
		for _, key := range keys {
			c.tagKey(key, member)
		}
	}
}

func tagsAsked(tags map[string]string) policy.Asked {
	return policy.Asked{Tags: tags, TagKeys: slices.Sorted(maps.Keys(tags))}
}

type tagsOutput struct {
	Tags map[string]string `json:"tags"`
}

func (a *API) listTags(ctx context.Context, group string) (any, error) {
	if _, err := a.Store.Group(ctx, group); err != nil {
		return nil, err
	}
	tags, err := a.Store.Tags(ctx, group)
	return tagsOutput{tags}, err
}

// resourceInput names what has tags as the newer operations do. Policies have it
// without the :* that stands for a group's streams.
type resourceInput struct {
	ResourceARN *string `json:"resourceArn"`
}

func (in *resourceInput) about(p alcove.Place) string { return groupARN(p, groupOrAll(in.group(p))) }

// group is the name of the group, empty if it is none of here.
func (in *resourceInput) group(p alcove.Place) string {
	name, here := nameOf(p, orZero(in.ResourceARN))
	if !here || name == orZero(in.ResourceARN) || !groupName.MatchString(name) {
		return ""
	}
	return name
}

func groupOrAll(name string) string {
	if name == "" {
		return "*"
	}
	return name
}

// resolve gives the group's name.
func (in *resourceInput) resolve(p alcove.Place, c *checks) (string, error) {
	c.required(in.ResourceARN, "resourceArn", func(value, member string) {
		if c.length(value, member, 1, 1011) && !anyARN.MatchString(value) {
			c.fail(value, member, "satisfy regular expression pattern: "+arnPattern)
		}
	})
	if err := c.err(); err != nil {
		return "", err
	}
	name := in.group(p)
	if name == "" {
		return "", alcove.ClientError(alcove.CodeResourceNotFound, "The specified resource does not exist.")
	}
	return name, nil
}

func (a *API) listTagsForResource(ctx context.Context, _ *call, in *resourceInput) (any, error) {
	var c checks
	group, err := in.resolve(a.Place, &c)
	if err != nil {
		return nil, err
	}
	return a.listTags(ctx, group)
}

type tagResourceInput struct {
	resourceInput
	Tags map[string]string `json:"tags"`
}

func (in *tagResourceInput) asked() policy.Asked { return tagsAsked(in.Tags) }

func (a *API) tagResource(ctx context.Context, _ *call, in *tagResourceInput) (any, error) {
	var c checks
	c.tagMap(in.Tags)
	group, err := in.resolve(a.Place, &c)
	if err != nil {
		return nil, err
	}
	err = a.Store.Retag(ctx, group, in.Tags, nil)
	if errors.Is(err, logs.ErrTooManyTags) {
		return nil, alcove.ClientError(codeTooManyTags, "The log group would have more than %d tags.", alcove.MaxTags)
	}
	return nil, err
}

type untagResourceInput struct {
	resourceInput
	TagKeys []string `json:"tagKeys"`
}

func (in *untagResourceInput) asked() policy.Asked { return policy.Asked{TagKeys: in.TagKeys} }

func (a *API) untagResource(ctx context.Context, _ *call, in *untagResourceInput) (any, error) {
	var c checks
	c.tagKeys(in.TagKeys, "tagKeys", 0, alcove.MaxTags)
	group, err := in.resolve(a.Place, &c)
	if err != nil {
		return nil, err
	}
	return nil, a.Store.Retag(ctx, group, nil, in.TagKeys)
}

func (a *API) listTagsLogGroup(ctx context.Context, _ *call, in *groupInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return a.listTags(ctx, *in.LogGroupName)
}

type tagLogGroupInput struct {
	groupInput
	Tags map[string]string `json:"tags"`
}

func (in *tagLogGroupInput) asked() policy.Asked { return tagsAsked(in.Tags) }

func (a *API) tagLogGroup(ctx context.Context, _ *call, in *tagLogGroupInput) (any, error) {
	var c checks
	c.required(in.LogGroupName, "logGroupName", c.group)
	c.tagMap(in.Tags)
	if err := c.err(); err != nil {
		return nil, err
	}
	err := a.Store.Retag(ctx, *in.LogGroupName, in.Tags, nil)
	if errors.Is(err, logs.ErrTooManyTags) {
		// This operation has no error of its own for it.
		return nil, invalidParameter("The log group would have more than %d tags.", alcove.MaxTags)
	}
	return nil, err
}

type untagLogGroupInput struct {
	groupInput
	Tags []string `json:"tags"`
}

func (in *untagLogGroupInput) asked() policy.Asked { return policy.Asked{TagKeys: in.Tags} }

func (a *API) untagLogGroup(ctx context.Context, _ *call, in *untagLogGroupInput) (any, error) {
	var c checks
	c.required(in.LogGroupName, "logGroupName", c.group)
	c.tagKeys(in.Tags, "tags", 1, maxBody)
	if err := c.err(); err != nil {
		return nil, err
	}
	return nil, a.Store.Retag(ctx, *in.LogGroupName, nil, in.Tags)
}

const tagAction = "logs:TagResource"

// authorizeTags sees that a caller may give a new group the tags that its request
// names, as AWS does.
func (a *API) authorizeTags(c *call, group string, tags map[string]string) error {
	if len(tags) == 0 {
		return nil
	}
	_, err := a.Authorize(c.caller, auth.Operation{Action: tagAction, Resource: groupARN(a.Place, group), Asked: tagsAsked(tags),
		Whole: true, Implied: true, Request: c.request, RequestID: c.requestID})
	return err
}
