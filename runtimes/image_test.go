package runtimes

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
)

// The image's variables, over them the function's, over these the platform's.
func TestImageEnviron(t *testing.T) {
	v := &alcove.Version{Name: "f", Number: "7", Config: alcove.Config{MemorySize: 256, Handler: "h.f", PackageType: alcove.PackageImage,
		Environment: map[string]string{"BOTH": "function", "PATH": "/function", "AWS_REGION": "x", "_X": "x"}}}
	image := []string{"BOTH=image", "ONE=a=b", "EMPTY=", "ONE=c=d", "AWS_REGION=image", "AWS_SECRET_ACCESS_KEY=image", "_HANDLER=image", "LAMBDA_TASK_ROOT=/app",
		"AWS_EXECUTION_ENV=image", "AWS_LAMBDA_RUNTIME_API=evil:80", "AWS_LAMBDA_FUNCTION_NAME=other"}
	place := alcove.Place{Partition: "aws", Region: "eu-west-1", Account: "1"}
	get := func(r Runtime) map[string]string {
		env := map[string]string{}
		for _, variable := range ImageEnviron(v, r, alcove.ImageSettings{Environment: image}, place, "stream") {
			key, value, _ := strings.Cut(variable, "=")
			if _, twice := env[key]; twice {
				t.Errorf("%s is there twice", key)
			}
			env[key] = value
		}
		return env
	}
	check := func(what string, env, want map[string]string, absent ...string) {
		for key, value := range want {
			if env[key] != value {
				t.Errorf("%s: %s=%q, want %q", what, key, env[key], value)
			}
		}
		for _, key := range absent {
			if value, ok := env[key]; ok {
				t.Errorf("%s: %s=%q", what, key, value)
			}
		}
	}
	check("image", get(OfImage()), map[string]string{
		"BOTH": "function", "PATH": "/function", "ONE": "c=d", "EMPTY": "", "AWS_REGION": "eu-west-1", "LAMBDA_TASK_ROOT": "/app", "AWS_EXECUTION_ENV": "image",
		"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "7", "TZ": ":UTC", "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
	}, "_HANDLER", "_X", "AWS_SECRET_ACCESS_KEY", "LANG", "LD_LIBRARY_PATH", "HOME")
	mapped := Runtime{Name: "python3.13", Family: Container, Image: true, Version: strings.Repeat("a", 64)}
	check("runtime", get(mapped), map[string]string{"_HANDLER": "h.f", "LAMBDA_TASK_ROOT": "/var/task", "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"})
}

// A runtime that an image stands for is resolved whatever the machine has.
func TestUseImages(t *testing.T) {
	s := discover(t.TempDir(), slog.New(slog.DiscardHandler))
	digest := strings.Repeat("b", 64)
	s.UseImages(func(name string) (string, bool) {
		return digest, name == "java21" || name == "python3.13" || name == "provided.al2023"
	})
	place := alcove.Place{Partition: "aws", Region: "us-east-1"}
	for name, family := range map[string]Family{"java21": Container, "python3.13": Container, "provided.al2023": Provided} {
		r, err := s.Resolve(name)
		if err != nil || !r.Image || !r.TCP || r.Family != family || r.OwnStart(&alcove.Version{}) == "" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if got := r.For(&alcove.Version{Config: alcove.Config{Environment: map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/opt/w"}}}); len(got.Args) > 0 {
			t.Errorf("%s: %q in front of what the image brings", name, got.Args)
		}
		if got := r.VersionARN(place); got != "arn:aws:lambda:us-east-1::runtime:"+digest {
			t.Errorf("%s: %s", name, got)
		}
	}
	if r, _ := s.Resolve("python3.13"); r.Label() != "python:3.13."+digest[:12] {
		t.Errorf("label %s", r.Label())
	}
	if r, _ := s.Resolve("java21"); r.Label() != "java:21."+digest[:12] {
		t.Errorf("label %s", r.Label())
	}
	if _, err := s.Resolve("python3.12"); err == nil {
		t.Error("a runtime that neither an image nor the machine has")
	}
}
