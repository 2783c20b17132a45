package lambdaapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/pump"
)

// CodePath is the prefix of the URLs that GetFunction gives out for code.
const CodePath = "/code/"

// codeLife is how long such a URL works.
const codeLife = 10 * time.Minute

// codeURL is a URL on this listener that gives the zip file with a digest to
// whoever has it, until it expires. It names the caller that it was made for.
func (a *API) codeURL(r *http.Request, caller alcove.Caller, digest string) string {
	expires := strconv.FormatInt(a.Now().Add(codeLife).Unix(), 10)
	u := url.URL{Scheme: "http", Host: r.Host, Path: CodePath + digest}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	u.RawQuery = url.Values{
		"caller":    {caller.ARN},
		"expires":   {expires},
		"signature": {hex.EncodeToString(a.codeSignature(digest, caller.ARN, expires))},
	}.Encode()
	return u.String()
}

// codeSignature signs the parts of a code URL. None of them can hold a newline
// where the next begins: the digest is hexadecimal and expires is last.
func (a *API) codeSignature(digest, caller, expires string) []byte {
	mac := hmac.New(sha256.New, a.codeKey[:])
	for _, part := range [...]string{"alcove code URL", digest, strconv.Itoa(len(caller)), caller, expires} {
		mac.Write([]byte(part))
		mac.Write([]byte{'\n'})
	}
	return mac.Sum(nil)
}

// serveCode answers a URL under [CodePath]. The URL is the credential: nothing
// else about the request is looked at.
func (a *API) serveCode(w http.ResponseWriter, r *http.Request, requestID string) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-store")
	digest, err := a.checkCode(r)
	if err != nil {
		a.writeError(w, r, requestID, "code", err)
		return
	}
	file, err := a.Artifacts.OpenZip(digest)
	if err != nil {
		a.writeError(w, r, requestID, "code", err)
		return
	}
	defer file.Close()
	h.Set("Content-Disposition", `attachment; filename="`+digest[:16]+`.zip"`)
	h.Set("Content-Type", "application/zip")
	h.Set("X-Amzn-Requestid", requestID)
	paced := pump.NewPace(w)
	defer paced.Done()
	http.ServeContent(paced, r, "", time.Time{}, file)
}

// checkCode gives the digest that a request's URL stands for.
func (a *API) checkCode(r *http.Request) (string, error) {
	refused := alcove.ClientError("AccessDeniedException", "This URL is not valid, or has expired. Call GetFunction for another.")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", alcove.ClientError(codeUnknownOperation, "Code can only be read.")
	}
	digest := strings.TrimPrefix(r.URL.Path, CodePath)
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query) != 3 || len(query["caller"]) != 1 || len(query["expires"]) != 1 || len(query["signature"]) != 1 {
		return "", refused
	}
	signature, err := hex.DecodeString(query.Get("signature"))
	if err != nil || !hmac.Equal(signature, a.codeSignature(digest, query.Get("caller"), query.Get("expires"))) {
		return "", refused
	}
	// It was signed: it is a number that this program wrote.
	expires, err := strconv.ParseInt(query.Get("expires"), 10, 64)
	if err != nil || !a.Now().Before(time.Unix(expires, 0)) {
		return "", refused
	}
	return digest, nil
}
