// Command gostream is a function made with the official Go client that streams
// its answer.
package main

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(_ context.Context, in struct{ Do string }) (io.Reader, error) {
		if in.Do == "fail" {
			return nil, errors.New("not even begun")
		}
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, "first")
			switch in.Do {
			case "hang":
				select {}
			case "break":
				_ = w.CloseWithError(errors.New("half-way"))
			default:
				_, _ = io.WriteString(w, "second")
				_ = w.Close()
			}
		}()
		return r, nil
	})
}
