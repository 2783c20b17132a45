package console

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/testnode"
)

// crowdOf opens so many answers that do not end, and gives what ends them.
func crowdOf(t *testing.T, count int, ask func(context.Context) *http.Request) (leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	opened := make(chan string, count)
	for range count {
		all.Go(func() {
			resp, err := http.DefaultClient.Do(ask(ctx))
			if err != nil {
				opened <- err.Error()
				return
			}
			defer resp.Body.Close()
			opened <- resp.Status
			_, _ = io.Copy(io.Discard, resp.Body) // until leave
		})
	}
	leave = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(leave)
	for range count {
		if status := <-opened; status != "200 OK" {
			t.Fatalf("one of %d was answered with %s", count, status)
		}
	}
	return leave
}

// cookies is what the browser sends to the console.
func (b *tab) cookies() (header string) {
	b.t.Helper()
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		all, err := network.GetCookies().Do(ctx)
		for _, c := range all {
			header += c.Name + "=" + c.Value + "; "
		}
		return err
	}))
	return strings.TrimSuffix(header, "; ")
}

// TestLivePagesSayWhyTheyAreRefused follows the floor and a log until the node has no place
// for one more, a policy changes, and the session ends: the page says what it is and what
// to do, and goes on when it may.
func TestLivePagesSayWhyTheyAreRefused(t *testing.T) {
	t.Parallel()
	n := start(t)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": talks}, testnode.Isolated)
	n.Run(t, f, "blue", "{}")
	key := n.MakeKey(t, "watcher", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},
		{"Effect":"Allow","Action":"alcove:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/watched":"yes"}}}]}`)
	allow := func(watched string) {
		t.Helper()
		if _, err := n.Lambda.TagResource(t.Context(), &lambda.TagResourceInput{Resource: aws.String("arn:aws:lambda:us-east-1:000000000000:function:" + f), Tags: map[string]string{"watched": watched}}); err != nil {
			t.Fatal(err)
		}
	}
	allow("yes")
	b := browse(t, n)
	b.signIn(key.AccessKeyID, key.SecretAccessKey)
	b.Errors() // it may not see the floor of all functions
	cookie := b.cookies()
	console := func(ctx context.Context, method, path string, form url.Values) *http.Request {
		r, err := http.NewRequestWithContext(ctx, method, n.URL+"/console/"+path, strings.NewReader(form.Encode()))
		if err != nil {
			panic(err) // of a wrong address
		}
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}

	b.open("functions") // which follows nothing
	leave := crowdOf(t, 32, func(ctx context.Context) *http.Request { return console(ctx, "GET", "logs/events?function="+f, nil) })
	b.open("floor?function=" + f)
	b.sees("[data-live]", "Too many live pages are open. Your key follows 32 of them at once, which is all that one may. Close some. This page tries again by itself.")
	leave()
	b.do(chromedp.Click("[data-live] button"))
	b.sees("[data-live]", "Live")
	b.sees("#floor", "blue")

	// The API has places of its own, for all that follows logs.
	leave = crowdOf(t, 256, func(ctx context.Context) *http.Request {
		r, err := http.NewRequestWithContext(ctx, "GET", n.URL+"/alcove/v1/logs?follow=true&function="+f, nil)
		if err == nil {
			err = v4.NewSigner().SignHTTP(ctx, key, r, emptyHash, "lambda", "us-east-1", time.Now())
		}
		if err != nil {
			panic(err) // of a wrong address
		}
		return r
	})
	b.open("logs?function=" + f)
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Too many logs are followed")
	b.sees("[data-live-state]", "Close pages that follow one, or end an alcove logs --follow")
	leave()
	b.do(chromedp.Click("[data-live-state] button"))
	b.sees("[data-live-state]", "Live")
	b.Errors() // the browser reports the 429s

	// A policy that changes ends what is followed, until it allows it again.
	b.open("floor?function=" + f)
	b.sees("[data-live]", "Live")
	allow("no")
	b.sees("[data-live]", "Your key may not do this.")
	b.sees("[data-live]", "alcove:ListEnvironments")
	b.sees("[data-live]", "Whoever runs the node can give you a key whose policy allows it: alcove keys create.")
	allow("yes")
	b.do(chromedp.Click("[data-live] button"))
	b.sees("[data-live]", "Live")
	b.open("logs?function=" + f)
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Live")
	allow("no")
	b.sees("[data-live-state]", "Your key may not do this.")
	b.sees("button[data-live]", "Follow live")
	allow("yes")
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Live")

	// Who signs out in another window is signed out here, and comes back to this page.
	resp, err := http.DefaultClient.Do(console(t.Context(), "GET", "functions", nil))
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindSubmatch(page)
	if err != nil || token == nil {
		t.Fatalf("%v %s", err, page)
	}
	if resp, err = http.DefaultTransport.RoundTrip(console(t.Context(), "POST", "signout", url.Values{"csrf": {string(token[1])}})); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	b.sees("[data-live-state]", "Your session is over. Sign in again to go on.")
	b.do(chromedp.Click("[data-live-state] a"), chromedp.WaitVisible("#key"), b.set("#key", key.AccessKeyID), b.set("#secret", key.SecretAccessKey), chromedp.Click("main button.primary"))
	b.sees("#lines", "hello from blue")
	b.Errors() // the browser reports what was refused
}

// emptyHash is what requests without a body are signed with.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
