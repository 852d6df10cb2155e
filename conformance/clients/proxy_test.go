package clients

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"peregrine/conformance/harness"
)

// TestTrustedProxies says CONNECT as proxies would.
func TestTrustedProxies(t *testing.T) {
	proxy, proxyKey := key(t, nkeys.CreateUser)
	stranger, _ := key(t, nkeys.CreateUser)
	config := fmt.Sprintf(`
proxies { trusted: [ {key: %s} ] }
authorization { users: [ {user: a, password: a, proxy_required: true}, {user: b, password: b} ] }`, proxyKey)
	harness.Compare(t, func(t *testing.T, seat harness.Seat) string {
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		s := harness.Start(t, seat, "-c", file)
		var out strings.Builder
		try := func(user, pass string, sign func(nonce string) string) {
			fmt.Fprintf(&out, "%s %s: %s\n", user, pass, connectThrough(t, s, user, pass, sign))
		}
		by := func(kp nkeys.KeyPair) func(string) string {
			return func(nonce string) string {
				sig, err := kp.Sign([]byte(nonce))
				if err != nil {
					t.Fatal(err)
				}
				return base64.RawURLEncoding.EncodeToString(sig)
			}
		}
		for _, sign := range []func(string) string{
			nil, by(proxy), by(stranger), func(string) string { return "%%%" }, func(string) string { return by(proxy)("another") },
		} {
			try("a", "a", sign)
			try("a", "wrong", sign)
			try("b", "b", sign)
		}
		return out.String()
	})
}

// connectThrough returns what the server answers to CONNECT and PING.
func connectThrough(t *testing.T, s *harness.Server, user, pass string, sign func(nonce string) string) string {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(harness.Patience))
	r := bufio.NewReader(nc)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		t.Fatal(err)
	}
	connect := map[string]any{"user": user, "pass": pass, "verbose": false, "protocol": 1}
	if sign != nil {
		connect["proxy_sig"] = sign(info.Nonce)
	}
	b, err := json.Marshal(connect)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(nc, "CONNECT %s\r\nPING\r\n", b)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "closed"
		}
		if !strings.HasPrefix(line, "INFO ") {
			return strings.TrimSpace(line)
		}
	}
}
