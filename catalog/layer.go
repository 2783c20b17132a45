package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
)

const (
	layerPrefix      = "layer/"
	layerCountPrefix = "layercount/"
)

// LayerVersion is a version of a layer. Only its policy ever changes.
type LayerVersion struct {
	Name        string `json:"name"`
	Number      int    `json:"number"`
	Description string `json:"description,omitempty"`
	License     string `json:"license,omitempty"`
	// Architectures and Runtimes are what it says that it is compatible with; nil
	// if it says nothing.
	Architectures []string    `json:"architectures,omitzero"`
	Runtimes      []string    `json:"runtimes,omitzero"`
	Code          alcove.Code `json:"code"`
	Created       time.Time   `json:"created"`
	Policy        string      `json:"policy,omitempty"` // JSON
	PolicyID      string      `json:"policyId,omitempty"`
}

func (l *LayerVersion) codeBytes() int64 { return l.Code.Size }
func (l *LayerVersion) pkg() string      { return l.Code.SHA256 }

func (l *LayerVersion) key() string { return layerKey(l.Name, l.Number) }

func layerKey(name string, number int) string {
	return layerPrefix + name + "/" + strconv.Itoa(number)
}

// layerCount remembers how many versions a layer has had: numbers are never used
// twice.
type layerCount struct {
	Last int `json:"last"`
}

func (*layerCount) codeBytes() int64 { return 0 }
func (*layerCount) pkg() string      { return "" }

// PublishLayer makes a version of a layer from a package; its number, code and
// time are made here.
func (c *Catalog) PublishLayer(ctx context.Context, caller alcove.Caller, in LayerVersion, zip *artifact.Package) (*LayerVersion, error) {
	code, unpin, err := c.keep(ctx, zip)
	if err != nil {
		return nil, err
	}
	defer unpin()
	in.Code, in.Created = code, c.cfg.Now()
	// A crash in between leaves out a number.
	err = editObject(ctx, c, layerCountPrefix+in.Name, func(now *layerCount) (*layerCount, error) {
		in.Number = 1
		if now != nil {
			in.Number = now.Last + 1
		}
		return &layerCount{in.Number}, nil
	})
	if err != nil {
		return nil, err
	}
	err = editObject(ctx, c, in.key(), func(*LayerVersion) (*LayerVersion, error) { return &in, nil })
	if err != nil {
		return nil, err
	}
	c.log.Info("layer version published", "layer", in.Name, "version", in.Number, "caller", caller.ARN)
	return &in, nil
}

// DeleteLayer removes a version of a layer; one that is not there counts as
// removed, as on AWS. Functions that have it keep it.
func (c *Catalog) DeleteLayer(ctx context.Context, caller alcove.Caller, name string, number int) error {
	err := editObject(ctx, c, layerKey(name, number), func(*LayerVersion) (*LayerVersion, error) { return nil, nil })
	if err == nil {
		c.code.kick()
		c.log.Info("layer version deleted", "layer", name, "version", number, "caller", caller.ARN)
	}
	return err
}

// Layer gives a version of a layer. It is shared: it must not be changed.
func (c *Catalog) Layer(name string, number int) (*LayerVersion, error) {
	if l, ok := get[*LayerVersion](c, layerKey(name, number)); ok {
		return l, nil
	}
	return nil, noResource()
}

// LayerVersions gives the versions of a layer that suits wants, newest first.
func (c *Catalog) LayerVersions(name, marker string, max int, suits func(*LayerVersion) bool) ([]*LayerVersion, string, error) {
	of, below, err := parseMarker(marker)
	if err == nil && marker != "" && of != name {
		err = errMarker()
	}
	if err != nil {
		return nil, "", err
	}
	list := slices.DeleteFunc(all[*LayerVersion](c, layerPrefix+name+"/"), func(l *LayerVersion) bool {
		return marker != "" && l.Number >= below || !suits(l)
	})
	slices.SortFunc(list, func(a, b *LayerVersion) int { return cmp.Compare(b.Number, a.Number) })
	if max <= 0 {
		max = defaultPage
	}
	if len(list) <= max {
		return list, "", nil
	}
	return list[:max], makeMarker(name, list[max-1].Number), nil
}

// LatestLayers gives the newest version that suits wants of each layer that has
// one, by name.
func (c *Catalog) LatestLayers(marker string, max int, suits func(*LayerVersion) bool) ([]*LayerVersion, string, error) {
	after, _, err := parseMarker(marker)
	if err != nil {
		return nil, "", err
	}
	list := slices.DeleteFunc(all[*LayerVersion](c, layerPrefix), func(l *LayerVersion) bool { return l.Name <= after || !suits(l) })
	slices.SortFunc(list, func(a, b *LayerVersion) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(b.Number, a.Number))
	})
	list = slices.CompactFunc(list, func(a, b *LayerVersion) bool { return a.Name == b.Name })
	return firstPage(list, max, func(l *LayerVersion) string { return l.Name })
}

// Layers gives what a function gets that names layer versions by their ARNs,
// whose form was checked (texts recorded from the service).
func (c *Catalog) Layers(arns []string) ([]alcove.Layer, error) {
	if len(arns) > alcove.MaxLayers {
		return nil, alcove.InvalidParameter("Cannot reference more than %d layers.", alcove.MaxLayers)
	}
	var list []alcove.Layer
	seen := map[string]string{} // ARN with version by ARN without
	for _, arn := range arns {
		at := strings.LastIndexByte(arn, ':')
		layer := arn[:at]
		if parts := strings.Split(arn, ":"); len(parts) == 8 && parts[3] != c.cfg.Place.Region {
			return nil, alcove.InvalidParameter("Layers are not in the same region as the function. Layers are expected to be in region %s.", c.cfg.Place.Region)
		}
		name := layer[strings.LastIndexByte(layer, ':')+1:]
		number, err := strconv.Atoi(arn[at+1:])
		l, ok := get[*LayerVersion](c, layerKey(name, number))
		if err != nil || !ok || c.cfg.Place.LayerARN(name) != layer {
			return nil, alcove.InvalidParameter("Layer version %s does not exist.", arn)
		}
		if other, twice := seen[layer]; twice {
			return nil, alcove.InvalidParameter("Two different versions of the same layer are not allowed to be referenced in the same function. "+
				"%s and %s are versions of the same layer.", other, arn)
		}
		seen[layer] = arn
		list = append(list, alcove.Layer{ARN: arn, Code: l.Code})
	}
	return list, nil
}

// AddLayerPermission adds a statement to the policy of a layer version, and
// answers it with the policy's new revision id.
func (c *Catalog) AddLayerPermission(ctx context.Context, caller alcove.Caller, name string, number int, in PermissionInput) (json.RawMessage, string, error) {
	var added json.RawMessage
	id, err := c.editLayerPolicy(ctx, name, number, in.RevisionID, func(arn string, now *document) (*document, error) {
		now, statement, err := in.addTo(now, arn)
		added = statement
		return now, err
	})
	if err == nil {
		c.log.Info("layer permission added", "layer", name, "version", number, "caller", caller.ARN)
	}
	return added, id, err
}

// RemoveLayerPermission takes a statement out of the policy of a layer version.
func (c *Catalog) RemoveLayerPermission(ctx context.Context, caller alcove.Caller, name string, number int, sid, revisionID string) error {
	_, err := c.editLayerPolicy(ctx, name, number, revisionID, func(_ string, now *document) (*document, error) {
		if now == nil {
			return nil, noPolicy()
		}
		at := now.find(sid)
		if at < 0 {
			return nil, noStatement(sid)
		}
		now.Statement = slices.Delete(now.Statement, at, at+1)
		if len(now.Statement) == 0 {
			return nil, nil
		}
		return now, nil
	})
	if err == nil {
		c.log.Info("layer permission removed", "layer", name, "version", number, "caller", caller.ARN)
	}
	return err
}

// LayerPolicy gives the policy of a layer version and its revision id.
func (c *Catalog) LayerPolicy(name string, number int) (document, revisionID string, err error) {
	l, ok := get[*LayerVersion](c, layerKey(name, number))
	if !ok {
		return "", "", c.noLayer(name, number)
	}
	if l.Policy == "" {
		return "", "", noPolicy()
	}
	return l.Policy, l.PolicyID, nil
}

// editLayerPolicy changes the policy of a layer version by change, which gets nil
// if there is none and gives nil if none is left. It answers its revision id.
func (c *Catalog) editLayerPolicy(ctx context.Context, name string, number int, revisionID string,
	change func(arn string, now *document) (*document, error)) (id string, err error) {
	err = editObject(ctx, c, layerKey(name, number), func(l *LayerVersion) (*LayerVersion, error) {
		if l == nil {
			return nil, c.noLayer(name, number)
		}
		if revisionID != "" && revisionID != l.PolicyID {
			return nil, alcove.ClientError(alcove.CodePreconditionFailed,
				"The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id")
		}
		now, err := readDocument(l.Policy)
		if err != nil {
			return nil, err
		}
		if now, err = change(c.layerARN(name, number), now); err != nil {
			return nil, err
		}
		next := *l
		if next.Policy, err = now.text(); err != nil {
			return nil, err
		}
		next.PolicyID = ""
		if next.Policy != "" {
			next.PolicyID = newRevision()
		}
		id = next.PolicyID
		return &next, nil
	})
	return id, err
}

func (c *Catalog) layerARN(name string, number int) string {
	return c.cfg.Place.LayerARN(name) + ":" + strconv.Itoa(number)
}

func (c *Catalog) noLayer(name string, number int) error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "Layer version %s does not exist.", c.layerARN(name, number))
}
