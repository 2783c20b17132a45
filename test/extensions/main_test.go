package extensions

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove/test/testnode"
)

// program is the alcove that is tested, extension what is in the layers.
var program, extension string

func TestMain(m *testing.M) { os.Exit(main(m)) }

func main(m *testing.M) int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "extensions: needs root: the sandboxes under test are made of namespaces, mounts and cgroups")
		return 1
	}
	path, remove, err := testnode.Program("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, "extensions:", err)
		return 1
	}
	defer remove()
	program = path
	if extension, err = build(); err != nil {
		fmt.Fprintln(os.Stderr, "extensions:", err)
		return 1
	}
	return m.Run()
}

// build builds the extension.
func build() (string, error) {
	dir, err := os.MkdirTemp("", "alcove-extension-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "extension")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./extension")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// bench is a node with a layer of extensions.
type bench struct {
	*testnode.Node
	layer  string
	gvisor bool
}

// onEach runs a test on a node of each driver.
func onEach(t *testing.T, test func(t *testing.T, b *bench)) {
	for _, driver := range []string{"gvisor", "namespace"} {
		t.Run(driver, func(t *testing.T) {
			b := start(t, t.TempDir(), "--isolation", driver)
			b.gvisor = driver == "gvisor"
			test(t, b)
		})
	}
}

func start(t *testing.T, data string, flags ...string) *bench {
	t.Helper()
	b := &bench{Node: testnode.Start(t, program, data, flags...)}
	b.layer = b.publish(t, testnode.Files{"extensions/watcher*": extension})
	return b
}

func (b *bench) publish(t *testing.T, content testnode.Files) string {
	t.Helper()
	name := testnode.Name(t)
	out, err := b.Lambda.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: &name,
		Content: &types.LayerVersionContentInput{ZipFile: content.Zip(t)}})
	if err != nil {
		t.Fatal(err)
	}
	return *out.LayerVersionArn
}

// with gives a function the extension, which behaves as mode says.
func (b *bench) with(mode string, layer ...string) testnode.Option {
	return func(in *lambda.CreateFunctionInput) {
		in.Layers = append([]string{b.layer}, layer...)
		in.Environment = &types.Environment{Variables: map[string]string{"EXTENSION_MODE": mode}}
	}
}

func seconds(s int32) testnode.Option {
	return func(in *lambda.CreateFunctionInput) { in.Timeout = &s }
}

// answer is what became of an invocation.
type answer struct {
	Text, ID                string // of a function that answered
	ErrorType, ErrorMessage string // of one that failed
	tail                    string
}

func (b *bench) invoke(t *testing.T, function, tenant, payload string) (a answer) {
	t.Helper()
	in := &lambda.InvokeInput{FunctionName: &function, Payload: []byte(payload), LogType: types.LogTypeTail}
	if tenant != "" {
		in.TenantId = &tenant
	}
	out, err := b.Lambda.Invoke(t.Context(), in)
	if err != nil {
		t.Fatalf("Invoke %s for %q: %v", function, tenant, err)
	}
	if err := json.Unmarshal(out.Payload, &a); err != nil {
		t.Fatalf("Invoke %s for %q: %s: %v", function, tenant, out.Payload, err)
	}
	a.tail = decode(aws.ToString(out.LogResult))
	return a
}

// log is all that is in a function's log.
func (b *bench) log(t *testing.T, function string) string {
	t.Helper()
	group := "/aws/lambda/" + function
	var all strings.Builder
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(b.Logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			return err.Error() // there is none yet
		}
		for _, e := range page.Events {
			all.WriteString(*e.Message + "\n")
		}
	}
	return all.String()
}

// logged waits until a function's log has all of the words.
func (b *bench) logged(t *testing.T, function string, words ...string) string {
	t.Helper()
	var text string
	testnode.Eventually(t, "the log of "+function+" to have "+strings.Join(words, ", "), func() bool {
		text = b.log(t, function)
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
	return text
}

// change has all environments that a function has end, once they are idle.
func (b *bench) change(t *testing.T, function string) {
	t.Helper()
	_, err := b.Lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &function, Timeout: aws.Int32(19)})
	if err != nil {
		t.Fatal(err)
	}
}

func decode(base string) string {
	raw, err := base64.StdEncoding.DecodeString(base)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
