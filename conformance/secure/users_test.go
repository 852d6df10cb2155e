package secure

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/url"
	"testing"

	"github.com/nats-io/nats.go"

	"peregrine/conformance/harness"
)

// subject makes a certificate's subject of RDNs, each a list of attributes.
func subject(rdns ...[]pkix.AttributeTypeAndValue) func(c *x509.Certificate) {
	return func(c *x509.Certificate) {
		var seq pkix.RDNSequence
		for _, rdn := range rdns {
			seq = append(seq, rdn)
		}
		raw, err := asn1.Marshal(seq)
		if err != nil {
			panic(err)
		}
		c.RawSubject = raw
	}
}

// The attributes of subjects.
func attribute(id asn1.ObjectIdentifier, value string) pkix.AttributeTypeAndValue {
	return pkix.AttributeTypeAndValue{Type: id, Value: value}
}
func cn(v string) pkix.AttributeTypeAndValue { return attribute(asn1.ObjectIdentifier{2, 5, 4, 3}, v) }
func ou(v string) pkix.AttributeTypeAndValue { return attribute(asn1.ObjectIdentifier{2, 5, 4, 11}, v) }
func org(v string) pkix.AttributeTypeAndValue {
	return attribute(asn1.ObjectIdentifier{2, 5, 4, 10}, v)
}
func country(v string) pkix.AttributeTypeAndValue {
	return attribute(asn1.ObjectIdentifier{2, 5, 4, 6}, v)
}
func dc(v string) pkix.AttributeTypeAndValue {
	return attribute(asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, v)
}
func one(a ...pkix.AttributeTypeAndValue) []pkix.AttributeTypeAndValue { return a }

// TestMap: which user a certificate makes a client.
func TestMap(t *testing.T) {
	a := newAuthority(t, "authority")
	names := func(emails, dns []string, uris ...string) func(c *x509.Certificate) {
		return func(c *x509.Certificate) {
			c.EmailAddresses, c.DNSNames = emails, dns
			for _, text := range uris {
				u, err := url.Parse(text)
				check(t, err)
				c.URIs = append(c.URIs, u)
			}
		}
	}
	cases := []struct {
		who     string
		cert    func(c *x509.Certificate)
		connect string
	}{
		{"email", names([]string{"ann@acme.com"}, nil), ""},
		{"second email", names([]string{"nobody@acme.com", "ann@acme.com"}, nil), ""},
		{"email before DNS", names([]string{"bob@acme.com"}, []string{"host.acme.com"}), ""},
		{"DNS", names(nil, []string{"host.acme.com"}), ""},
		{"second DNS", names(nil, []string{"x.acme.com", "host.acme.com"}), ""},
		{"DNS in capitals", names(nil, []string{"HOST.acme.com"}), ""},
		{"URI", names(nil, nil, "spiffe://acme.com/svc/a"), ""},
		{"second URI", names(nil, nil, "spiffe://acme.com/x", "spiffe://acme.com/svc/a"), ""},
		{"DNS before URI", names(nil, []string{"host.acme.com"}, "spiffe://acme.com/svc/a"), ""},
		{"DNS unknown, URI known", names(nil, []string{"x.acme.com"}, "spiffe://acme.com/svc/a"), ""},
		{"DN", subject(one(country("US")), one(org("Acme")), one(ou("Ops")), one(cn("carl"))), ""},
		{"DN in another order", subject(one(cn("carl")), one(ou("Ops")), one(org("Acme")), one(country("US"))), ""},
		{"DN with one more", subject(one(country("US")), one(org("Acme")), one(ou("Ops")), one(ou("Dev")), one(cn("carl"))), ""},
		{"DN with one less", subject(one(country("US")), one(org("Acme")), one(cn("carl"))), ""},
		{"DN with multi-valued RDN", subject(one(org("Acme")), one(cn("multi"), ou("both"))), ""},
		{"DN of two OUs", subject(one(ou("B")), one(ou("A")), one(cn("two"))), ""},
		{"DN of two OUs, swapped", subject(one(ou("A")), one(ou("B")), one(cn("two"))), ""},
		{"DN with DC", subject(one(dc("com")), one(dc("acme")), one(ou("Ops")), one(cn("dora"))), ""},
		{"DN with DC the other way", subject(one(cn("dora")), one(ou("Ops")), one(dc("acme")), one(dc("com"))), ""},
		{"DN with comma", subject(one(org("Acme, Inc.")), one(cn("eve"))), ""},
		{"DN with plus and blank", subject(one(cn(" f+g "))), ""},
		{"DN with empty value", subject(one(org("")), one(cn("hal"))), ""},
		{"DN in capitals", subject(one(country("US")), one(org("ACME")), one(ou("Ops")), one(cn("carl"))), ""},
		{"common name alone", subject(one(cn("ivy"))), ""},
		{"no subject", subject(), ""},
		{"nobody", subject(one(cn("nobody"))), ""},
		{"user given", names([]string{"ann@acme.com"}, nil), `,"user":"CN=ivy"`},
		{"user given and nobody", subject(one(cn("nobody"))), `,"user":"CN=ivy"`},
		{"with password, none given", subject(one(cn("kim"))), ""},
		{"with password, given", subject(one(cn("kim"))), `,"user":"CN=kim","pass":"secret"`},
		{"with password, wrong", subject(one(cn("kim"))), `,"user":"CN=kim","pass":"wrong"`},
		{"websocket only", subject(one(cn("lea"))), ""},
		{"wildcard injected", names([]string{"*"}, []string{">"}), ""},
	}
	var clients []*tls.Config
	for _, c := range cases {
		clients = append(clients, a.client(a.issue(t, c.who, c.cert)))
	}
	config := block(a, a.issue(t, "server", nil), "verify_and_map: true") + `
authorization { users: [
	{user: "ann@acme.com"}, {user: "bob@acme.com"}, {user: "host.acme.com"}, {user: "spiffe://acme.com/svc/a"},
	{user: "CN=carl,OU=Ops,O=Acme,C=US"}, {user: "CN=multi+OU=both,O=Acme"}, {user: "CN=two,OU=A,OU=B"},
	{user: "CN=dora,OU=Ops,DC=acme,DC=com"}, {user: "CN=eve,O=Acme\\, Inc."}, {user: "CN=\\ f\\+g\\ "}, {user: "CN=hal,O="}, {user: "CN=ivy"},
	{user: "CN=kim", password: secret}, {user: "CN=lea", allowed_connection_types: [WEBSOCKET]}
] }
`
	compare(t, config, func(s *seat) {
		for i, c := range cases {
			sc := s.try(c.who, clients[i], c.connect)
			if sc != nil {
				for _, shown := range s.open() {
					s.fields(c.who, shown, "authorized_user", "account", "tls_peer_certs")
				}
				_ = sc.Close()
				s.live = 0
				harness.Poll(s.t, "no connection", func() bool { return len(s.connections("")) == 0 })
			}
		}
		s.note("multiple: %d, ignored: %d", s.Log.Count(`Multiple peer certificates found, selecting first`), s.Log.Count(`found in connect proto, but user required from cert`))
	})
}

// TestMapBesides: users with and without certificates when certificates say who
// one is.
func TestMapBesides(t *testing.T) {
	a := newAuthority(t, "authority")
	between := a.under(t, "between")
	cert := between.issue(t, "deep", func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@acme.com"} }).behind(t, between)
	server := a.issue(t, "server", nil)
	accounts := `accounts { A { users: [ {user: "ann@acme.com"} ] }, B { users: [ {user: b, password: b} ] } }
no_auth_user: b
`
	for _, more := range []string{"allow_non_tls: true", "allow_non_tls: false"} {
		t.Run(more, func(t *testing.T) {
			compare(t, block(a, server, "verify_and_map: true", "timeout: 20")+accounts+more+"\n", func(s *seat) {
				s.try("deep", a.client(cert), "")
				s.try("none", a.client(), "")
				s.try("other", a.client(a.issue(s.t, "other", nil)), `,"user":"b","pass":"b"`)
				if more == "allow_non_tls: true" {
					s.plainSession("plain")
				}
				for _, shown := range s.open() {
					s.fields("connection", shown, "authorized_user", "account", "tls_version")
				}
				s.note("multiple: %d", s.Log.Count(`Multiple peer certificates found, selecting first`))
			})
		})
	}
}

// TestStockClient: the stock client with all it can do about TLS.
func TestStockClient(t *testing.T) {
	a := newAuthority(t, "authority")
	server, ann := a.issue(t, "server", nil), a.issue(t, "ann", func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@acme.com"} })
	users := `authorization { users: [ {user: "ann@acme.com", permissions: {publish: ["in.>", "_INBOX.>"], subscribe: ["in.>", "_INBOX.>"]}} ] }` + "\n"
	for _, first := range []string{"false", "true", "auto", "200ms"} {
		t.Run(first, func(t *testing.T) {
			compare(t, block(a, server, "verify_and_map: true", fmt.Sprintf("handshake_first: %q", first))+users, func(s *seat) {
				options := []nats.Option{nats.Timeout(harness.Patience), nats.RootCAs(a.file), nats.ClientCert(ann.cert, ann.key)}
				if first != "false" {
					options = append(options, nats.TLSHandshakeFirst())
				}
				var nc *nats.Conn
				// A machine that is busy may take longer than the server waits.
				harness.Poll(s.t, "a connection", func() (ok bool) {
					var err error
					nc, err = nats.Connect("tls://"+s.Addr, options...)
					return err == nil
				})
				defer nc.Close()
				state, err := nc.TLSConnectionState()
				check(s.t, err)
				s.note("%s, required %v", tls.VersionName(state.Version), nc.TLSRequired())
				sub, err := nc.SubscribeSync("in.*")
				check(s.t, err)
				check(s.t, sub.SetPendingLimits(-1, -1))
				_, err = nc.Subscribe("in.request", func(m *nats.Msg) { _ = m.Respond(m.Data) })
				check(s.t, err)
				const sum = 500
				for i := range sum {
					check(s.t, nc.Publish("in.a", make([]byte, i*37%20_000)))
				}
				for i := range sum {
					m, err := sub.NextMsg(harness.Patience)
					check(s.t, err)
					if len(m.Data) != i*37%20_000 {
						s.t.Fatalf("message %d has %d bytes", i, len(m.Data))
					}
				}
				m, err := nc.Request("in.request", []byte("hello"), harness.Patience)
				check(s.t, err)
				s.note("%s", m.Data)
				check(s.t, nc.Publish("out.a", nil))
				check(s.t, nc.FlushTimeout(harness.Patience))
				s.note("%v", nc.LastError())
			})
		})
	}
	compare(t, block(a, server, "verify: true"), func(s *seat) {
		for _, c := range []struct {
			who     string
			options []nats.Option
		}{
			{"no authority", nil},
			{"no certificate", []nats.Option{nats.RootCAs(a.file)}},
			{"good", []nats.Option{nats.RootCAs(a.file), nats.ClientCert(ann.cert, ann.key)}},
		} {
			nc, err := nats.Connect(s.URL(), append(c.options, nats.Timeout(harness.Patience))...)
			if err == nil {
				nc.Close()
			}
			s.note("%s: connected %v", c.who, err == nil)
		}
	})
}
