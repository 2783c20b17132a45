package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/restjson"
	awsxml "github.com/aws/aws-sdk-go-v2/aws/protocol/xml"
	"github.com/aws/smithy-go/encoding/cbor"
)

// TestOtherServicesAreTold reads what clients of other services are answered with
// the decoders of AWS's own SDK, in the protocol of each.
func TestOtherServicesAreTold(t *testing.T) {
	for _, c := range []struct {
		service, method, path, target, kind, smithy string
		read                                        func(t *testing.T, body []byte) (code, message string)
	}{
		{"iam", "POST", "/", "", form, "", readXML(false)},
		{"cloudformation", "POST", "/", "", form, "", readXML(false)},
		{"sns", "POST", "/", "", form, "", readXML(false)},
		{"s3", "GET", "/bucket/key", "", "", "", readXML(true)},
		{"s3", "PUT", "/bucket", "", "", "", readXML(true)},
		{"route53", "GET", "/2013-04-01/hostedzone", "", "", "", readXML(false)},
		{"ec2", "POST", "/", "", form, "", readEC2},
		{"dynamodb", "POST", "/", "DynamoDB_20120810.ListTables", "application/x-amz-json-1.0", "", readJSON},
		{"sqs", "POST", "/", "AmazonSQS.ListQueues", "application/x-amz-json-1.0", "", readJSON},
		{"ecr", "POST", "/", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories", "application/x-amz-json-1.1", "", readJSON},
		{"events", "POST", "/", "AWSEvents.ListRules", "application/x-amz-json-1.1", "", readJSON},
		{"secretsmanager", "POST", "/", "secretsmanager.ListSecrets", "application/x-amz-json-1.1", "", readJSON},
		{"apigateway", "GET", "/restapis", "", "", "", readJSON},
		{"arc-region-switch", "POST", "/service/ArcRegionSwitch/operation/ListPlans", "", "application/cbor", "rpc-v2-cbor", readCBOR},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(""))
		for name, value := range map[string]string{"Authorization": scope(c.service), "X-Amz-Target": c.target, "Content-Type": c.kind, "Smithy-Protocol": c.smithy} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		New(all()).ServeHTTP(w, r)
		code, message := c.read(t, w.Body.Bytes())
		want := "The request is signed for the service '" + c.service + "', which this endpoint does not offer. It offers Lambda"
		if w.Code != http.StatusBadRequest || code != unsupported || !strings.HasPrefix(message, want) {
			t.Errorf("%s: %d %s %q: %s", c.service, w.Code, code, message, w.Body)
		}
	}
}

func readXML(bare bool) func(*testing.T, []byte) (string, string) {
	return func(t *testing.T, body []byte) (string, string) {
		t.Helper()
		e, err := awsxml.GetErrorResponseComponents(bytes.NewReader(body), bare)
		if err != nil || e.RequestID == "" {
			t.Errorf("%s: %v", body, err)
		}
		return e.Code, e.Message
	}
}

func readEC2(t *testing.T, body []byte) (string, string) {
	t.Helper()
	_, rest, ok := strings.Cut(string(body), "<Response><Errors>")
	if !ok {
		t.Errorf("%s", body)
	}
	inner, _, _ := strings.Cut(rest, "</Errors>")
	return readError(t, inner)
}

// readError reads an error as it is within a list.
func readError(t *testing.T, inner string) (string, string) {
	t.Helper()
	e, err := awsxml.GetErrorResponseComponents(strings.NewReader(inner), true)
	if err != nil {
		t.Errorf("%s: %v", inner, err)
	}
	return e.Code, e.Message
}

func readJSON(t *testing.T, body []byte) (string, string) {
	t.Helper()
	code, message, err := restjson.GetErrorInfo(json.NewDecoder(bytes.NewReader(body)))
	if err != nil {
		t.Errorf("%s: %v", body, err)
	}
	return restjson.SanitizeErrorCode(code), message
}

func readCBOR(t *testing.T, body []byte) (string, string) {
	t.Helper()
	v, err := cbor.Decode(body)
	if err != nil {
		t.Fatalf("%x: %v", body, err)
	}
	m := v.(cbor.Map)
	return string(m["__type"].(cbor.String)), string(m["message"].(cbor.String))
}
