package console

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// settings is what the forms that make and that change a function have in common;
// its members are what was typed.
type settings struct {
	Handler, Description, Memory, Timeout, Ephemeral, Env, LogFormat string
}

// settings reads them of a form.
func (q *request) settings() settings {
	return settings{
		Handler: strings.TrimSpace(q.PostFormValue("handler")), Description: q.PostFormValue("description"), Memory: q.PostFormValue("memory"),
		Timeout: q.PostFormValue("timeout"), Ephemeral: q.PostFormValue("ephemeral"), Env: q.PostFormValue("env"), LogFormat: q.PostFormValue("logformat"),
	}
}

// settingsOf are those that a function has.
func settingsOf(c *types.FunctionConfiguration) settings {
	s := settings{
		Handler: aws.ToString(c.Handler), Description: aws.ToString(c.Description), Memory: strconv.Itoa(int(aws.ToInt32(c.MemorySize))),
		Timeout: strconv.Itoa(int(aws.ToInt32(c.Timeout))), Ephemeral: "512",
	}
	if c.EphemeralStorage != nil {
		s.Ephemeral = strconv.Itoa(int(aws.ToInt32(c.EphemeralStorage.Size)))
	}
	if c.Environment != nil {
		s.Env = formatEnv(c.Environment.Variables)
	}
	if c.LoggingConfig != nil {
		s.LogFormat = string(c.LoggingConfig.LogFormat)
	}
	return s
}

// values are the settings as the API takes them.
type values struct {
	memory, timeout *int32
	ephemeral       *types.EphemeralStorage
	env             map[string]string
	logging         *types.LoggingConfig
}

// read makes values of what was typed. What range a number has to be in is the API's
// to say.
func (s *settings) read() (values, error) {
	v := values{ephemeral: &types.EphemeralStorage{}, logging: &types.LoggingConfig{LogFormat: types.LogFormat(s.LogFormat)}}
	for _, n := range []struct {
		what, text string
		to         **int32
	}{{"Memory", s.Memory, &v.memory}, {"Timeout", s.Timeout, &v.timeout}, {"Ephemeral storage", s.Ephemeral, &v.ephemeral.Size}} {
		read, err := number(n.what, n.text)
		if err != nil {
			return v, err
		}
		*n.to = &read
	}
	var err error
	v.env, err = parseEnv(s.Env)
	return v, err
}

// number reads a whole number of a form.
func number(what, text string) (int32, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
	if err != nil {
		return 0, badInput(what + " has to be a whole number, not “" + text + "”.")
	}
	return int32(n), nil
}

// parseEnv reads environment variables, NAME=VALUE on a line each.
func parseEnv(text string) (map[string]string, error) {
	env := map[string]string{}
	for line := range strings.Lines(unixLines(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, badInput("Environment variables stand one on a line, as NAME=VALUE; this line is not: “" + line + "”.")
		}
		if _, twice := env[strings.TrimSpace(name)]; twice {
			return nil, badInput("The environment variable " + strings.TrimSpace(name) + " is there twice.")
		}
		env[strings.TrimSpace(name)] = value
	}
	return env, nil
}

// formatEnv is the reverse of parseEnv.
func formatEnv(env map[string]string) string {
	var b strings.Builder
	names := make([]string, 0, len(env))
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b.WriteString(name + "=" + env[name] + "\n")
	}
	return b.String()
}
