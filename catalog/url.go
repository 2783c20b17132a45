package catalog

import (
	"context"
	"encoding/hex"
	"maps"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
)

// URLEntry is a function URL and the ARN that it belongs to.
type URLEntry struct {
	ARN string
	URL *alcove.FunctionURL
}

// CreateURL gives a function, or an alias of it, a URL, which gets its id here.
func (c *Catalog) CreateURL(ctx context.Context, caller alcove.Caller, ref alcove.Ref, url alcove.FunctionURL) (URLEntry, error) {
	id := uuid.New()
	url.ID = hex.EncodeToString(id[:])
	return c.editURL(ctx, caller, ref, "function URL created", func(e *entry, now *alcove.FunctionURL, arn string) (*alcove.FunctionURL, error) {
		switch {
		case e.latest.Isolated():
			return nil, alcove.InvalidParameter("Function URL is not supported for functions enabled with tenancy configuration")
		case now != nil:
			return nil, alcove.ClientError(alcove.CodeResourceConflict,
				"Failed to create function url config for [functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function", arn)
		}
		url.Created = c.cfg.Now()
		url.LastModified = url.Created
		return &url, nil
	})
}

// UpdateURL changes a URL by change, which gets a copy.
func (c *Catalog) UpdateURL(ctx context.Context, caller alcove.Caller, ref alcove.Ref, change func(*alcove.FunctionURL)) (URLEntry, error) {
	return c.editURL(ctx, caller, ref, "function URL updated", func(_ *entry, now *alcove.FunctionURL, _ string) (*alcove.FunctionURL, error) {
		if now == nil {
			return nil, noResource()
		}
		next := *now
		change(&next)
		next.LastModified = c.cfg.Now()
		return &next, nil
	})
}

// URL gives the URL of a function or of an alias, from memory. It is shared: it
// must not be changed.
func (c *Catalog) URL(ref alcove.Ref) (URLEntry, error) {
	if e := c.view.Load().functions[ref.Name]; e != nil {
		if url := e.record.Qualified[keyOf(ref)].URL; url != nil {
			return URLEntry{e.urlARN(keyOf(ref)), url}, nil
		}
	}
	return URLEntry{}, noResource()
}

// FindURL gives the function, or the alias of one, that the URL of an id belongs
// to, and the URL, from memory.
func (c *Catalog) FindURL(id string) (alcove.Ref, *alcove.FunctionURL, bool) {
	v := c.view.Load()
	ref, ok := v.urls[id]
	if !ok {
		return alcove.Ref{}, nil, false
	}
	url := v.functions[ref.Name].record.Qualified[keyOf(ref)].URL
	return ref, url, url != nil
}

// moveURLs changes the index of URLs in a view that is yet to be published, when
// a function was old and is now another, or nil.
func (v *view) moveURLs(old, now *entry) {
	if old.urlRefs() == nil && now.urlRefs() == nil {
		return
	}
	v.urls = maps.Clone(v.urls)
	if v.urls == nil {
		v.urls = make(map[string]alcove.Ref, 1)
	}
	for id := range old.urlRefs() {
		delete(v.urls, id)
	}
	maps.Copy(v.urls, now.urlRefs())
}

// urlRefs are what the URLs of a function belong to, by id; nil if there are none.
func (e *entry) urlRefs() (refs map[string]alcove.Ref) {
	if e == nil {
		return nil
	}
	for key, q := range e.record.Qualified {
		if q.URL == nil {
			continue
		}
		if refs == nil {
			refs = make(map[string]alcove.Ref, 1)
		}
		ref := alcove.Ref{Name: e.function.Name}
		if key != alcove.Latest {
			ref.Qualifier = key
		}
		refs[q.URL.ID] = ref
	}
	return refs
}

// DeleteURL removes a URL.
func (c *Catalog) DeleteURL(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error {
	if _, err := c.URL(ref); err != nil {
		return err
	}
	_, err := c.editURL(ctx, caller, ref, "function URL deleted", func(*entry, *alcove.FunctionURL, string) (*alcove.FunctionURL, error) {
		return nil, nil
	})
	return err
}

// URLs gives the URLs of a function, its own first and those of aliases by name.
func (c *Catalog) URLs(function, marker string, max int) ([]URLEntry, string, error) {
	keys, next, err := c.qualifiers(function, marker, max, func(q qualified) bool { return q.URL != nil })
	if err != nil {
		if alcove.AsError(err).Code == alcove.CodeResourceNotFound {
			err = noFunctionForURL()
		}
		return nil, "", err
	}
	e := c.view.Load().functions[function]
	var list []URLEntry
	for _, key := range keys {
		if e != nil && e.record.Qualified[key].URL != nil {
			list = append(list, URLEntry{e.urlARN(key), e.record.Qualified[key].URL})
		}
	}
	return list, next, nil
}

// urlARN is the ARN that a URL belongs to: the function's own is not qualified.
func (e *entry) urlARN(key string) string {
	if key == alcove.Latest {
		return e.latest.ARN
	}
	return e.latest.ARN + ":" + key
}

func (c *Catalog) editURL(ctx context.Context, caller alcove.Caller, ref alcove.Ref, done string,
	change func(e *entry, now *alcove.FunctionURL, arn string) (*alcove.FunctionURL, error)) (URLEntry, error) {
	e := c.view.Load().functions[ref.Name]
	if e == nil {
		return URLEntry{}, noFunctionForURL()
	}
	if _, alias := e.aliases[ref.Qualifier]; ref.Qualifier != "" && !alias {
		return URLEntry{}, noFunctionForURL()
	}
	var out URLEntry
	err := c.editQualified(ctx, ref, func(e *entry, r *record, key, arn string) error {
		next, err := change(e, r.Qualified[key].URL, arn)
		if err != nil {
			return err
		}
		r.setQualified(key, func(q *qualified) { q.URL = next })
		out = URLEntry{arn, next}
		return nil
	})
	if err == nil {
		c.log.Info(done, "function", ref.Name, "qualifier", ref.Qualifier, "caller", caller.ARN)
	}
	return out, err
}

func noFunctionForURL() error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "Function does not exist")
}
