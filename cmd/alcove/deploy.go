package main

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// functionFlags describe a function that is made from a directory.
type functionFlags struct {
	Name            string            `help:"Name of the function; the directory's if not given." env:"-"`
	Runtime         string            `help:"Lambda runtime: python3.13, nodejs22.x, provided.al2023 …; guessed from the files if not given." env:"-"`
	Handler         string            `help:"Handler, as file.function; guessed if not given." env:"-"`
	TenantIsolation bool              `help:"Give every tenant execution environments of its own. Cannot be changed later, nor has to be given again." env:"-"`
	Memory          *int32            `help:"Memory in MB; 128 for a new function if not given." name:"memory-size" placeholder:"MB" env:"-"`
	Timeout         *int32            `help:"Seconds that an invocation may take; 3 for a new function if not given." placeholder:"SECONDS" env:"-"`
	Env             map[string]string `help:"Environment variables, as KEY=VALUE; if one is given, the function has those and no others." placeholder:"KEY=VALUE" env:"-"`
	LogFormat       string            `help:"Text or JSON; Text for a new function if not given." enum:",Text,JSON" default:"" placeholder:"FORMAT" env:"-"`
	Role            string            `help:"Role of the function, by which its code may do what 'alcove roles' says; arn:aws:iam::000000000000:role/alcove for a new function if not given." placeholder:"ARN" env:"-"`
}

// deployCmd makes or updates a function.
type deployCmd struct {
	clientFlags
	functionFlags
	Image string `help:"Container image to deploy instead of a directory, as REGISTRY/REPOSITORY:TAG; give --name with it." env:"-" placeholder:"IMAGE"`
	Dir   string `arg:"" optional:"" help:"Directory with the function's code." type:"existingdir"`
}

// Run implements the command.
func (c *deployCmd) Run(ctx context.Context) error {
	source, err := c.source()
	if err != nil {
		return err
	}
	client, err := c.lambda()
	if err != nil {
		return err
	}
	arn, err := deploy(ctx, client, source, c.functionFlags)
	if err != nil {
		return c.explain(err)
	}
	fmt.Println(arn)
	return nil
}

// source is what a function is made of: a directory, or a container image.
type source struct{ dir, image string }

// source says which of the two the command line has.
func (c *deployCmd) source() (source, error) {
	switch {
	case (c.Image == "") == (c.Dir == ""):
		return source{}, errors.New("give a directory, or --image with a container image")
	case c.Image != "" && c.Name == "":
		return source{}, errors.New("--image: give the function's --name")
	case c.Image != "" && (c.Runtime != "" || c.Handler != ""):
		return source{}, errors.New("--image: the image says what runs; leave out --runtime and --handler")
	}
	return source{c.Dir, c.Image}, nil
}

// deploy creates the function of a source, or brings the one of its name up to
// date, waits until it can be invoked, and answers with its ARN.
func deploy(ctx context.Context, client *lambda.Client, from source, f functionFlags) (string, error) {
	if err := f.name(from.dir); err != nil {
		return "", err
	}
	have, err := client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &f.Name})
	var missing *types.ResourceNotFoundException
	if err != nil && !errors.As(err, &missing) {
		if g := f; from.image == "" {
			if gerr := g.guess(from.dir); gerr != nil {
				return "", gerr // which can be mended without a node
			}
		}
		return "", err
	}
	code := &types.FunctionCode{}
	if from.image != "" {
		code.ImageUri = &from.image
	} else {
		if err == nil {
			f.keep(from.dir, have)
		}
		if err := f.guess(from.dir); err != nil {
			return "", err
		}
		var zerr error
		if code.ZipFile, zerr = zipDir(from.dir); zerr != nil {
			return "", zerr
		}
	}
	switch {
	case errors.As(err, &missing):
		err = create(ctx, client, code, f)
	case err == nil && have.TenancyConfig == nil && f.TenantIsolation:
		return "", fmt.Errorf("tenant isolation of %s was decided when it was created and cannot change; deploy under another --name", f.Name)
	case err == nil:
		err = update(ctx, client, code, f, have, from.patience())
	}
	if err != nil {
		return "", err
	}
	got, err := lambda.NewFunctionActiveV2Waiter(client, quickly).WaitForOutput(ctx, &lambda.GetFunctionInput{FunctionName: &f.Name}, from.patience())
	if err != nil {
		return "", fmt.Errorf("function %s did not become active: %w", f.Name, err)
	}
	return aws.ToString(got.Configuration.FunctionArn), nil
}

// patience is how long it may take to make the function ready: images are pulled.
func (s source) patience() time.Duration {
	if s.image != "" {
		return time.Hour
	}
	return time.Minute
}

func quickly(o *lambda.FunctionActiveV2WaiterOptions) {
	o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second
}

// defaultRole is the role of functions that are made without one.
const defaultRole = "arn:aws:iam::000000000000:role/alcove"

func create(ctx context.Context, client *lambda.Client, code *types.FunctionCode, f functionFlags) error {
	if f.Role == "" {
		f.Role = defaultRole
	}
	// What is not given has Lambda's defaults.
	in := &lambda.CreateFunctionInput{
		FunctionName: &f.Name, Role: &f.Role, Code: code, MemorySize: f.Memory, Timeout: f.Timeout, LoggingConfig: f.logging(),
	}
	if code.ImageUri != nil {
		in.PackageType = types.PackageTypeImage
	} else {
		in.Runtime, in.Handler = types.Runtime(f.Runtime), &f.Handler
	}
	if len(f.Env) > 0 {
		in.Environment = &types.Environment{Variables: f.Env}
	}
	if f.TenantIsolation {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	}
	_, err := client.CreateFunction(ctx, in)
	return err
}

// logging is what was given of it, or nil.
func (f *functionFlags) logging() *types.LoggingConfig {
	if f.LogFormat == "" {
		return nil
	}
	return &types.LoggingConfig{LogFormat: types.LogFormat(f.LogFormat)}
}

// update brings a function up to date. What is not given stays as it is.
func update(ctx context.Context, client *lambda.Client, code *types.FunctionCode, f functionFlags, have *lambda.GetFunctionConfigurationOutput, patience time.Duration) error {
	updated := func() error {
		return lambda.NewFunctionUpdatedV2Waiter(client, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
			o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second
		}).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &f.Name}, patience)
	}
	if err := updated(); err != nil {
		return err
	}
	config := &lambda.UpdateFunctionConfigurationInput{MemorySize: f.Memory, Timeout: f.Timeout, LoggingConfig: f.logging()}
	if len(f.Env) > 0 {
		config.Environment = &types.Environment{Variables: f.Env}
	}
	if f.Role != "" {
		config.Role = &f.Role
	}
	if code.ImageUri == nil && types.Runtime(f.Runtime) != have.Runtime {
		config.Runtime = types.Runtime(f.Runtime)
	}
	if code.ImageUri == nil && f.Handler != aws.ToString(have.Handler) {
		config.Handler = &f.Handler
	}
	if !reflect.DeepEqual(config, &lambda.UpdateFunctionConfigurationInput{}) {
		config.FunctionName = &f.Name
		if _, err := client.UpdateFunctionConfiguration(ctx, config); err != nil {
			return err
		}
		if err := updated(); err != nil {
			return err
		}
	}
	if _, err := client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &f.Name, ZipFile: code.ZipFile, ImageUri: code.ImageUri}); err != nil {
		return err
	}
	return updated()
}

// name is the directory's if none was given.
func (f *functionFlags) name(dir string) error {
	if f.Name != "" {
		return nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	f.Name = filepath.Base(abs)
	return nil
}

// keep fills in what a function has of runtime and handler, as long as the file of
// the handler is there.
func (f *functionFlags) keep(dir string, have *lambda.GetFunctionConfigurationOutput) {
	handler := aws.ToString(have.Handler)
	file := strings.TrimSuffix(handler, filepath.Ext(handler)) // of module.function
	files, _ := filepath.Glob(filepath.Join(dir, file+".*"))
	if strings.HasPrefix(string(have.Runtime), "provided") {
		files, _ = filepath.Glob(filepath.Join(dir, "bootstrap"))
	}
	if len(files) == 0 {
		return
	}
	if f.Runtime == "" {
		f.Runtime = string(have.Runtime)
	}
	if f.Handler == "" {
		f.Handler = handler
	}
}

// guess fills in what the files tell.
func (f *functionFlags) guess(dir string) error {
	guesses := []struct{ file, runtime, handler string }{
		{"bootstrap", "provided.al2023", "bootstrap"},
		{"lambda_function.py", "python3.13", "lambda_function.lambda_handler"},
		{"handler.py", "python3.13", "handler.handler"},
		{"main.py", "python3.13", "main.handler"},
		{"app.py", "python3.13", "app.handler"},
		{"index.mjs", "nodejs22.x", "index.handler"},
		{"index.js", "nodejs22.x", "index.handler"},
		{"index.cjs", "nodejs22.x", "index.handler"},
	}
	for _, g := range guesses {
		if _, err := os.Stat(filepath.Join(dir, g.file)); err == nil {
			if f.Runtime == "" {
				f.Runtime = g.runtime
			}
			if f.Handler == "" {
				f.Handler = g.handler
			}
			break
		}
	}
	if f.Runtime == "" || f.Handler == "" {
		var files []string
		for _, g := range guesses {
			files = append(files, g.file)
		}
		return fmt.Errorf("cannot tell the runtime and handler of %s, which has none of %s: give --runtime and --handler", dir, strings.Join(files, ", "))
	}
	return nil
}

// zipDir is dir as a deployment package. Files whose names begin with a dot stay
// at home.
func zipDir(dir string) ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") || d.Name() == "__pycache__" {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || d.IsDir() {
			return err
		}
		return addFile(z, path, filepath.ToSlash(rel))
	})
	if err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func addFile(z *zip.Writer, path, name string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	// No time stamps: the same files make the same digest.
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(st.Mode())
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}
