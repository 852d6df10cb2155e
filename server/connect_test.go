package server

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"peregrine/account"
)

// Whatever is shown of a CONNECT says the same but for its secrets.
func FuzzRedact(f *testing.F) {
	for _, text := range []string{
		`{"user":"me","pass":"secret"}`, `{"user":"me","PASS":"secret","pass":"again"}`, `{"\u0070ass":"secret"}`, `{"paſſ":"secret"}`,
		`{"auth_toKen":"secret"}`, `{"jwt":"a.b.c","sig":"s","proxy_sig":"p","auth_token":"t"}`, `{ "pass" : "sec\"ret" , "name":"x" }`,
		`{"pass":{"pass":"secret"}}`, `{"pass":["secret"]}`, `{"x":{"pass":"kept"},"pass":null}`, `{"pass":"secret"} {"pass":"more"}`, `{"pass":"secret"`,
		`["pass","secret"]`, `"pass"`, ``, `{}`, `{"pass":"secret",}`, `{"pass":"secret"}x`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, arg []byte) {
		shown := redact(arg)
		var said, told connectOptions
		if !json.Valid(arg) || !bytes.HasPrefix(bytes.TrimLeft(arg, " \t\r\n"), []byte("{")) {
			if string(shown) != "[REDACTED]" {
				t.Fatalf("%q is shown as %q", arg, shown)
			}
			return
		}
		if json.Unmarshal(arg, &said) != nil {
			return // a field of another type
		}
		if err := json.Unmarshal(shown, &told); err != nil {
			t.Fatalf("%q is shown as %q: %v", arg, shown, err)
		}
		for _, secret := range []string{told.Pass, told.Token, told.JWT, told.Sig, told.ProxySig} {
			if secret != "" && secret != "[REDACTED]" {
				t.Fatalf("%q is shown as %q", arg, shown)
			}
		}
		said.Pass, said.Token, said.JWT, said.Sig, said.ProxySig = told.Pass, told.Token, told.JWT, told.Sig, told.ProxySig
		if said != told {
			t.Fatalf("%q is shown as %q, which says something else", arg, shown)
		}
	})
}

// A client that may say anything neither gets in without the password nor harms
// others, wherever what it sends is cut.
func FuzzLogin(f *testing.F) {
	const password = "Correct-Horse"
	s, _ := startServer(f, withUsers(f, account.Contents{Users: []*account.User{
		{Name: "me", Password: password}, {Name: "hashed", Password: bcrypted(f, password)},
	}}))
	good := loggedIn(f, s, "me", password)
	for _, text := range []string{
		`{"user":"me","pass":"Correct-Horse"}`, `{"user":"hashed","pass":"Correct-Horse"}`, `{"user":"me"}`, `{"pass":"Correct-Horse"}`, `{}`, `[]`,
		"{\"user\":\"me\",\"pass\":\"x\"}\r\nCONNECT {\"user\":\"me\",\"pass\":\"Correct-Horse\"}", "{}\r\nPUB a 1\r\nx",
		`{"user":"me","pass":"Correct-Horse","pass":"x"}`, `{"auth_token":"Correct-Horse","user":"me"}`, `{"nkey":"me","sig":"Correct-Horse"}`,
	} {
		f.Add([]byte(text), uint8(3), uint8(30))
	}
	f.Fuzz(func(t *testing.T, arg []byte, first, second uint8) {
		nc, err := netDial(s)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := newClient(t, nc)
		c.line()
		b := append(append([]byte("CONNECT "), arg...), "\r\nPING\r\n"...)
		for _, cut := range []int{int(first), int(second)} {
			cut = min(cut, len(b))
			if _, err := c.Write(b[:cut]); err != nil {
				break // it was closed
			}
			b = b[cut:]
		}
		_, _ = c.Write(b)
		_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		let := false
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				break
			}
			let = let || strings.HasPrefix(line, "PONG")
		}
		var o connectOptions
		if let && !bytes.Contains(arg, []byte("\n")) && (json.Unmarshal(arg, &o) != nil || o.Pass != password || o.User != "me" && o.User != "hashed") {
			t.Fatalf("%q was let in", arg)
		}
		good.t = t
		_ = good.SetDeadline(time.Now().Add(clientTimeout))
		good.sync()
	})
}

// loggedIn opens a connection and logs in.
func loggedIn(t testing.TB, s *Server, user, password string) *client {
	t.Helper()
	c := greeted(t, s)
	c.send(login(user, password))
	c.sync()
	return c
}
