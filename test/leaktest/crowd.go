package leaktest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// tally is who was answered by which environment.
type tally struct {
	mu sync.Mutex
	// Guarded by mu.
	tenant map[string]string // by environment
	mixed  string            // the first mix-up, in words
	count  int
	wrong  string // the first id that the handler saw and its caller did not send
}

func (t *tally) add(who string, a *answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if had, there := t.tenant[a.Environment]; there && had != who && t.mixed == "" {
		t.mixed = fmt.Sprintf("Environment %.8s answered for tenant %s and for tenant %s.", a.Environment, clip(had), clip(who))
	}
	t.tenant[a.Environment] = who
	if a.Tenant != nil && *a.Tenant != who && t.wrong == "" {
		t.wrong = fmt.Sprintf("A handler that was invoked for tenant %s saw %s.", clip(who), clip(*a.Tenant))
	}
}

// clip shortens long ids for a sentence, keeping the end, where they differ.
func clip(id string) string {
	if len(id) > 40 {
		id = id[:8] + "…" + id[len(id)-8:]
	}
	return fmt.Sprintf("%q", id)
}

// all invokes for every tenant so many times, with at most width calls at once.
func (s *session) each(ctx context.Context, name string, tenants []string, times, width int) (*tally, error) {
	t := &tally{tenant: map[string]string{}}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(width)
	for range times {
		for _, who := range tenants {
			g.Go(func() error {
				a, err := s.invoke(ctx, name, who, event{Op: "identify", Milliseconds: 20})
				if err != nil {
					return fmt.Errorf("tenant %s: %w", clip(who), err)
				}
				t.add(who, a)
				return nil
			})
		}
	}
	return t, g.Wait()
}

// crowd invokes for many tenants at once.
func (s *session) crowd(ctx context.Context) error {
	var tenants []string
	for i := range s.cfg.Tenants {
		tenants = append(tenants, fmt.Sprintf("crowd-%d", i))
	}
	t, err := s.each(ctx, s.name, tenants, s.cfg.PerTenant, s.cfg.Tenants*s.cfg.PerTenant)
	if err != nil {
		return err
	}
	s.judge("environments, all at once", t, fmt.Sprintf("%d concurrent invocations over %d tenants", t.count, len(tenants)))
	return nil
}

// lookalikes are tenant ids that careless code takes for one another: by case,
// by what a file name or a key cannot hold, by length.
func lookalikes() []string {
	long := strings.Repeat("x", 255)
	return []string{
		"alike", "Alike", "ALIKE", "alike.", "alike/", "/alike", "./alike", "../alike", "alike/..", "alike:", "alike=", "alike+", "alike-",
		"alike@", "alike_", "a like", "alike/a", "alike.a", "alike:a", "alike a", "alike+a", "..", ".", "/", "0", "00",
		long + "a", long + "b",
	}
}

func (s *session) lookalikes(ctx context.Context) error {
	ids := lookalikes()
	t, err := s.each(ctx, s.name, ids, 2, 4)
	if err != nil {
		if s.isolated && refused(err) {
			s.row("ids that look alike", Fail, "An id of AWS's pattern was refused: %s.", errorText(err))
			return nil
		}
		return err
	}
	s.judge("ids that look alike", t, fmt.Sprintf("%d ids that differ in case, punctuation or their last character", len(ids)))
	return nil
}

func (s *session) judge(check string, t *tally, what string) {
	switch {
	case t.mixed != "":
		s.row(check, Fail, "%s", t.mixed)
	case t.wrong != "":
		s.row(check, Fail, "%s", t.wrong)
	default:
		s.row(check, Pass, "%s were answered by %d environments, none of them for two tenants.", what, len(t.tenant))
	}
}

// madeAgain deletes the function and makes one of the same name: nothing of the
// first may be left for the second.
func (s *session) madeAgain(ctx context.Context) error {
	const check = "function deleted and made again"
	var before, after []*answer
	for i := range 2 {
		if i == 1 {
			if err := s.clean(ctx); err != nil {
				return err
			}
			if err := s.createFunction(ctx, s.name, s.isolated); err != nil {
				return err
			}
		}
		for _, who := range []string{"a", "b"} {
			a, err := s.invoke(ctx, s.name, who, event{Op: "probe"})
			if err != nil {
				return err
			}
			if i == 0 {
				before = append(before, a)
			} else {
				after = append(after, a)
			}
		}
	}
	for i, a := range after {
		for _, b := range before {
			if a.Environment == b.Environment {
				s.row(check, Fail, "Environment %.8s of the deleted function answered for the new one.", a.Environment)
				return nil
			}
		}
		if i == 0 && a.Count > 1 {
			s.row(check, Fail, "The new function's counter began at %d.", a.Count)
			return nil
		}
	}
	s.row(check, Pass, "The new function of the same name runs in new environments.")
	return nil
}
