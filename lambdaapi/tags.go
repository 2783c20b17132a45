package lambdaapi

import (
	"context"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

// Longest key and value of a tag, in characters ("Tag restrictions", AWS General
// Reference).
const (
	maxTagKey   = 128
	maxTagValue = 256
)

type tagResourceInput struct {
	Resource *string           `from:"path" is:"TaggableResource"`
	Tags     map[string]string `is:",required"`
}

func (in *tagResourceInput) check(f *failures) { checkTags(f, in.Tags) }

func tagResource(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *tagResourceInput) (reply, error) {
	if len(in.Tags) == 0 {
		// A client error with this text: recorded from the service.
		return reply{}, alcove.InvalidParameter("An error occurred and the request cannot be processed.")
	}
	if len(in.Tags) > alcove.MaxTags {
		return reply{}, alcove.InvalidParameter("Number of tags exceeds resource tag limit.")
	}
	return a.setTags(ctx, caller, *in.Resource, in.Tags, nil)
}

// setTags changes the tags of a resource.
func (a *API) setTags(ctx context.Context, caller alcove.Caller, resource string, add map[string]string, remove []string) (reply, error) {
	function, signing, err := a.tagged(resource)
	if err != nil {
		return reply{}, err
	}
	if signing != "" {
		_, err = a.Catalog.UpdateSigning(ctx, caller, signing, func(s *catalog.SigningConfig) (err error) {
			s.Tags, err = catalog.Retagged(s.Tags, add, remove)
			return err
		})
	} else {
		err = a.Catalog.SetTags(ctx, caller, function, add, remove)
	}
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, nil
}

type untagResourceInput struct {
	Resource *string  `from:"path" is:"TaggableResource"`
	TagKeys  []string `from:"query=tagKeys" is:",required"`
}

func untagResource(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *untagResourceInput) (reply, error) {
	return a.setTags(ctx, caller, *in.Resource, nil, in.TagKeys)
}

type listTagsOutput struct{ Tags map[string]string }

type listTagsInput struct {
	Resource *string `from:"path" is:"TaggableResource"`
}

func listTags(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listTagsInput) (reply, error) {
	function, signing, err := a.tagged(*in.Resource)
	if err != nil {
		return reply{}, err
	}
	var out listTagsOutput
	if signing != "" {
		s, err := a.Catalog.Signing(signing)
		if err != nil {
			return reply{}, err
		}
		out.Tags = s.Tags
	} else {
		f, err := a.Catalog.Function(function)
		if err != nil {
			return reply{}, err
		}
		out.Tags = f.Tags
	}
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	return reply{status: http.StatusOK, body: out}, nil
}

// checkTags refuses keys and values that AWS does not take.
func checkTags(f *failures, tags map[string]string) {
	for _, key := range sortedKeys(tags) {
		switch {
		case key == "" || utf8.RuneCountInString(key) > maxTagKey:
			f.add("tags", key, "Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			f.add("tags", key, "Map keys must not begin with aws:, which is reserved")
		case utf8.RuneCountInString(tags[key]) > maxTagValue:
			f.add("tags", tags[key], "Map values must satisfy constraint: [Member must have length less than or equal to 256]")
		}
	}
}
