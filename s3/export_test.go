package s3

import "net/http"

// Refused is what an answer that is no object becomes.
func Refused(res *http.Response) error {
	return (&Store{region: "us-east-1"}).refused(Object{Bucket: "b", Key: "k"}, res)
}
