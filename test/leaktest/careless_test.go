package leaktest_test

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// careless is a Lambda-compatible service as there are several: it takes tenant
// ids and runs everybody's invocations of a function in one process, on the bare
// machine.
type careless struct {
	// refuses says that it does not even take TenancyConfig.
	refuses bool

	t  *testing.T
	mu sync.Mutex
	// Guarded by mu.
	functions map[string]*process
	deleted   []string
}

// process is a function's only environment.
type process struct {
	config map[string]any
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
}

const pythonLoop = `
import json, os, sys
sys.path.insert(0, os.getcwd())
import probe
out = os.fdopen(os.dup(1), "w")
class Context: pass
for line in sys.stdin:
    request = json.loads(line)
    Context.tenant_id = request["tenant"]
    out.write("\n>" + json.dumps(probe.handler(request["event"], Context)) + "\n")
    out.flush()
`

const nodeLoop = `
import readline from 'node:readline';
import { handler } from './probe.mjs';
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { event, tenant } = JSON.parse(line);
  process.stdout.write('\n>' + JSON.stringify(await handler(event, { tenantId: tenant })) + '\n');
}
process.exit(0);
`

// serve starts the service and answers with its address.
func (c *careless) serve(t *testing.T) string {
	c.t, c.functions = t, map[string]*process{}
	mux := http.NewServeMux()
	const functions = "/2015-03-31/functions"
	mux.HandleFunc("POST "+functions, c.create)
	mux.HandleFunc("GET "+functions+"/{name}", c.get)
	mux.HandleFunc("GET "+functions+"/{name}/configuration", c.get)
	mux.HandleFunc("DELETE "+functions+"/{name}", c.delete)
	mux.HandleFunc("POST "+functions+"/{name}/invocations", c.invoke)
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Close()
		for _, p := range c.functions {
			p.stop()
		}
	})
	return s.URL
}

func (p *process) stop() {
	p.in.Close()
	p.cmd.Process.Kill()
	p.cmd.Wait() // ends with the signal
}

func (c *careless) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		FunctionName, Runtime string
		TenancyConfig         any
		Code                  struct{ ZipFile []byte }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		c.t.Error(err)
	}
	if c.refuses && in.TenancyConfig != nil {
		w.Header().Set("X-Amzn-Errortype", "InvalidParameterValueException")
		w.WriteHeader(400)
		io.WriteString(w, `{"message":"Unknown member TenancyConfig"}`)
		return
	}
	dir := c.t.TempDir()
	z, err := zip.NewReader(bytes.NewReader(in.Code.ZipFile), int64(len(in.Code.ZipFile)))
	if err != nil {
		c.t.Error(err)
		return
	}
	if err := os.CopyFS(dir, z); err != nil {
		c.t.Error(err)
	}
	cmd := exec.Command("/usr/bin/python3", "-B", "-c", pythonLoop)
	if strings.HasPrefix(in.Runtime, "nodejs") {
		if err := os.WriteFile(filepath.Join(dir, "loop.mjs"), []byte(nodeLoop), 0o600); err != nil {
			c.t.Error(err)
		}
		cmd = exec.Command("node", "loop.mjs")
	}
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	p := &process{cmd: cmd, config: map[string]any{
		"FunctionName": in.FunctionName, "State": "Active", "LastUpdateStatus": "Successful", "TenancyConfig": in.TenancyConfig,
	}}
	p.in, err = cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err != nil || err2 != nil || cmd.Start() != nil {
		c.t.Error("the function's process did not start")
		return
	}
	p.out = bufio.NewReader(out)
	c.mu.Lock()
	c.functions[in.FunctionName] = p
	c.mu.Unlock()
	w.WriteHeader(201)
	json.NewEncoder(w).Encode(p.config)
}

func (c *careless) get(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	config := c.functions[r.PathValue("name")].config
	if strings.HasSuffix(r.URL.Path, "/configuration") {
		json.NewEncoder(w).Encode(config)
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"Configuration": config})
}

func (c *careless) delete(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := r.PathValue("name")
	c.functions[name].stop()
	delete(c.functions, name)
	c.deleted = append(c.deleted, name)
	w.WriteHeader(204)
}

func (c *careless) invoke(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.functions[r.PathValue("name")]
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	line, err := json.Marshal(map[string]any{"event": json.RawMessage(body), "tenant": r.Header.Get("X-Amz-Tenant-Id")})
	if err != nil {
		c.t.Error(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		c.t.Error(err)
	}
	for log := ""; ; {
		got, err := p.out.ReadString('\n')
		if err != nil {
			c.t.Errorf("the function's process: %v", err)
			return
		}
		if answer, ok := strings.CutPrefix(got, ">"); ok {
			w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte(log)))
			io.WriteString(w, strings.TrimSpace(answer))
			return
		}
		log += got
	}
}
