package runtimes

import (
	"path"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox"
)

// Container is the family of what runs from a container image: functions that are
// one, and managed runtimes that an image stands for.
const Container Family = "container"

// UseImages has images stand for runtimes: mapped tells whether one does for a
// name, and its digest if that is known. It is called before the Set is used.
func (s *Set) UseImages(mapped func(name string) (digest string, ok bool)) { s.mapped = mapped }

// image is the runtime that an image stands for, if one does.
func (s *Set) image(name string) (Runtime, bool) {
	if s.mapped == nil {
		return Runtime{}, false
	}
	digest, ok := s.mapped(name)
	if !ok {
		return Runtime{}, false
	}
	r := Runtime{Name: name, Family: Container, Version: digest, Image: true, TCP: true}
	if FamilyOf(name) == Provided {
		r.Family = Provided
	}
	return r, true
}

// OfImage is what runs a function that is a container image.
func OfImage() Runtime { return Runtime{Family: Container, TCP: true} }

// Label names what really runs, in the form of AWS's "python:3.10.v11"; it is
// empty where nobody knows.
func (r Runtime) Label() string {
	switch {
	case r.Version == "":
		return ""
	case !r.Image:
		return string(r.Family) + ":" + r.Version
	}
	name, version := r.Name, ""
	if i := strings.IndexAny(name, "0123456789"); i > 0 {
		name, version = name[:i], name[i:]+"."
	}
	return name + ":" + version + r.Version[:min(12, len(r.Version))]
}

// VersionARN is the same in the form of an ARN. AWS's ends in a digest.
func (r Runtime) VersionARN(p alcove.Place) string {
	if r.Version == "" {
		return ""
	}
	id := r.Version
	if !r.Image {
		id = string(r.Family) + r.Version
	}
	return "arn:" + p.Partition + ":lambda:" + p.Region + "::runtime:" + id
}

// defaultPath is where programs of an image are that does not say it.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// imageMaySet are the reserved variables that AWS's base images set.
var imageMaySet = map[string]bool{"LAMBDA_TASK_ROOT": true, "LAMBDA_RUNTIME_DIR": true, "AWS_EXECUTION_ENV": true}

// ImageEnviron is the environment of the first process of a sandbox that runs v
// from an image with these settings: the image's variables, over them the function's
// own, over these AWS's. The user that an image names has a HOME, as container
// engines have it; AWS's has none. r is Container, or a runtime that the image stands
// for.
func ImageEnviron(v *alcove.Version, r Runtime, image alcove.ImageSettings, place alcove.Place, stream string) []string {
	c := v.Config
	env := map[string]string{"PATH": defaultPath, "TZ": ":UTC", "LAMBDA_TASK_ROOT": TaskDir, "LAMBDA_RUNTIME_DIR": RuntimeDir}
	if image.User != nil && image.User.Home != "" {
		env["HOME"] = image.User.Home
	}
	for _, variable := range image.Environment {
		key, value, _ := strings.Cut(variable, "=")
		if !reserved[key] || imageMaySet[key] {
			env[key] = value
		}
	}
	for key, value := range c.Environment {
		if !reserved[key] && !strings.HasPrefix(key, "_") {
			env[key] = value
		}
	}
	if _, ok := env[contextMissing]; !ok {
		env[contextMissing] = "LOG_ERROR"
	}
	env["AWS_LAMBDA_RUNTIME_API"] = sandbox.RuntimeAPIAddr
	env[initializationType] = "on-demand"
	env["AWS_REGION"] = place.Region
	env["AWS_DEFAULT_REGION"] = place.Region
	if r.Image {
		env["_HANDLER"] = c.Handler
		env["LAMBDA_TASK_ROOT"] = TaskDir
		if r.Family != Provided {
			env["AWS_EXECUTION_ENV"] = "AWS_Lambda_" + r.Name
		}
	}
	identify(env, v, stream)
	return list(env)
}

// identify adds what tells a function of itself.
func identify(env map[string]string, v *alcove.Version, stream string) {
	c := v.Config
	env["AWS_LAMBDA_FUNCTION_NAME"] = v.Name
	env["AWS_LAMBDA_FUNCTION_VERSION"] = v.Number
	env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = strconv.Itoa(c.MemorySize)
	env["AWS_LAMBDA_LOG_GROUP_NAME"] = c.Logging.Group
	env["AWS_LAMBDA_LOG_STREAM_NAME"] = stream
	if c.Logging.Group == "" {
		env["AWS_LAMBDA_LOG_GROUP_NAME"] = "/aws/lambda/" + v.Name
	}
	if c.Logging.JSON() {
		env["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
		if c.Logging.ApplicationLevel != "" {
			env["AWS_LAMBDA_LOG_LEVEL"] = c.Logging.ApplicationLevel
		}
	}
}

// Lookup gives a variable of an environment as execve takes it.
func Lookup(env []string, name string) string {
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// ImageDir is the working directory that settings of an image say, or the one
// that is used otherwise.
func ImageDir(s alcove.ImageSettings, otherwise string) string {
	if s.WorkingDirectory == "" {
		return otherwise
	}
	return path.Join("/", s.WorkingDirectory)
}
