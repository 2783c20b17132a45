package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/fsnotify/fsnotify"

	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/nodeapi"
)

// devCmd is the local loop: a node with throw-away data that runs what is in a
// directory, and runs it anew whenever it changes.
type devCmd struct {
	functionFlags
	Dir       string `arg:"" help:"Directory with the function's code." type:"existingdir"`
	Listen    string `help:"Address to listen on." default:"127.0.0.1:4566"`
	Isolation string `help:"What confines execution environments: ${enum}." enum:"gvisor,namespace" default:"gvisor"`
}

// settle is how long the directory must be quiet before it is deployed: editors
// write a file in several steps.
const settle = 150 * time.Millisecond

// Run implements the command.
func (c *devCmd) Run(ctx context.Context) error {
	data, err := os.MkdirTemp("", "alcove-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	s, err := c.node(data)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := openNode(ctx, s, log)
	if err != nil {
		return err
	}
	serving := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		serving <- n.serve(ctx)
		cancel()
	}()
	err = c.loop(ctx, n)
	cancel()
	drain, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer stop()
	return errors.Join(err, <-serving, n.close(drain))
}

// node is a node as `alcove serve` has it without flags, with data of its own and
// open to whoever is on this machine.
func (c *devCmd) node(data string) (serveCmd, error) {
	var s serveCmd
	if err := kong.ApplyDefaults(&s); err != nil {
		return s, err
	}
	s.Listen, s.Data, s.Isolation, s.Auth = c.Listen, data, c.Isolation, "none"
	return s, s.validate()
}

// loop deploys, tells the newcomer how to call, and deploys again on change.
func (c *devCmd) loop(ctx context.Context, n *node) error {
	endpoint := n.url()
	client := lambda.New(lambda.Options{Region: n.cfg.Region, BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("none", "none", "")})
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watch.Close()
	if err := watchTree(watch, c.Dir); err != nil {
		return err
	}
	at := clientFlags{Endpoint: endpoint, Region: n.cfg.Region}
	arn, err := deploy(ctx, client, source{dir: c.Dir}, c.functionFlags)
	if err != nil {
		return at.explain(err)
	}
	if err := c.guess(c.Dir); err != nil {
		return err
	}
	fmt.Printf("endpoint  %s\nconsole   %[1]s/console/\nfunction  %[2]s\n\n", endpoint, arn)
	tenant := ""
	if c.TenantIsolation {
		tenant = " --tenant blue"
	}
	fmt.Printf("try       alcove invoke %s%s --endpoint %s\n\n", c.Name, tenant, endpoint)
	go followLog(ctx, n.logs, "/aws/lambda/"+c.Name, c.TenantIsolation)

	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watch.Errors:
			return err
		case e := <-watch.Events:
			if strings.HasPrefix(filepath.Base(e.Name), ".") {
				continue
			}
			if st, err := os.Stat(e.Name); err == nil && st.IsDir() {
				_ = watchTree(watch, e.Name)
			}
			quiet.Reset(settle)
		case <-quiet.C:
			if _, err := deploy(ctx, client, source{dir: c.Dir}, c.functionFlags); err != nil {
				fmt.Fprintln(os.Stderr, "alcove: not deployed:", at.explain(err))
				continue
			}
			fmt.Println("deployed")
		}
	}
}

// watchTree watches dir and the directories below it.
func watchTree(w *fsnotify.Watcher, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if path != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "__pycache__" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		return w.Add(path)
	})
}

// followLog prints a group's records as they come, each with its tenant.
func followLog(ctx context.Context, store *logs.Store, group string, isolated bool) {
	err := store.Follow(ctx, logs.Query{Group: group}, func(e logs.Event) error {
		return writeRecord(os.Stdout, nodeapi.RecordOf(e, isolated), true)
	})
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "alcove: log:", err)
	}
}
