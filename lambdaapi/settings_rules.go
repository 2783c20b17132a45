package lambdaapi

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimes"
)

// checkEnvironment is the part of the table that a map needs.
func (s *settings) checkEnvironment(f *failures) {
	if s.Environment == nil {
		return
	}
	for _, name := range sortedKeys(s.Environment.Variables) {
		if !variablePattern.match(name) {
			f.add("environment.variables", "{"+name+"=…}", // values are secrets
				"Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "+variablePattern.text+"]")
		}
		if strings.Contains(s.Environment.Variables[name], "\x00") {
			f.add("environment.variables", "{"+name+"=…}", "Map values must not contain the character U+0000")
		}
	}
}

// checkVariables refuses variables that the runtime sets, and too many of them.
func checkVariables(variables map[string]string) error {
	var taken []string
	for _, name := range sortedKeys(variables) {
		if runtimes.Reserved(name) {
			taken = append(taken, name)
		}
	}
	if taken != nil {
		return alcove.InvalidParameter("Lambda was unable to configure your environment variables because the environment variables you have provided "+
			"contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(taken, ", "))
	}
	if measured := variablesText(variables); len(measured) > alcove.MaxEnvironment {
		return alcove.InvalidParameter("Lambda was unable to configure your environment variables because the environment variables you have provided "+
			"exceeded the 4KB limit. String measured: %s", strings.ToValidUTF8(measured[:min(len(measured), 2*alcove.MaxEnvironment)], ""))
	}
	return nil
}

// variablesText is the form that AWS measures variables in.
func variablesText(variables map[string]string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(variables); err != nil { // a map of strings
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// apply writes the members that are given to c. They were checked.
func (s *settings) apply(c *alcove.Config) error {
	if err := s.applyImage(c); err != nil {
		return err
	}
	set(&c.Runtime, s.Runtime)
	set(&c.Role, s.Role)
	set(&c.Handler, s.Handler)
	set(&c.Description, s.Description)
	set(&c.Timeout, s.Timeout)
	set(&c.MemorySize, s.MemorySize)
	if s.EphemeralStorage != nil {
		set(&c.Ephemeral, s.EphemeralStorage.Size)
	}
	if s.TracingConfig != nil {
		set(&c.Tracing, s.TracingConfig.Mode)
	}
	if s.Environment != nil {
		c.Environment = s.Environment.Variables
		if c.Environment == nil {
			c.Environment = map[string]string{}
		}
	}
	if s.DeadLetterConfig != nil {
		c.DeadLetter = ""
		set(&c.DeadLetter, s.DeadLetterConfig.TargetArn)
	}
	if s.LoggingConfig != nil {
		return s.LoggingConfig.apply(&c.Logging)
	}
	return nil
}

// checkDeadLetters refuses what takes no dead letters: anything but queues and
// topics that this node can reach.
func (s *settings) checkDeadLetters(a *API) error {
	if s.DeadLetterConfig == nil || s.DeadLetterConfig.TargetArn == nil || *s.DeadLetterConfig.TargetArn == "" {
		return nil
	}
	arn := *s.DeadLetterConfig.TargetArn
	if service := serviceOf(arn); service != "sqs" && service != "sns" {
		return alcove.InvalidParameter("The provided target ARN %s is neither an SQS queue nor an SNS topic.", arn)
	}
	return a.reaches(arn)
}

// reaches refuses a destination that nothing can be sent to from here.
func (a *API) reaches(arn string) error {
	if !a.Events.Delivers(arn) {
		return alcove.InvalidParameter("This node sends nothing to %s: its operator has given it no endpoint for %s.", arn, serviceOf(arn))
	}
	return nil
}

// serviceOf is the service of an ARN, or empty.
func serviceOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[2]
}

// applyTo is apply with the layers, which the catalog knows. A list that is given
// replaces what was there.
func (s *settings) applyTo(a *API) (func(c *alcove.Config) error, error) {
	if s.Layers == nil {
		return s.apply, nil
	}
	var layers []alcove.Layer
	if len(s.Layers) > 0 {
		var err error
		if layers, err = a.Catalog.Layers(s.Layers); err != nil {
			return nil, err
		}
	}
	return func(c *alcove.Config) error {
		c.Layers = layers
		return s.apply(c)
	}, nil
}

// apply changes the members that are given. Levels belong to the JSON format:
// they begin at INFO when it is chosen and go when it is left (recorded from the
// service).
func (s *loggingShape) apply(l *alcove.Logging) error {
	set(&l.Format, s.LogFormat)
	set(&l.Group, s.LogGroup)
	if !l.JSON() {
		if s.ApplicationLogLevel != nil || s.SystemLogLevel != nil {
			return alcove.InvalidParameter(`LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change the LogFormat to "JSON" and try again.`)
		}
		l.ApplicationLevel, l.SystemLevel = "", ""
		return nil
	}
	if l.ApplicationLevel == "" {
		l.ApplicationLevel = "INFO"
	}
	if l.SystemLevel == "" {
		l.SystemLevel = "INFO"
	}
	set(&l.ApplicationLevel, s.ApplicationLogLevel)
	set(&l.SystemLevel, s.SystemLogLevel)
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// checkArchitecture refuses machine code that this node cannot run.
func (a *API) checkArchitecture(list []string) (string, error) {
	if len(list) == 0 {
		return a.Architecture, nil
	}
	if list[0] != a.Architecture {
		return "", alcove.InvalidParameter("Architecture %s is not available here: this node runs %s.", list[0], a.Architecture)
	}
	return list[0], nil
}
