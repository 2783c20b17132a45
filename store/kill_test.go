package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
)

const (
	killKeys   = 4
	killDirEnv = "ALCOVE_STORE_TEST_DIR"
)

// childWrite puts growing numbers under some keys at once and says which were
// acknowledged, until it is killed.
func childWrite() int {
	s, err := Open(context.Background(), Config{Dir: os.Getenv(killDirEnv)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	b := s.Bucket("kill")
	var mu sync.Mutex
	var wg sync.WaitGroup
	for k := range killKeys {
		wg.Go(func() {
			key := fmt.Sprint("key.", k)
			n := 0
			if e, err := b.Get(context.Background(), key); err == nil {
				n, _ = strconv.Atoi(string(e.Value))
			}
			for {
				n++
				if _, err := b.Put(context.Background(), key, []byte(fmt.Sprint(n))); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				mu.Lock()
				fmt.Println(k, n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return 1
}

func TestAcknowledgedSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	var acked [killKeys]int
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=write", killDirEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until, lines := 1+rand.IntN(200), 0
		in := bufio.NewScanner(out)
		for in.Scan() {
			var k, n int
			if _, err := fmt.Sscan(in.Text(), &k, &n); err != nil {
				t.Fatalf("child says %q", in.Text())
			}
			acked[k] = n
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
		s := open(t, Config{Dir: dir})
		for k, n := range acked {
			got := 0
			e, err := s.Bucket("kill").Get(t.Context(), fmt.Sprint("key.", k))
			if err == nil {
				got, err = strconv.Atoi(string(e.Value))
			}
			if n > 0 && (err != nil || got < n || got > n+1) {
				t.Errorf("round %d: key %d is %q (%v), acknowledged was %d", round, k, e.Value, err, n)
			}
			// The next child goes on from here, whether this was acknowledged or not.
			acked[k] = max(acked[k], got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
