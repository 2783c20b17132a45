package logsapi

import "testing"

// The examples of AWS's user guide ("Filter pattern syntax"), by their sections:
// each pattern with messages that it matches and messages that it does not.
func TestExamplesOfAWS(t *testing.T) {
	const (
		unauthorized = `[ERROR 401] UNAUTHORIZED REQUEST`
		authorized   = `[SUCCESS 200] AUTHORIZED REQUEST`
		badRequest   = `[ERROR 400] BAD REQUEST`
		missing      = `[ERROR 419] MISSING ARGUMENTS`
		invalid      = `[ERROR 420] INVALID ARGUMENTS`
		internal     = `[ERROR 500] INTERNAL SERVER ERROR`
		warning      = `[WARN 300] OLD API`

		trail = `{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another value"],
			"objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"ThisFlag":true,"bandwidth":76,"latency":50,"errorCode":400}`
		users = `{"user":{"id":1,"email":"John.Stiles@example.com"},"users":[{"id":2,"email":"John.Doe@example.com"},{"id":3,"email":"Jane.Doe@example.com"}],
			"actions":["GET","PUT","DELETE"],"coordinates":[[0,1,2],[4,5,6],[7,8,9]]}`

		request  = `127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534`
		small    = `127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 200 999`
		elsewise = `10.0.0.9 Prod anna [10/Oct/2000:13:35:22 -0700] "GET /style.css HTTP/1.0" 500 5324`
	)
	tests := []struct {
		pattern string
		yes, no []string
	}{
		// Terms in unstructured text.
		{`ERROR`, []string{unauthorized, badRequest, internal}, []string{authorized, warning}},
		{`ERROR ARGUMENTS`, []string{missing, invalid}, []string{badRequest, `ARGUMENTS`}},
		{`?ERROR ?ARGUMENTS`, []string{badRequest, missing, `ARGUMENTS`}, []string{authorized}},
		{`?ERROR ?ARGUMENTS REQUEST`, []string{authorized, badRequest}, []string{missing}},
		{`"INTERNAL SERVER ERROR"`, []string{internal}, []string{`INTERNAL ERROR`}},
		{`ERROR -ARGUMENTS`, []string{unauthorized, badRequest}, []string{missing, invalid}},
		{`-INFO`, []string{warning}, []string{`[INFO 100] x`}},
		{`%AUTHORIZED%`, []string{unauthorized, authorized}, []string{missing}},
		{`%40[0-9]%`, []string{unauthorized, badRequest}, []string{missing}},
		{`""`, []string{warning, ``}, nil},
		{`" "`, []string{warning}, []string{`x`}},
		// Regular expressions: operators and classes.
		{`%^[hc]at%`, []string{`hat trick`, `cat`}, []string{`that`, `bat`}},
		{`%[hc]at$%`, []string{`a hat`, `that`}, []string{`hats`}},
		{`%colou?r%`, []string{`color`, `colour`}, []string{`colr`}},
		{`%[abcx-z]%`, []string{`y`}, []string{`d`}},
		{`%a{3,5}%`, []string{`aaa`, `aaaaa`}, []string{`aa`}},
		{`%gray|grey%`, []string{`gray`, `grey`}, []string{`groy`}},
		{`%10\.10\.0\.1%`, []string{`from 10.10.0.1 to`}, []string{`10x10x0x1`}},
		{`%ab*c%`, []string{`ac`, `abbc`}, []string{`adc`}},
		{`%ab+c%`, []string{`abc`}, []string{`ac`}},
		{`%.at%`, []string{`hat`, `4at`}, []string{`at`}},
		{`%\d{3}-\d{4}%`, []string{`555-1234`}, []string{`55-1234`}},
		{`%\D%`, []string{`a1`}, []string{`123`}},
		{`%a\sb%`, []string{"a b", "a\tb"}, []string{`ab`}},
		{`%a\Sb%`, []string{`axb`}, []string{`a b`}},
		{`%^\w+$%`, []string{`abc_1`}, []string{`a b`}},
		{`%\W%`, []string{`a-b`}, []string{`ab`}},
		{`%\x3Cb\x3E%`, []string{`<b>`}, []string{`b`}},
		// JSON: strings, numbers, arrays, states, compounds.
		{`{ $.eventType = "UpdateTrail" }`, []string{trail}, []string{users, unauthorized}},
		{`{ $.sourceIPAddress != 123.123.* }`, []string{trail}, []string{`{"sourceIPAddress":"123.123.1.1"}`, users}},
		{`{ $.arrayKey[0] = "value" }`, []string{trail}, []string{users, `{"arrayKey":["other","value"]}`}},
		{`{ $.eventType = %Trail% }`, []string{trail}, []string{users}},
		{`{ $.arrayKey[*] = %another.*% }`, []string{trail}, []string{users}},
		{`{ $.objectList[1].id = 2 }`, []string{trail}, []string{`{"objectList":[{"id":2}]}`}},
		{`{ $.SomeObject IS NULL }`, []string{trail}, []string{users}},
		{`{ $.SomeOtherObject NOT EXISTS }`, []string{trail, users}, []string{`{"SomeOtherObject":1}`}},
		{`{ $.ThisFlag IS TRUE }`, []string{trail}, []string{`{"ThisFlag":"true"}`, `{"ThisFlag":false}`}},
		{`{ $.ThisFlag IS FALSE }`, []string{`{"ThisFlag":false}`}, []string{trail}},
		{`{ $.bandwidth > 75 }`, []string{trail}, []string{`{"bandwidth":75}`, `{"bandwidth":"76"}`}},
		{`{ $.latency < 50 }`, []string{`{"latency":49.9}`}, []string{trail}},
		{`{ $.refreshRate >= 60 }`, []string{`{"refreshRate":60}`}, []string{`{"refreshRate":59}`}},
		{`{ $.responseTime <= 5 }`, []string{`{"responseTime":5}`, `{"responseTime":-1e3}`}, []string{`{"responseTime":5.1}`}},
		{`{ $.errorCode = 400 }`, []string{trail, `{"errorCode":4e2}`}, []string{`{"errorCode":401}`}},
		{`{ $.errorCode != 500 }`, []string{trail}, []string{`{"errorCode":500}`}},
		{`{ $.number[0][1] = 1e-3 }`, []string{`{"number":[[1e-3,0.001]]}`}, []string{`{"number":[[0.001,1]]}`}},
		{`{ $.time = 1e3 }`, []string{`{"time":1000}`}, []string{`{"time":"1e3"}`}},
		{`{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }`, []string{users}, []string{trail}},
		{`{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch" && $.actions[2] = "nonmatch" }`, []string{users}, []string{trail}},
		{`{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch") && $.actions[2] = "nonmatch" }`, nil, []string{users}},
		{`{ $.users[*].email = "Jane.*" && $.coordinates[2][*] = 9 }`, []string{users}, []string{trail}},
		{`{ $.users[*].phone NOT EXISTS && $.users[*].id > 2 }`, []string{users}, []string{trail}},
		{`{ $.['detail-type'] = "a" || $.["x y"] = "b" || $['z'] = "c" }`, []string{`{"detail-type":"a"}`, `{"x y":"b"}`, `{"z":"c"}`}, []string{`{"z":"b"}`}},
		// Fields with spaces between them.
		{`[ip, server, username, timestamp, request, status_code, bytes > 1000]`, []string{request, elsewise}, []string{small, unauthorized, request + ` more`}},
		{`[..., request =*.html*, status_code = 4*, bytes]`, []string{request}, []string{small, elsewise}},
		{`[ip, server, username, timestamp, request =*.html*, status_code = 4*, ...]`, []string{request, request + ` and more`}, []string{small}},
		{`[ip, ..., status_code = 404 || status_code = 500, bytes]`, []string{request, elsewise}, []string{small}},
		{`[ip, ..., bytes > 1000 && bytes < 2000]`, []string{request}, []string{small, elsewise}},
		{`[ip=%127\.0\.0\.[1-9]%, ...]`, []string{request, small}, []string{elsewise}},
		{`[ip != 10.*, server = "Prod", username != anna, ...]`, []string{request}, []string{elsewise}},
		{`[ip, server, username, timestamp = "10/Oct/2000:13:25:15 -0700", request = "GET /index.html HTTP/1.0", ...]`, []string{request}, []string{elsewise}},
		{`[ip, ..., status_code != 200, bytes]`, []string{request, elsewise}, []string{small}},
		{`[ip, ..., bytes = 1.534e3]`, []string{request}, []string{small}},
		{`[ip, ..., (status_code >= 400 && status_code <= 499) || status_code = 200, bytes]`, []string{request, small}, []string{elsewise}},
		{`[w1=ERROR, w2]`, []string{`ERROR timeout`}, []string{`WARN timeout`, `ERROR`, `ERROR a b`}},
		{`[w1=ERROR || w1=%WARN%, w2]`, []string{`ERROR a`, `xWARNx "b c"`}, []string{`INFO a`}},
		{`[w1!=ERROR&&w1!=WARN, w2]`, []string{`INFO a`}, []string{`ERROR a`, `WARN a`}},
		{`[...]`, []string{``, `a b c`}, nil},
		{`[a, ..., b]`, []string{`x y`, `x y z`}, []string{`x`}},
		{`[time, component = "HttpServer", ..., result_code != 200, latency]`, []string{`12:00 HttpServer GET / 500 7`}, []string{`12:00 HttpServer GET / 200 7`}},
		{`[a, b]`, []string{`"x y" [z`, `x[y z]`, `"a"b c`}, []string{`"x y z"`, `a`}},
	}
	for _, tt := range tests {
		for _, m := range tt.yes {
			check(t, tt.pattern, m, true)
		}
		for _, m := range tt.no {
			check(t, tt.pattern, m, false)
		}
	}
}
