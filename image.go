package alcove

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// Values of Config.PackageType.
const (
	PackageZip   = "Zip"
	PackageImage = "Image"
)

// MaxImage is how many bytes the layers of a container image may have
// uncompressed, and MaxImageSettings those of its settings (Lambda quotas).
const (
	MaxImage         = 10 << 30
	MaxImageSettings = 16 << 10
)

// ImageConfig is what a function says of how its container image is run; what is
// empty is left to the image (the member ImageConfig).
type ImageConfig struct {
	EntryPoint       []string `json:"entryPoint,omitempty"`
	Command          []string `json:"command,omitempty"`
	WorkingDirectory string   `json:"workingDirectory,omitempty"`
}

// Empty says whether c leaves all to the image; c may be nil.
func (c *ImageConfig) Empty() bool {
	return c == nil || len(c.EntryPoint)+len(c.Command)+len(c.WorkingDirectory) == 0
}

// ImageSettings is what a container image says of how it is run.
type ImageSettings struct {
	EntryPoint       []string `json:"entryPoint,omitempty"`
	Command          []string `json:"command,omitempty"`
	Environment      []string `json:"environment,omitempty"` // NAME=value
	WorkingDirectory string   `json:"workingDirectory,omitempty"`
	// User is who its programs run as, nil the sandbox's own user: of an image that
	// names nobody, as on AWS, and of one that names root.
	User *ImageUser `json:"user,omitempty"`
}

// ImageUser is the user that a container image names, by the image's own
// /etc/passwd and /etc/group. It is never root.
type ImageUser struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"` // further ones
	Home   string   `json:"home,omitempty"`
}

// Check refuses settings that no process can be started with.
func (s ImageSettings) Check() error {
	size := 0
	for _, list := range [][]string{s.EntryPoint, s.Command, s.Environment, {s.WorkingDirectory}} {
		for _, text := range list {
			size += len(text) + 1
			if strings.ContainsRune(text, 0) {
				return fmt.Errorf("a setting contains NUL")
			}
		}
	}
	for _, variable := range s.Environment {
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			return fmt.Errorf("%.100q is no environment variable", variable)
		}
	}
	if size > MaxImageSettings {
		return fmt.Errorf("its settings have %d bytes, the limit is %d", size, MaxImageSettings)
	}
	return nil
}

// With is s with what a function says of it, which may be nil. Each member that
// it has replaces the image's, the others stay.
func (s ImageSettings) With(c *ImageConfig) ImageSettings {
	if c == nil {
		return s
	}
	if len(c.EntryPoint) > 0 {
		s.EntryPoint = c.EntryPoint
	}
	if len(c.Command) > 0 {
		s.Command = c.Command
	}
	if c.WorkingDirectory != "" {
		s.WorkingDirectory = c.WorkingDirectory
	}
	return s
}

// Digest is c's digest as the member CodeSha256 has it: of a zip file in base64,
// of an image in hexadecimal.
func (c Code) Digest() string {
	if c.Image != "" {
		return c.SHA256
	}
	raw, err := hex.DecodeString(c.SHA256)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// FromImage says whether v's code is a container image.
func (v *Version) FromImage() bool { return v.Config.PackageType == PackageImage }

// Codes of NotReady (Lambda's enum StateReasonCode).
const (
	NotReadyInternal     = "InternalError"
	NotReadyImage        = "InvalidImage"
	NotReadyImageAccess  = "ImageAccessDenied"
	NotReadyImageDeleted = "ImageDeleted"
)

// NotReady is why a version cannot run, in the words of its StateReason and
// StateReasonCode. Err is for the operator.
type NotReady struct {
	Code, Reason string
	Err          error
}

// Error implements error.
func (e *NotReady) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Reason, e.Err)
	}
	return e.Code + ": " + e.Reason
}

// Unwrap gives what happened underneath.
func (e *NotReady) Unwrap() error { return e.Err }
