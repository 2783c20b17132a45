package gateway

import (
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

const (
	// unknown is what AWS's front ends answer with when a request names no operation.
	unknown = "UnknownOperationException"
	// unsupported is for services that this program does not have; as a client's
	// error it is not tried again.
	unsupported = "UnsupportedOperationException"
)

// restXML are the services whose errors are XML, though their requests are no
// forms; the service EC2 has an XML of its own.
var restXML = map[string]bool{"s3": true, "s3express": true, "s3-outposts": true, "route53": true, "cloudfront": true}

// refuse answers in the form that the SDK reads which sent the request: AWS's
// protocols differ in how an error is written.
func refuse(w http.ResponseWriter, r *http.Request, service string, status int, code, message string) {
	h := w.Header()
	id := uuid.NewString()
	h.Set("X-Amzn-RequestId", id)
	h.Set("X-Amzn-ErrorType", code)
	var text []byte
	var err error
	switch {
	case restXML[service] || strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		h.Set("Content-Type", "text/xml")
		text, err = xml.Marshal(xmlError(service, status, code, message, id))
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		h.Set("Content-Type", "application/cbor")
		h.Set("Smithy-Protocol", "rpc-v2-cbor")
		text = cborTexts([2]string{"__type", code}, [2]string{"message", message})
	default:
		h.Set("Content-Type", "application/json")
		text, err = json.Marshal(map[string]string{"__type": code, "message": message})
	}
	if err != nil { // strings
		panic(err)
	}
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller may have gone
}

type s3Error struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	RequestID string `xml:"RequestId"`
}

type queryError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

type ec2Error struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string
}

func xmlError(service string, status int, code, message, id string) any {
	fault := "Sender"
	if status >= 500 {
		fault = "Receiver"
	}
	switch {
	case service == "ec2":
		return ec2Error{Code: code, Message: message, RequestID: id}
	case strings.HasPrefix(service, "s3"):
		return s3Error{Code: code, Message: message, RequestID: id}
	}
	return queryError{Type: fault, Code: code, Message: message, RequestID: id}
}

// cborTexts is a map of texts in CBOR (RFC 8949, section 3.1: major type 5, then
// pairs of major type 3).
func cborTexts(pairs ...[2]string) []byte {
	b := []byte{5<<5 | byte(len(pairs))} // fewer than 24
	for _, pair := range pairs {
		for _, text := range pair {
			b = append(b, 3<<5|25) // a length of two bytes follows
			b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
			b = append(b, text...)
		}
	}
	return b
}

// busy refuses a request whose body there is no room for. SDKs try again.
func busy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "1")
	refuse(w, r, signedFor(r.Header.Get("Authorization")), http.StatusServiceUnavailable, "ServiceUnavailableException",
		"Too many long requests are on their way. Try again.")
}
