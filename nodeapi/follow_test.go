package nodeapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/logs"
)

// followed is an API of one function's log, whose callers say who they are in the
// Authorization header.
type followed struct {
	Config
	store *logs.Store
	mu    sync.Mutex
	asked []auth.Operation
	deny  bool
}

func newFollowedAPI(t *testing.T) (*followed, http.Handler) {
	t.Helper()
	store, err := logs.Open(logs.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	f := &followed{store: store}
	f.Config = Config{
		Authenticate: func(r *http.Request, _ []byte) (alcove.Caller, error) {
			return alcove.Caller{AccessKeyID: r.Header.Get("Authorization")}, nil
		},
		Authorize: func(_ alcove.Caller, o auth.Operation) (*auth.Scope, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.asked = append(f.asked, o)
			if f.deny {
				return nil, alcove.ClientError(auth.CodeAccessDenied, "no")
			}
			return nil, nil
		},
		Revoked: func(alcove.Caller) <-chan struct{} { return nil },
		Latest: func(alcove.Ref) (*alcove.Version, error) {
			return &alcove.Version{Name: "f", Config: alcove.Config{Tenancy: alcove.PerTenant, Logging: alcove.Logging{Group: "g"}}}, nil
		},
		Logs:  store,
		Place: alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"},
		Log:   slog.New(slog.DiscardHandler),
	}
	return f, New(f.Config)
}

// follow begins to follow as somebody; ended is closed when it has ended.
func follow(ctx context.Context, h http.Handler, who string) (w *httptest.ResponseRecorder, ended chan struct{}) {
	r := httptest.NewRequestWithContext(ctx, "GET", Prefix+"logs?function=f&follow=true", nil)
	r.Header.Set("Authorization", who)
	w, ended = httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(ended)
		h.ServeHTTP(w, r)
	}()
	return w, ended
}

// TestFollowedLogsAreBounded has one key follow as many logs as there are places: it
// gets no more, another key gets its first, and whoever ends one has room again.
func TestFollowedLogsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := newFollowedAPI(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all []chan struct{}
		first, leave := context.WithCancel(ctx)
		defer leave()
		for i := range maxFollowed {
			c := ctx
			if i == 1 {
				c = first
			}
			_, ended := follow(c, h, "greedy")
			all = append(all, ended)
			synctest.Wait() // so that the places are taken in order
		}
		w, ended := follow(ctx, h, "greedy")
		<-ended
		if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), `"code":"TooManyRequestsException"`) ||
			!strings.Contains(w.Body.String(), fmt.Sprint(maxFollowed)) {
			t.Errorf("one more: %d %s", w.Code, w.Body)
		}
		_, modest := follow(ctx, h, "modest")
		<-all[0] // the oldest gives way
		synctest.Wait()
		select {
		case <-modest:
			t.Error("a key's first is refused, while another has all")
		default:
		}
		leave()
		<-all[1]
		_, again := follow(ctx, h, "greedy")
		synctest.Wait()
		select {
		case <-again:
			t.Error("there is no room after one has ended")
		default:
		}
		cancel()
		<-again
		<-modest
		for _, ended := range all {
			<-ended
		}
	})
}

// TestFollowedLogsAreAskedForAgain takes what a policy allows away while a log is
// followed, as a condition of time does: it ends within the interval.
func TestFollowedLogsAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, h := newFollowedAPI(t)
		_, ended := follow(t.Context(), h, "somebody")
		time.Sleep(3*askAgain + time.Second)
		synctest.Wait()
		f.mu.Lock()
		if len(f.asked) != 4 || f.asked[0].Again || !f.asked[3].Again || f.asked[3].Action != "alcove:GetLogs" || f.asked[3].RequestID != f.asked[0].RequestID {
			t.Errorf("asked %d times: %+v", len(f.asked), f.asked)
		}
		f.deny = true
		f.mu.Unlock()
		time.Sleep(askAgain)
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Fatal("it goes on")
		}
	})
}
