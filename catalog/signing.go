package catalog

import (
	"context"
	"encoding/base32"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
)

const signingPrefix = "signing/"

// SigningConfig is a code signing configuration.
type SigningConfig struct {
	ID           string            `json:"id"` // csc- and 17 letters and digits
	Description  string            `json:"description,omitempty"`
	Publishers   []string          `json:"publishers"` // ARNs of signing profile versions
	Policy       string            `json:"policy"`     // Warn or Enforce
	Tags         map[string]string `json:"tags,omitempty"`
	LastModified time.Time         `json:"lastModified"`
}

func (s *SigningConfig) codeBytes() int64 { return 0 }
func (s *SigningConfig) pkg() string      { return "" }

// signingID makes an id in AWS's form.
func signingID() string {
	id := uuid.New()
	return "csc-" + strings.ToLower(base32.StdEncoding.EncodeToString(id[:]))[:17]
}

// CreateSigning makes a code signing configuration; its id and time are made
// here.
func (c *Catalog) CreateSigning(ctx context.Context, caller alcove.Caller, in SigningConfig) (*SigningConfig, error) {
	in.ID, in.LastModified = signingID(), c.cfg.Now()
	err := editObject(ctx, c, signingPrefix+in.ID, func(*SigningConfig) (*SigningConfig, error) { return &in, nil })
	if err != nil {
		return nil, err
	}
	c.log.Info("code signing config created", "id", in.ID, "caller", caller.ARN)
	return &in, nil
}

// UpdateSigning changes a code signing configuration by change, which gets a copy.
func (c *Catalog) UpdateSigning(ctx context.Context, caller alcove.Caller, id string, change func(*SigningConfig) error) (*SigningConfig, error) {
	var out *SigningConfig
	err := editObject(ctx, c, signingPrefix+id, func(now *SigningConfig) (*SigningConfig, error) {
		if now == nil {
			return nil, c.noSigning(id)
		}
		next := *now
		if err := change(&next); err != nil {
			return nil, err
		}
		next.LastModified = c.cfg.Now()
		out = &next
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	c.log.Info("code signing config updated", "id", id, "caller", caller.ARN)
	return out, nil
}

// DeleteSigning removes a code signing configuration that no function has.
func (c *Catalog) DeleteSigning(ctx context.Context, caller alcove.Caller, id string) error {
	c.signingMu.Lock()
	defer c.signingMu.Unlock()
	err := editObject(ctx, c, signingPrefix+id, func(now *SigningConfig) (*SigningConfig, error) {
		if now == nil {
			return nil, c.noSigning(id)
		}
		if len(c.signed(id)) > 0 {
			return nil, alcove.ClientError(alcove.CodeResourceConflict,
				"The code signing configuration is used by functions: remove it from them with DeleteFunctionCodeSigningConfig and try again.")
		}
		return nil, nil
	})
	if err == nil {
		c.log.Info("code signing config deleted", "id", id, "caller", caller.ARN)
	}
	return err
}

// Signing gives a code signing configuration. It is shared: it must not be
// changed.
func (c *Catalog) Signing(id string) (*SigningConfig, error) {
	if s, ok := get[*SigningConfig](c, signingPrefix+id); ok {
		return s, nil
	}
	return nil, c.noSigning(id)
}

// Signings gives the code signing configurations by id.
func (c *Catalog) Signings(marker string, max int) ([]*SigningConfig, string, error) {
	after, _, err := parseMarker(marker)
	if err != nil {
		return nil, "", err
	}
	list := slices.DeleteFunc(all[*SigningConfig](c, signingPrefix), func(s *SigningConfig) bool { return s.ID <= after })
	return firstPage(list, max, func(s *SigningConfig) string { return s.ID })
}

// signed gives the names of the functions that have a code signing configuration.
func (c *Catalog) signed(id string) (names []string) {
	functions := c.view.Load().functions
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		if functions[name].function.Signing == id {
			names = append(names, name)
		}
	}
	return names
}

// Signed gives the names of the functions that have a code signing configuration.
func (c *Catalog) Signed(id, marker string, max int) ([]string, string, error) {
	after, _, err := parseMarker(marker)
	if err != nil {
		return nil, "", err
	}
	if _, err := c.Signing(id); err != nil {
		return nil, "", err
	}
	list := slices.DeleteFunc(c.signed(id), func(name string) bool { return name <= after })
	return firstPage(list, max, func(name string) string { return name })
}

// SetSigning gives a function a code signing configuration, or takes it away with
// an empty id.
func (c *Catalog) SetSigning(ctx context.Context, caller alcove.Caller, function, id string) error {
	c.signingMu.Lock() // it is not deleted in between
	defer c.signingMu.Unlock()
	if err := c.hasSigning(id); err != nil {
		return err
	}
	defer c.lock(function)()
	err := c.edit(ctx, function, func(_ *entry, r *record) error {
		r.Function.Signing = id
		return nil
	})
	if err == nil {
		c.log.Info("function's code signing config set", "function", function, "config", id, "caller", caller.ARN)
	}
	return err
}

// hasSigning refuses an id of which there is no configuration; none is no id.
func (c *Catalog) hasSigning(id string) error {
	if _, ok := get[*SigningConfig](c, signingPrefix+id); id == "" || ok {
		return nil
	}
	return alcove.ClientError("CodeSigningConfigNotFoundException",
		"The code signing configuration cannot be found. Check that the provided configuration is not deleted: %s.", c.signingARN(id))
}

// trusts refuses packages for a function whose configuration takes only signed
// ones: nothing here can sign or check a signature, so none is.
func (c *Catalog) trusts(id string) error {
	if s, ok := get[*SigningConfig](c, signingPrefix+id); id != "" && ok && s.Policy == "Enforce" {
		return alcove.ClientError("CodeVerificationFailedException", "Lambda cannot deploy the function. The function or layer might be signed using a "+
			"signature that the client is not configured to accept. Check the provided signature for unsigned.")
	}
	return nil
}

// signingARN writes an id, or the ARN of another place that stands for one, in
// an error.
func (c *Catalog) signingARN(id string) string {
	if strings.HasPrefix(id, "csc-") {
		return c.cfg.Place.SigningARN(id)
	}
	return id
}

func (c *Catalog) noSigning(id string) error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "The Lambda code signing configuration %s can not be found.", c.signingARN(id))
}
