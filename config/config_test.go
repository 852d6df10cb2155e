package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDefaults completes an empty configuration.
func TestDefaults(t *testing.T) {
	o := New()
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"host": {o.Host, "0.0.0.0"}, "port": {o.Port, 4222}, "http_host": {o.HTTPHost, "0.0.0.0"}, "base": {o.HTTPBasePath, ""},
		"line": {o.MaxControlLine, int32(4096)}, "payload": {o.MaxPayload, int32(1 << 20)}, "pending": {o.MaxPending, int64(64 << 20)},
		"conn": {o.MaxConn, 65536}, "closed": {o.MaxClosedClients, 10000}, "ping": {o.PingInterval, 2 * time.Minute}, "max": {o.MaxPingsOut, 2},
		"deadline": {o.WriteDeadline, 10 * time.Second}, "duck": {o.LameDuckDuration, 2 * time.Minute}, "grace": {o.LameDuckGracePeriod, 10 * time.Second},
		"logtime": {o.Logtime, true}, "engine": {o.Peregrine.Engine, "auto"}, "format": {o.Peregrine.LogFormat, "text"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, not %v", name, pair[0], pair[1])
		}
	}
}

// TestZero: zero is not set, but for what counts.
func TestZero(t *testing.T) {
	o := mustParse(t, "port: 0\nmax_payload: 0\nmax_connections: 0\nlogtime: false\njetstream { max_mem: 0 }\n")
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	if o.Port != 4222 || o.MaxPayload != 1<<20 || o.MaxConn != -1 || o.Logtime || o.JetStream.MaxMemory != 0 || o.JetStream.MaxStore != -1 {
		t.Errorf("%+v %+v", o, o.JetStream)
	}
}

func TestTraceStays(t *testing.T) {
	o := mustParse(t, "trace: true\n")
	if err := o.Complete(); err != nil || !o.Trace {
		t.Errorf("trace is %v, %v", o.Trace, err)
	}
}

func flags(pairs ...string) (all []Flag) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, Flag{pairs[i], pairs[i+1]})
	}
	return all
}

// TestFlags puts flags on top of a file.
func TestFlags(t *testing.T) {
	o := mustParse(t, "port: 4223\nserver_name: file\ntrace: true\ncluster { name: c, listen: \"127.0.0.1:6222\", authorization { user: a, password: b } }\n")
	err := o.ApplyFlags(flags("p", "5222", "n", "flag", "DV", "true", "V", "false", "user", "u", "pass", "w", "js", "true", "sd", "/var/nats/x",
		"cluster", "nats://x:y@127.0.0.1:-1", "routes", "nats://a:1,nats://b:2", "loops", "3", "pin-cpus", "0,2-3", "T", "false", "c", "nats.conf"), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	c := o.Cluster
	if o.Port != 5222 || o.ServerName != "flag" || !o.Debug || o.Trace || o.Authorization.User != "u" || o.Authorization.Password != "w" ||
		!o.JetStream.Enabled || !o.JetStream.Strict || o.StoreDir != "/var/nats/x" || c.Port != -1 || c.Authorization.User != "x" || len(c.Routes) != 2 ||
		o.Peregrine.Loops != 3 || !slices.Equal(o.Peregrine.PinCPUs, []int{0, 2, 3}) || o.Logtime {
		t.Errorf("%+v %+v", o, c)
	}
	if pos, ok := o.Where("port"); !ok || pos.File != "-p" {
		t.Errorf("port is set by %v", pos)
	}
}

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct {
		flags []Flag
		want  string
	}{
		{flags("tls", "true"), "TLS Server certificate must be present and valid"},
		{flags("tlscert", "x"), "TLS Server private key must be present and valid"},
		{flags("routes", "nats://a:1"), "solicited routes require cluster capabilities, e.g. --cluster"},
		{flags("cluster", "nats://a@b:1"), "expected cluster password to be set"},
		{flags("cluster", "nats://b"), "address b: missing port in address"},
	} {
		if err := New().ApplyFlags(c.flags, Env{}); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, not %s", c.flags, err, c.want)
		}
	}
}

func TestClusterOffByFlag(t *testing.T) {
	o := mustParse(t, "cluster { listen: \"127.0.0.1:6222\" }\n")
	if err := o.ApplyFlags(flags("cluster", ""), Env{}); err != nil || o.Cluster.Port != 0 {
		t.Errorf("port %d, %v", o.Cluster.Port, err)
	}
}

func TestTLSOffByFlag(t *testing.T) {
	o := mustParse(t, "tls { }\n")
	if err := o.ApplyFlags(flags("tls", "false", "tlscert", "x"), Env{}); err != nil || o.TLS != nil {
		t.Errorf("%v, %v", o.TLS, err)
	}
}

func TestRedactFlag(t *testing.T) {
	for _, c := range [][2]string{
		{"nats://u:p@h:1,nats://i:2", "nats://[REDACTED]@h:1,nats://i:2"},
		{"h", "h"},
	} {
		if got := RedactFlag(Flag{"routes", c[0]}).Value; got != c[1] {
			t.Errorf("%s became %s", c[0], got)
		}
	}
	if got := RedactFlag(Flag{"pass", "x"}).Value; got != redacted {
		t.Errorf("password became %s", got)
	}
}

// TestMissing lists what a configuration asks for in vain.
func TestMissing(t *testing.T) {
	o := mustParse(t, `port: 4223
tls { }
cluster { name: c
 port: -1 }
jetstream: false
syslog: false
no_auth_user: ""
proxy_protocol: false
connect_error_reports: 5
leafnodes { remotes: [ {url: "nats://a"} ] }
write_timeout: default
server_name: n
`)
	if err := o.ApplyFlags(flags("js", "true"), Env{}); err != nil {
		t.Fatal(err)
	}
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"cluster (test.conf:3:1) needs clustering, which this version does not have yet",
		"leafnodes (test.conf:10:1) needs leaf nodes, which this version does not have yet",
		"-js needs JetStream, which this version does not have yet",
	}
	if got := o.Missing(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestExplain(t *testing.T) {
	var b bytes.Buffer
	if err := Explain(&b, "max_conn"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"max_connections\n  Clients at a time.", "default  65536", "also     max_conn", "accounts[].limits.max_connections"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err := Explain(&b, "nope"); !errors.Is(err, ErrUnknownKey) {
		t.Error(err)
	}
}

// TestShow: what is set is shown, secrets are not.
func TestShow(t *testing.T) {
	const secret = "s3cret"
	o := mustParse(t, "port: 4223\nauthorization { user: a, password: "+secret+" }\njetstream { key: "+secret+" }\nleafnodes { remotes: [ {url: \"nats://a:"+secret+"@h\"} ] }\n"+
		"cluster { authorization { user: a, password: "+secret+" }, routes: [\"nats://a:"+secret+"@h:1\"] }\n")
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{false, true} {
		var b bytes.Buffer
		o.Show(&b, all)
		if strings.Contains(b.String(), secret) {
			t.Errorf("the secret is in\n%s", b.String())
		}
		for _, want := range []string{"port: 4223  # test.conf:1:0\n", "authorization.user: \"a\"  # test.conf:2:17\n", "authorization.password: \"[REDACTED]\""} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in\n%s", want, b.String())
			}
		}
		if strings.Contains(b.String(), "max_payload") != all {
			t.Errorf("all %v:\n%s", all, b.String())
		}
	}
}

func TestCheckFile(t *testing.T) {
	inTestdata(t)
	if v := CheckFile("corpus/grammar-variable.conf", Env{}); !v.OK() || v.Options == nil {
		t.Errorf("%+v", v)
	}
	if v := CheckFile("corpus/top-ping-interval-int.conf", Env{}); v.OK() || len(v.Warnings) != 1 || v.Options == nil {
		t.Errorf("%+v", v)
	}
	for file, want := range map[string]string{
		"start/lame-duck.conf":           "error: lame duck grace period (40s) should be strictly lower than lame duck duration (30s)\n",
		"corpus/grammar-map-open.conf":   "error: corpus/grammar-map-open.conf:3:1: Parse error on line 3: 'Unexpected EOF processing map.'\n",
		"corpus/none.conf":               "error: open corpus/none.conf: no such file or directory\n",
		"corpus/top-sub-tokens-big.conf": "error: corpus/top-sub-tokens-big.conf:1:0: max_sub_tokens value is too big\n",
		"corpus/js-empty.conf":           "missing: jetstream (corpus/js-empty.conf:1:0) needs JetStream, which this version does not have yet\n",
	} {
		var b bytes.Buffer
		v := CheckFile(file, Env{})
		if v.Write(&b); b.String() != want || v.OK() {
			t.Errorf("%s: %q, not %q", file, b.String(), want)
		}
	}
}

// TestCertificates: the files of a TLS block are read once.
func TestCertificates(t *testing.T) {
	inTestdata(t)
	o := mustParse(t, "tls { cert_file: \"files/cert.pem\", key_file: \"files/key.pem\", ca_file: \"files/ca.pem\" }\n")
	certs, err := o.TLS.Certificates()
	if err != nil || len(certs) != 1 || o.TLS.Authorities() == nil {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	if (&TLS{}).Authorities() != nil {
		t.Error("authorities of no file")
	}
}

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{"0": {0}, "0,2-4": {0, 2, 3, 4}, "3, 1": {3, 1}} {
		if got, err := ParseCPUs(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, list := range []string{"", "a", "1,", "2-1", "1,1", "0-2,1", "1024", "-1", "99999999999"} {
		if got, err := ParseCPUs(list); err == nil {
			t.Errorf("%q: %v", list, got)
		}
	}
}

// TestOwnBlock reads the block that nats-server does not have.
func TestOwnBlock(t *testing.T) {
	o := mustParse(t, "peregrine { loops: 2, pin_cpus: [1, 0 ], cluster_loops: 1, engine: gnet, log_format: JSON, memory_limit: 1GB }\n")
	if p := o.Peregrine; p.Loops != 2 || !slices.Equal(p.PinCPUs, []int{1, 0}) || p.LogFormat != "json" || p.MemoryLimit != 1<<30 {
		t.Errorf("%+v", p)
	}
	for src, want := range map[string]string{
		"peregrine { loops: 1000 }":       "loops must be between 0 and 256, not 1000",
		"peregrine { log_format: xml }":   `log_format must be one of text, json, not "xml"`,
		"peregrine { pin_cpus: \"1,1\" }": `pin_cpus: "1,1": CPU 1 is named twice`,
		"peregrine { pin_cpus: [1, 1 ] }": "pin_cpus: 1 is not the number of one more CPU",
		"peregrine { pin_cpus: true }":    "pin_cpus: expected a string or a list, got bool",
		"peregrine { pins: 1 }":           `unknown field "pins"`,
		"peregrine: 5":                    "expected peregrine to be a map, got int64",
	} {
		if _, _, err := Parse(src, "test.conf", Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}
}

// TestAllowResponses: answers alone are allowed unless publish says more.
func TestAllowResponses(t *testing.T) {
	o := mustParse(t, `authorization { users: [
 {user: a, permissions { allow_responses: true } }
 {user: b, permissions { publish: x, allow_responses { max: 5, expires: "1m" } } }
 {user: c, permissions { publish {}, subscribe [] } } ] }`)
	a, b, c := o.Authorization.Users[0].Permissions, o.Authorization.Users[1].Permissions, o.Authorization.Users[2].Permissions
	if a.Publish.Allow == nil || len(a.Publish.Allow) > 0 || *a.Responses != (ResponsePermission{1, 2 * time.Minute}) {
		t.Errorf("%+v", a)
	}
	if len(b.Publish.Allow) != 1 || *b.Responses != (ResponsePermission{5, time.Minute}) {
		t.Errorf("%+v", b)
	}
	if c.Publish != nil || c.Subscribe.Allow != nil {
		t.Errorf("%+v", c)
	}
}

// TestDefaultPermissions: users without permissions get those of their account.
func TestDefaultPermissions(t *testing.T) {
	o := mustParse(t, `accounts { A { users: [ {user: a}, {user: b, permissions { publish: y } } ], default_permissions { publish: x } } }`)
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	users := o.AllUsers()
	if users[0].Permissions.Publish.Allow[0] != "x" || users[1].Permissions.Publish.Allow[0] != "y" || users[0].Account != "A" {
		t.Errorf("%+v %+v", users[0], users[1])
	}
}
