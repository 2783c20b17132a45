package catalog

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// note is what the child says before ("begin") and after ("ack") an operation:
// all that a client could know of one function then.
type note struct {
	Ack      bool
	Name     string
	ID       string // empty: there is no such function
	Code     string
	Words    string
	Versions []string
}

// seen notes how a function is now.
func seen(n *node, name string) note {
	out := note{Name: name}
	if e := n.view.Load().functions[name]; e != nil {
		out.ID, out.Code, out.Words, out.Versions = e.function.ID, e.latest.Code.SHA256, e.latest.Config.Description, e.numbers
	}
	return out
}

// childChange creates, changes and deletes functions at random until it is
// killed, with functions that take a moment to become ready.
func childChange() int {
	slow := func(ctx context.Context, v *alcove.Version) error {
		select {
		case <-time.After(time.Duration(rand.IntN(3)) * time.Millisecond):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	n, err := start(os.Getenv(dirEnv), Config{Prepare: slow}, time.Millisecond)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	say := func(v note) {
		b, _ := json.Marshal(v)
		fmt.Println(string(b))
	}
	ctx := context.Background()
	for i := 0; ; i++ {
		name := fmt.Sprint("f", rand.IntN(6))
		say(note{Name: name})
		words, zip := fmt.Sprint("words ", os.Getpid(), i), makeZip(fmt.Sprint(os.Getpid(), i%7))
		switch rand.IntN(8) {
		case 0:
			err = n.Delete(ctx, caller, alcove.Ref{Name: name})
		case 1:
			_, err = n.Publish(ctx, caller, name, PublishInput{Description: &words})
		case 2:
			err = n.Delete(ctx, caller, alcove.Ref{Name: name, Qualifier: fmt.Sprint(1 + rand.IntN(3))})
		case 3:
			_, err = n.UpdateCode(ctx, caller, name, UpdateCodeInput{Zip: zip, Publish: rand.IntN(2) == 0})
		case 4, 5:
			_, err = n.UpdateConfiguration(ctx, caller, name, "", describe(words))
		default:
			_, err = n.Create(ctx, caller, CreateInput{Name: name, Config: config(words), Zip: zip, Publish: rand.IntN(2) == 0})
		}
		if err != nil && alcove.AsError(err).Fault != alcove.FaultClient {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		done := seen(n, name)
		done.Ack = true
		say(done)
	}
}

func TestAcknowledgedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	acked := make(map[string]note)
	changed := 0
	for round := range 10 {
		var open string // the function of the operation that was cut off
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=change", dirEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until, lines := 1+rand.IntN(80), 0
		in := bufio.NewScanner(out)
		for in.Scan() {
			var v note
			if err := json.Unmarshal(in.Bytes(), &v); err != nil {
				t.Fatalf("child says %q", in.Text())
			}
			open = v.Name
			if v.Ack {
				open = ""
				acked[v.Name] = v
				changed++
			}
			if lines++; lines == until {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		if lines < until {
			t.Fatalf("child ended by itself after %d lines", lines)
		}
		verify(t, round, dir, acked, open)
	}
	if changed < 100 {
		t.Logf("only %d operations were acknowledged", changed)
	}
}

// verify opens the catalog that the child left and compares it with what was
// acknowledged; the function of the operation that was cut off may be either.
func verify(t *testing.T, round int, dir string, acked map[string]note, open string) {
	t.Helper()
	n, err := start(dir, Config{}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.stopAll(); err != nil {
			t.Error(err)
		}
	}()
	for name, w := range acked {
		got := seen(n, name)
		got.Ack = true
		if name != open && (got.ID != w.ID || got.Code != w.Code || got.Words != w.Words || !slices.Equal(got.Versions, w.Versions)) {
			t.Errorf("round %d: %s is %+v, acknowledged was %+v", round, name, got, w)
		}
	}
	for name := range n.view.Load().functions {
		if v := n.settled(t, name); v.State != alcove.StateActive || v.Update != alcove.UpdateSuccessful {
			t.Errorf("round %d: %s was driven on to %q", round, name, states(v))
		}
		acked[name] = seen(n, name)
	}
	if _, err := n.Function(open); err != nil {
		delete(acked, open)
	}
	// Every package that is referred to is there, and in the end no other.
	want := n.referenced()
	for sha := range want {
		if !n.stored(sha) {
			t.Errorf("round %d: a package is missing", round)
		}
	}
	n.code.kick()
	poll(t, "packages of nobody are removed", func() bool {
		left, err := os.ReadDir(dir + "/artifact/zip")
		return err == nil && len(left) == len(want)
	})
	poll(t, "records of nobody are removed", func() bool {
		list, err := n.bucket.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if id, number, ok := splitVersionKey(e.Key); ok && !strings.HasPrefix(e.Key, functionPrefix) {
				if v := n.byID(id); v == nil || v.function.LastVersion < number {
					return false
				}
			}
		}
		return true
	})
}

func (n *node) byID(id string) *entry {
	for _, e := range n.view.Load().functions {
		if e.function.ID == id {
			return e
		}
	}
	return nil
}
