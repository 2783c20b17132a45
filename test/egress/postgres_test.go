package egress

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// database is a function with the usual client of PostgreSQL for Node.js, which it
// finds by its name.
const database = `
const { Pool } = require('pg')
const pool = new Pool({ host: 'db.example.com', user: 'app', password: 'secret', database: 'postgres', max: 8 })
exports.handler = async (event) => {
  await pool.query('CREATE TABLE IF NOT EXISTS t (tenant text, n int, b text)')
  const c = await pool.connect()
  await c.query('BEGIN')
  for (let i = 0; i < 200; i++) await c.query('INSERT INTO t VALUES ($1, $2, $3)', [event.tenant, i, 'é'.repeat(i)])
  await c.query('COMMIT')
  c.release()
  const sums = await Promise.all(Array.from({ length: 40 }, () => pool.query('SELECT sum(n)::int AS s, pg_sleep(0.02) FROM t WHERE tenant = $1', [event.tenant])))
  const large = await pool.query("SELECT repeat('x', 8000000) AS b")
  let failed
  try { await pool.query('SELECT * FROM nothing') } catch (e) { failed = e.code }
  return { sum: sums.reduce((a, r) => a + r.rows[0].s, 0), large: large.rows[0].b.length, failed, connections: pool.totalCount }
}
`

// TestPostgreSQL has a function use a real server, elsewhere, through a real
// client, under a policy that allows it by its name and nothing else; and again
// with the connections that it kept, after a freeze.
func TestPostgreSQL(t *testing.T) {
	if _, err := os.Stat("testdata/js/node_modules/pg"); err != nil {
		t.Skip("the client is not installed: make test/egress/testdata/js/node_modules")
	}
	servers, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	owner, err := user.Lookup("postgres")
	if len(servers) == 0 || err != nil {
		t.Skip("PostgreSQL is not installed: scripts/install-missing clients")
	}
	servePostgres(t, servers[len(servers)-1], owner, "8.8.4.4")
	earth.name("db.example.com", "8.8.4.4")
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) {
			n := start(t, d)
			n.bundle("database", "nodejs22.x", database)
			n.set("functions/database", `{"mode":"list","allow":["tcp://db.example.com:5432"]}`)
			for i := 1; i <= 2; i++ {
				var got struct {
					Sum, Large, Connections int
					Failed                  string
				}
				n.invoke("database", "", map[string]any{"tenant": d}, &got)
				if got.Sum != 40*i*19900 || got.Large != 8_000_000 || got.Failed != "42P01" || got.Connections < 2 {
					t.Errorf("invocation %d: %+v", i, got)
				}
				eventually(t, "the environment to be frozen", func() bool {
					_, body := n.api("GET", "environments?function=database", "")
					return strings.Contains(body, `"frozen":true`)
				})
			}
			_, report := n.api("GET", "usage?function=database", "")
			t.Logf("usage: %.600s", report)
		})
	}
}

// servePostgres runs a server in the world.
func servePostgres(t *testing.T, bin string, owner *user.User, addr string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "alcove-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	password := filepath.Join(dir, "password")
	if err := errors.Join(os.WriteFile(password, []byte("secret\n"), 0o600), os.Chown(password, uid, gid), os.Chown(dir, uid, gid)); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, args[0]), args[1:]...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, Setpgid: true}
		return cmd
	}
	if out, err := run("initdb", "-D", data, "-U", "app", "--pwfile", password, "-A", "scram-sha-256", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	f, err := os.OpenFile(filepath.Join(data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("host all all 0.0.0.0/0 scram-sha-256\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	var said buffer
	server := run("postgres", "-D", data, "-h", addr, "-k", dir, "-c", "fsync=off")
	server.Stdout, server.Stderr = &said, &said
	if err := earth.in(server.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGINT)
		server.Wait()
		if t.Failed() {
			t.Logf("PostgreSQL: %.3000s", said.String())
		}
	})
	eventually(t, "PostgreSQL", func() bool {
		err := earth.in(func() error {
			c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", addr+":5432")
			if err == nil {
				c.Close()
			}
			return err
		})
		return err == nil
	})
}

// bundle makes a function of JavaScript with the modules that are installed.
func (n *node) bundle(name, runtime, source string) {
	n.t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	add := func(path string, b []byte) error {
		w, err := z.Create(path)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}
	root := "testdata/js"
	err := filepath.WalkDir(filepath.Join(root, "node_modules"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		return errors.Join(err, add(rel, b))
	})
	if err = errors.Join(err, add("index.js", []byte(source)), z.Close()); err != nil {
		n.t.Fatal(err)
	}
	in := &lambda.CreateFunctionInput{FunctionName: &name, Role: aws.String("arn:aws:iam::000000000000:role/r"), Runtime: types.Runtime(runtime),
		Handler: aws.String("index.handler"), Code: &types.FunctionCode{ZipFile: buf.Bytes()}, Timeout: aws.Int32(60), MemorySize: aws.Int32(512)}
	if _, err := n.lambda.CreateFunction(n.t.Context(), in); err != nil {
		n.t.Fatal(fmt.Errorf("create %s: %w", name, err))
	}
	if err := lambda.NewFunctionActiveV2Waiter(n.lambda).Wait(n.t.Context(), &lambda.GetFunctionInput{FunctionName: &name}, patience); err != nil {
		n.t.Fatal(err)
	}
}
