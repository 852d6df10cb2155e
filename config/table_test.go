package config

import (
	"go/ast"
	"strings"
	"testing"

	"peregrine/config/grammar"
)

// TestTable walks the table: each option has a documentation, a default, a
// range, a reload rule and a user.
func TestTable(t *testing.T) {
	rows := Table()
	if len(rows) < 400 {
		t.Fatalf("the table has %d options only", len(rows))
	}
	names := make(map[string]string)
	read := readByOthers(t)
	for i := range rows {
		o := &rows[i]
		problem := func(text string) { t.Errorf("%s: %s", o.Path, text) }
		if !strings.HasSuffix(o.Doc, ".") {
			problem("no documentation that ends as a sentence")
		}
		if (o.Default == "") == (o.Unset == "") {
			problem("needs one of Default and Unset")
		}
		if o.Range == "" || o.Type == "" {
			problem("no range or type")
		}
		if o.Reload == Restart && o.Field == "" && o.Ignored == "" {
			problem("a reload cannot refuse it by name")
		}
		if (o.Reload == Partly) != (o.ReloadNote != "") {
			problem("a partly live option needs a note, others none")
		}
		users := 0
		for _, user := range []string{o.Use, string(o.Waiting), o.Ignored} {
			if user != "" {
				users++
			}
		}
		if users != 1 {
			problem("needs one of Use, Waiting and Ignored")
		}
		use := o.Use
		if use != "" && !strings.Contains(use, ".") {
			use = o.owner + "." + use
		}
		// Nobody outside reads a type that is not exported: what it becomes is read.
		if own, field, _ := strings.Cut(use, "."); use != "" && !ast.IsExported(own) {
			use = "." + field
		}
		if use != "" && !read[use] {
			problem("nobody reads " + use)
		}
		parent := strings.TrimSuffix(o.Path, o.Name())
		for _, name := range append(o.Aliases, o.Name()) {
			if name != strings.ToLower(name) {
				problem(name + " is not in small letters")
			}
			if other := names[parent+name]; other != "" {
				problem(name + " is also " + other)
			}
			names[parent+name] = o.Path
		}
		if o.Default != "" {
			if v, err := grammar.Parse("v = "+o.Default, "", grammar.Options{}); err != nil || v.Get("v") == nil {
				problem("the default cannot be read")
			}
		}
	}
}

// TestEveryDefaultReads completes a configuration with every block in it.
func TestEveryDefaultReads(t *testing.T) {
	o := mustParse(t, `
authorization { users: [ {user: a} ] }
accounts { A { users: [ {user: b} ], jetstream {}, limits {} } }
tls {}
cluster { name: c, port: -1, tls {}, authorization { user: x, password: y } }
gateway { name: c, port: -1, tls {}, gateways: [ {name: d, url: "nats://d:1", tls {}} ] }
leafnodes { port: -1, tls {}, authorization { account: A }, remotes: [ {url: "nats://e", tls {}, proxy { url: "http://p" }} ] }
jetstream {}
websocket { port: -1, tls {} }
mqtt { port: -1, tls {} }
system_account: A
server_name: n
resolver { type: mem }
ocsp {}
ocsp_cache {}
proxies {}
peregrine {}
`)
	if err := o.Complete(); err != nil {
		t.Fatal(err)
	}
	if o.Cluster.TLS.Timeout == 0 || o.Cluster.PoolSize != 3 || o.LeafNode.Remotes[0].Account != GlobalAccount ||
		o.LeafNode.Remotes[0].URLs[0].Host != "e:7422" || !o.JetStream.SyncAlways || o.JetStream.MaxMemory != -1 || o.MQTT.MaxAckPending != 1024 {
		t.Errorf("%+v", o)
	}
}

func mustParse(t *testing.T, src string) *Options {
	t.Helper()
	o, _, err := Parse(src, "test.conf", Env{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}
