// Command extension is an extension for tests. What it does is in the variable
// EXTENSION_MODE, what it sees it writes to its standard output and to /tmp.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var (
	name = filepath.Base(os.Args[0])
	mode = os.Getenv("EXTENSION_MODE")
	api  = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")
)

func main() {
	if mode == "crash-init" {
		os.Exit(3)
	}
	if mode == "flood" {
		go func() {
			for {
				fmt.Println(strings.Repeat("x", 1000))
			}
		}()
	}
	id, answer := register()
	say("registered", answer)
	if mode == "twice" {
		_, again := register()
		say("again", again)
	}
	if mode == "init-error" {
		fmt.Println("EXT init-error", call("POST", "/2020-01-01/extension/init/error", "{}", "Lambda-Extension-Identifier", id,
			"Lambda-Extension-Function-Error-Type", "Extension.NoConfig"))
		select {}
	}
	subscribe(id)
	for i := 0; ; i++ {
		if mode == "hang-init" {
			select {}
		}
		event := call("GET", "/2020-01-01/extension/event/next", "", "Lambda-Extension-Identifier", id)
		say("event", event)
		note("/tmp/events", event)
		switch {
		case strings.Contains(event, "SHUTDOWN"):
			if mode == "stay" {
				select {}
			}
			os.Exit(0)
		case mode == "exit-early":
			os.Exit(4)
		case mode == "hang-invoke":
			select {}
		case mode == "slow-invoke":
			time.Sleep(300 * time.Millisecond)
		case !strings.Contains(event, "INVOKE"):
			os.Exit(9)
		}
		if i == 0 && strings.HasPrefix(mode, "subscribe-late") {
			say("late", call("PUT", "/2022-07-01/telemetry", subscription(`{"protocol":"TCP","port":4999}`), "Lambda-Extension-Identifier", id))
		}
	}
}

func register() (id, answer string) {
	req, err := http.NewRequest("POST", api+"/2020-01-01/extension/register", strings.NewReader(`{"events":["INVOKE","SHUTDOWN"]}`))
	check(err)
	req.Header.Set("Lambda-Extension-Name", name)
	req.Header.Set("Lambda-Extension-Accept-Feature", "accountId")
	resp, err := http.DefaultClient.Do(req)
	check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(err)
	return resp.Header.Get("Lambda-Extension-Identifier"), fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func subscription(destination string) string {
	return `{"schemaVersion":"2022-12-13","types":["platform","function"],"buffering":{"timeoutMs":25,"maxItems":1000,"maxBytes":262144},"destination":` + destination + `}`
}

// subscribe has telemetry delivered to this process, if there is a word of it in mode.
func subscribe(id string) {
	identify := []string{"Lambda-Extension-Identifier", id}
	switch mode {
	case "http", "slow":
		l, err := net.Listen("tcp", "sandbox.localdomain:4243")
		check(err)
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if mode == "slow" {
				select {}
			}
			var batch []json.RawMessage
			check(json.NewDecoder(r.Body).Decode(&batch))
			for _, record := range batch {
				note("/tmp/telemetry", string(record))
			}
		}))
		say("subscribed", call("PUT", "/2022-07-01/telemetry", subscription(`{"protocol":"HTTP","URI":"http://sandbox.localdomain:4243/x"}`), identify...))
	case "tcp", "logs":
		l, err := net.Listen("tcp", ":4244")
		check(err)
		go func() {
			for {
				c, err := l.Accept()
				check(err)
				lines := bufio.NewScanner(c)
				lines.Buffer(nil, 1<<20)
				for lines.Scan() {
					note("/tmp/telemetry", lines.Text())
				}
			}
		}()
		if mode == "logs" {
			body := strings.Replace(subscription(`{"protocol":"TCP","port":4244}`), "2022-12-13", "2021-03-18", 1)
			say("subscribed", call("PUT", "/2020-08-15/logs", body, identify...))
			return
		}
		say("subscribed", call("PUT", "/2022-07-01/telemetry", subscription(`{"protocol":"TCP","port":4244}`), identify...))
	case "foreign":
		for _, uri := range []string{"http://169.254.169.254:80", "http://127.0.0.1:9001", "http://sandbox.localdomain@example.com:80/", "https://sandbox.localdomain:4243"} {
			say("foreign", call("PUT", "/2022-07-01/telemetry", subscription(`{"protocol":"HTTP","URI":"`+uri+`"}`), identify...))
		}
	}
}

func call(method, path, body string, header ...string) string {
	req, err := http.NewRequest(method, api+path, strings.NewReader(body))
	check(err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	check(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	check(err)
	return fmt.Sprintf("%d %s", resp.StatusCode, bytes.TrimSpace(raw))
}

func say(what, text string) { fmt.Println("EXT", name, what, text) }

func note(file, line string) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	check(err)
	defer f.Close()
	_, err = f.WriteString(line + "\n")
	check(err)
}

func check(err error) {
	if err != nil {
		fmt.Println("EXT", name, "fails:", err)
		os.Exit(8)
	}
}
