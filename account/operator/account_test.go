package operator

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"peregrine/account"
)

func (w *world) compiled() *Account {
	w.t.Helper()
	a, err := w.trust().Account(w.accountToken(), w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func TestDefinition(t *testing.T) {
	w := newWorld(t)
	l := &w.account.Limits
	l.Conn, l.LeafNodeConn, l.Subs, l.Payload = 5, 1<<40, -7, 1024
	l.DiskStorage, l.MemoryStorage, l.Streams = 1<<30, -1, 3
	w.account.Trace = &jwt.MsgTrace{Destination: "trace.here"}
	d := w.compiled().Definition
	if d.Name != w.accKey || d.Limits != (account.Limits{Connections: 5, LeafNodes: 1<<31 - 1, Subscriptions: account.NoLimit, Payload: 1024}) {
		t.Errorf("limits %+v", d.Limits)
	}
	if j := d.JetStream; j == nil || j.MaxStore != 1<<30 || j.MaxMemory != -1 || j.MaxStreams != 3 || j.MaxAckPending != -1 {
		t.Errorf("JetStream %+v", d.JetStream)
	}
	if d.Trace.Dest != "trace.here" || d.Trace.Sampling != 100 {
		t.Errorf("trace %+v", d.Trace)
	}
	if d := newWorld(t).compiled().Definition; d.JetStream != nil || d.DefaultPermissions != nil {
		t.Errorf("of nothing: %+v", d)
	}
}

func TestExchange(t *testing.T) {
	w := newWorld(t)
	w.account.Exports = jwt.Exports{
		{Subject: "s.*", Type: jwt.Stream, TokenReq: true, Revocations: jwt.RevocationList{"*": 7}},
		{Subject: "q.*", Type: jwt.Service, ResponseType: jwt.ResponseTypeChunked, ResponseThreshold: time.Second, AccountTokenPosition: 2},
		{Subject: "l", Type: jwt.Service, Latency: &jwt.ServiceLatency{Sampling: jwt.Headers, Results: "lat"}},
	}
	w.account.Imports = jwt.Imports{
		{Account: w.signKey, Subject: "a", Type: jwt.Stream, To: "pre"},
		{Account: w.signKey, Subject: "b.*", Type: jwt.Stream, LocalSubject: "l.$1"},
		{Account: w.signKey, Subject: "here", To: "there", Type: jwt.Service},
		{Account: w.signKey, Subject: "x", LocalSubject: "y", Type: jwt.Service, Share: true},
	}
	w.account.Mappings["m.*"] = []jwt.WeightedMapping{{Subject: "n.$1"}, {Subject: "o.$1", Weight: 20, Cluster: "c"}}
	d := w.compiled().Definition
	byKey := map[string]account.Export{}
	for _, x := range d.Exports {
		byKey[x.Subject] = x
	}
	if x := byKey["s.*"]; x.Service || !x.TokenRequired || x.Revocations["*"] != 7 {
		t.Errorf("export %+v", x)
	}
	if x := byKey["q.*"]; !x.Service || x.Response != account.Chunked || x.Threshold != time.Second || x.TokenPosition != 2 {
		t.Errorf("export %+v", x)
	}
	if x := byKey["l"]; x.Latency == nil || *x.Latency != (account.Latency{Subject: "lat"}) {
		t.Errorf("export %+v", x)
	}
	imports := map[string]account.Import{}
	for _, im := range d.Imports {
		imports[im.Subject] = im
	}
	if im := imports["a"]; im.Prefix != "pre" || im.Local != "" || im.Service {
		t.Errorf("import %+v", im)
	}
	if im := imports["b.*"]; im.Local != "l.$1" || im.Prefix != "" {
		t.Errorf("import %+v", im)
	}
	if im := imports["there"]; im.Local != "here" || !im.Service {
		t.Errorf("import %+v", im)
	}
	if im := imports["x"]; im.Local != "y" || !im.Share {
		t.Errorf("import %+v", im)
	}
	if m := d.Mappings; len(m) != 1 || m[0].Source != "m.*" || m[0].Destinations[0].Weight != 100 || m[0].Destinations[1].Weight != 20 {
		t.Errorf("mappings %+v", m)
	}
}

func TestActivations(t *testing.T) {
	exporter, importer := newWorld(t), newWorld(t)
	_, other := newPair(t, nkeys.CreateAccount)
	now := exporter.now
	ex := &account.Export{Subject: "s.>", TokenRequired: true}
	check := func(name string, want bool, change func(c *jwt.ActivationClaims, im *account.Import) nkeys.KeyPair) {
		t.Helper()
		c := jwt.NewActivationClaims(importer.accKey)
		c.ImportSubject, c.ImportType = "s.>", jwt.Stream
		im := &account.Import{Account: exporter.accKey, Subject: "s.a"}
		signer := change(c, im)
		if signer == nil {
			signer = exporter.acc
		}
		if im.Token == "" {
			token, err := c.Encode(signer)
			if err != nil {
				t.Fatal(err)
			}
			im.Token = token
		}
		if _, ok := exporter.compiled().Activates(ex, importer.compiled(), im, now); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
	type claims = jwt.ActivationClaims
	type im = account.Import
	check("as it should be", true, func(*claims, *im) nkeys.KeyPair { return nil })
	check("signing key", true, func(c *claims, _ *im) nkeys.KeyPair { c.IssuerAccount = exporter.accKey; return exporter.sign })
	check("signing key that names nobody", false, func(*claims, *im) nkeys.KeyPair { return exporter.sign })
	check("another issuer", false, func(*claims, *im) nkeys.KeyPair { return importer.acc })
	check("another issuer in the exporter's name", false, func(c *claims, _ *im) nkeys.KeyPair { c.IssuerAccount = exporter.accKey; return importer.acc })
	check("another exporter's name", false, func(c *claims, _ *im) nkeys.KeyPair { c.IssuerAccount = other; return exporter.sign })
	check("for somebody else", false, func(c *claims, _ *im) nkeys.KeyPair { c.Subject = other; return nil })
	check("for a service", false, func(c *claims, _ *im) nkeys.KeyPair { c.ImportType = jwt.Service; return nil })
	check("for another subject", false, func(c *claims, _ *im) nkeys.KeyPair { c.ImportSubject = "s.b"; return nil })
	check("expired", false, func(c *claims, _ *im) nkeys.KeyPair { c.Expires = now.Unix() - 1; return nil })
	check("expires now", false, func(c *claims, _ *im) nkeys.KeyPair { c.Expires = now.Unix(); return nil })
	check("expires later", true, func(c *claims, _ *im) nkeys.KeyPair { c.Expires = now.Unix() + 100; return nil })
	check("not yet valid", false, func(c *claims, _ *im) nkeys.KeyPair { c.NotBefore = now.Unix() + 100; return nil })
	check("no token", false, func(_ *claims, m *im) nkeys.KeyPair { m.Token = "x"; return nil })
	check("account token", false, func(_ *claims, m *im) nkeys.KeyPair { m.Token = exporter.accountToken(); return nil })
	ex.Revocations = map[string]int64{importer.accKey: now.Unix() + 5}
	check("revoked", false, func(*claims, *im) nkeys.KeyPair { return nil })
	ex.Revocations = map[string]int64{"*": now.Unix() + 5}
	check("all revoked", false, func(*claims, *im) nkeys.KeyPair { return nil })
	ex.Revocations = map[string]int64{"*": now.Unix() - 50, importer.accKey: now.Unix() - 60}
	check("older ones revoked", true, func(*claims, *im) nkeys.KeyPair { return nil })
}

func TestTrust(t *testing.T) {
	_, op := newPair(t, nkeys.CreateOperator)
	_, sign := newPair(t, nkeys.CreateOperator)
	loose := NewTrust([]string{op, sign}, []Operator{{Subject: op, SigningKeys: []string{sign}}})
	strict := NewTrust([]string{sign}, []Operator{{Subject: op, SigningKeys: []string{sign}, Strict: true}})
	if !loose.MayDelete(op) || !loose.MayDelete(sign) || strict.MayDelete(op) || !strict.MayDelete(sign) || loose.MayDelete("") {
		t.Error("who may delete accounts")
	}
	if NewTrust(nil, nil).HasOperator() || NewTrust(nil, nil).MayDelete("") || !strict.HasOperator() {
		t.Error("who is an operator")
	}
	c := jwt.NewAccountClaims("A")
	c.Issuer = op
	if loose.CheckIssuer(c) != nil || strict.CheckIssuer(c) == nil {
		t.Error("who may sign a pushed account")
	}
}

func TestCheckPush(t *testing.T) {
	check := func(want string, change func(c *jwt.AccountClaims)) {
		t.Helper()
		w := newWorld(t)
		change(w.account)
		err := CheckPush(w.account)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	check("", func(*jwt.AccountClaims) {})
	check("", func(c *jwt.AccountClaims) { c.Expires = 1 }) // not looked at here
	check("validation errors: [", func(c *jwt.AccountClaims) { c.Exports.Add(stream("a..b")) })
	check("mapping \"a.*\"", func(c *jwt.AccountClaims) { c.Mappings["a.*"] = []jwt.WeightedMapping{{Subject: "b.$2"}} })
	check("more than 4096", func(c *jwt.AccountClaims) {
		for range linksMax + 1 {
			c.Exports = append(c.Exports, stream("a"))
		}
	})
}

func TestSameSigner(t *testing.T) {
	w := newWorld(t)
	a := w.compiled()
	if b := w.compiled(); !a.SameSigner(b, w.accKey) || !a.SameSigner(b, w.scopeKey) || !a.SameSigner(b, w.signKey) {
		t.Error("unchanged signers differ")
	}
	w.template.Template.Resp = &jwt.ResponsePermission{MaxMsgs: 1}
	b := w.compiled()
	if a.SameSigner(b, w.scopeKey) {
		t.Error("a scope that answers now is the same")
	}
	w.template.Template.Resp = &jwt.ResponsePermission{MaxMsgs: 2}
	if c := w.compiled(); b.SameSigner(c, w.scopeKey) {
		t.Error("a scope with other answers is the same")
	}
	delete(w.account.SigningKeys, w.signKey)
	if a.SameSigner(w.compiled(), w.signKey) {
		t.Error("a key that is gone is the same")
	}
}
