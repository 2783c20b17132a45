package nodeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/auth/policy"
)

// Keys keeps access keys. Its errors are *[alcove.Error].
type Keys interface {
	CreateKey(ctx context.Context, caller alcove.Caller, name, policy string) (auth.AccessKey, auth.Key, error)
	AccessKey(name string) (auth.AccessKey, error)
	AccessKeys() []auth.AccessKey
	SetKeyDisabled(ctx context.Context, caller alcove.Caller, name string, disabled bool) (auth.AccessKey, error)
	DeleteKey(ctx context.Context, caller alcove.Caller, name string) error
}

// AccessKey is an access key in an answer.
type AccessKey struct {
	Name        string    `json:"name"`
	AccessKeyID string    `json:"accessKeyId"`
	ARN         string    `json:"arn"`
	UserID      string    `json:"userId"`
	Created     time.Time `json:"created"`
	Enabled     bool      `json:"enabled"`
	// Policy is the document, not in lists.
	Policy json.RawMessage `json:"policy,omitempty"`
	// Secret is in the answer to the request that made the key and in no other.
	Secret string `json:"secretAccessKey,omitempty"`
	// Warnings are what of the policy no request can be, in the same answer.
	Warnings []string `json:"warnings,omitempty"`
}

// warnings are what of a policy that was taken no request can be.
func (c Config) warnings(document string) []string {
	d, err := policy.Parse(document)
	if err != nil {
		return nil
	}
	actions := slices.Clone(c.Actions)
	for _, t := range routes() {
		actions = append(actions, t.action)
	}
	return d.Idle(actions, c.Place.Region, c.Place.Account)
}

func (c Config) accessKey(k auth.AccessKey) AccessKey {
	return AccessKey{Name: k.Name, AccessKeyID: k.AccessKeyID, UserID: k.UserID, Created: k.Created, Enabled: !k.Disabled,
		ARN: c.Place.UserARN(k.Name), Policy: json.RawMessage(k.Policy)}
}

// listKeys answers GET keys.
func (c Config) listKeys(*request) (any, error) {
	list := []AccessKey{}
	for _, k := range c.Keys.AccessKeys() {
		one := c.accessKey(k)
		one.Policy = nil
		list = append(list, one)
	}
	return map[string]any{"keys": list}, nil
}

// createKey answers POST keys with {"name": "…", "policy": {…}}.
func (c Config) createKey(r *request) (any, error) {
	var in struct {
		Name   string          `json:"name"`
		Policy json.RawMessage `json:"policy"`
	}
	if err := r.read(&in); err != nil {
		return nil, alcove.ClientError(alcove.CodeInvalidRequestContent, `The request has to be a JSON object with "name" and "policy", a policy document.`)
	}
	k, secret, err := c.Keys.CreateKey(r.Context(), r.caller, in.Name, textOf(in.Policy))
	if err != nil {
		return nil, err
	}
	out := c.accessKey(k)
	out.Secret, out.Warnings = secret.Secret, c.warnings(k.Policy)
	return out, nil
}

// getKey answers GET keys/NAME.
func (c Config) getKey(r *request) (any, error) {
	k, err := c.Keys.AccessKey(r.PathValue("key"))
	return c.accessKey(k), err
}

// updateKey answers PUT keys/NAME with {"enabled": true}.
func (c Config) updateKey(r *request) (any, error) {
	var in struct {
		Enabled *bool `json:"enabled"`
	}
	if err := r.read(&in); err != nil || in.Enabled == nil {
		return nil, alcove.ClientError(alcove.CodeInvalidRequestContent, `The request has to be a JSON object with "enabled", true or false.`)
	}
	k, err := c.Keys.SetKeyDisabled(r.Context(), r.caller, r.PathValue("key"), !*in.Enabled)
	return c.accessKey(k), err
}

// deleteKey answers DELETE keys/NAME with the key that was.
func (c Config) deleteKey(r *request) (any, error) {
	name := r.PathValue("key")
	k, err := c.Keys.AccessKey(name)
	if err == nil {
		err = c.Keys.DeleteKey(r.Context(), r.caller, name)
	}
	return c.accessKey(k), err
}

// read reads the one JSON object of the body, whose members are all known.
func (r *request) read(into any) error {
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}
