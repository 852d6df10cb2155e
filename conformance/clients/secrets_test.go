package clients

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"peregrine/conformance/harness"
)

// TestSecretsStaySecret logs in with every kind of credentials, right and wrong,
// under full tracing, and looks for them wherever the server shows something.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	mine, mineID := key(t, nkeys.CreateUser)
	hash := hashed(t, "secret-hashed")
	seed, err := mine.Seed()
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{
		"secret-plain", "secret-hashed", "secret-token", "secret-single", "secret-wrong", "secret-system", hash, hash[7:], string(seed),
	}
	var mu sync.Mutex // guards secrets from here on
	sign := func(nonce []byte) ([]byte, error) {
		signature, err := mine.Sign(nonce)
		mu.Lock()
		defer mu.Unlock()
		secrets = append(secrets, base64.RawURLEncoding.EncodeToString(signature))
		return signature, err
	}
	logins := []nats.Option{
		nats.UserInfo("plain", "secret-plain"), nats.UserInfo("plain", "secret-wrong"), nats.UserInfo("hashed", "secret-hashed"),
		nats.UserInfo("hashed", "secret-wrong"), nats.UserInfo("nobody", "secret-wrong"), nats.Token("secret-token"), nats.Token("secret-wrong"),
		nats.UserInfo("single", "secret-single"), nats.UserInfo("single", "secret-wrong"), nats.Nkey(mineID, sign),
		nats.UserJWT(func() (string, error) { return "secret-wrong.secret-wrong.secret-wrong", nil }, sign),
	}
	for _, c := range []struct{ name, config, system string }{
		{"accounts", fmt.Sprintf(`accounts {
			A { users: [{user: plain, password: secret-plain}, {user: hashed, password: %q}, {nkey: %s}] }
			$SYS { users: [{user: system, password: secret-system}] }
		}`, hash, mineID), "system"},
		{"token", "authorization { token: secret-token }", ""},
		{"single", "authorization { user: single, password: secret-single }", ""},
		{"open", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, _ := configured(t, harness.Peregrine, "http: \"127.0.0.1:-1\"\ndebug: true\ntrace: true\ntrace_verbose: true\n"+c.config)
			var events *nats.Subscription
			var system *nats.Conn
			if c.system != "" {
				system = connect(t, server, nats.UserInfo(c.system, "secret-system"))
				events = subscribe(t, system, ">")
				flush(t, system)
			}
			in := 0
			for _, login := range logins {
				nc, err := nats.Connect(server.URL(), login, nats.Timeout(harness.Patience), nats.MaxReconnects(0))
				if err == nil {
					in++
					flush(t, nc)
					defer nc.Close()
				}
			}
			if in == 0 {
				t.Error("nobody was let in: the test shows nothing")
			}
			shown := make(map[string]string)
			for _, page := range []string{
				"/varz", "/connz", "/connz?auth=1", "/connz?auth=true&subs=detail&state=all", "/connz?state=closed&auth=1", "/subsz?subs=1", "/healthz", "/accountz", "/accountz?acc=A", "/accstatz", "/",
			} {
				r, err := http.Get("http://" + server.Monitor + page)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				shown[page] = string(b)
			}
			if events != nil {
				flush(t, system)
				for n, _, _ := events.Pending(); n > 0; n-- {
					m := next(t, events)
					shown["event on "+m.Subject] += string(m.Data)
				}
			}
			server.Stop() // the log is complete then
			shown["the log"] = strings.Join(server.Log.Lines(), "\n") + strings.Join(server.Output.Lines(), "\n")
			if !strings.Contains(shown["the log"], "[CONNECT ") || !strings.Contains(shown["the log"], "[REDACTED]") {
				t.Error("no CONNECT in the log: the test shows nothing")
			}
			if text := shown["/connz?auth=true&subs=detail&state=all"]; !strings.Contains(text, `"connections"`) {
				t.Errorf("no connections: %s", text)
			}
			mu.Lock()
			defer mu.Unlock()
			for where, text := range shown {
				for _, secret := range secrets {
					if at := strings.Index(text, secret); at >= 0 {
						t.Errorf("%s shows %q: …%s…", where, secret, text[max(0, at-100):min(len(text), at+100)])
					}
				}
			}
		})
	}
}
