package config

import (
	"crypto/tls"
	"encoding/hex"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// TLS is a TLS block. The files it names were read when the configuration was.
type TLS struct {
	CertFile, KeyFile, CAFile string
	Certs                     []CertPair // instead of CertFile and KeyFile
	Verify                    bool       // peers must have a certificate
	Map                       bool       // their certificate says which user they are
	CheckKnownURLs            bool       // their certificate must be for a host of this file
	Insecure                  bool       // do not verify servers
	Timeout                   time.Duration
	Ciphers                   []uint16
	Curves                    []tls.CurveID
	AllowInsecureCiphers      bool
	MinVersion                uint16
	PinnedCerts               []string      // hex of SHA-256 in small letters
	RateLimit                 int64         // handshakes a second
	HandshakeFirst            bool          // before INFO
	HandshakeFallback         time.Duration // INFO after this time without a handshake; 0 is never
	OCSPPeer                  *OCSPPeer
	Store                     CertStore

	pairs       [][2][]byte // content of the certificates and their keys
	authorities []byte      // content of CAFile
}

// CertPair is a certificate with its key.
type CertPair struct{ CertFile, KeyFile string }

// CertStore selects a certificate of the Windows store.
type CertStore struct {
	Store, MatchBy, Match string
	SkipInvalid           bool
	CACerts               []string
}

// tlsUse is how a TLS block is used.
type tlsUse uint8

const (
	tlsClients tlsUse = iota // with clients, leaf nodes and services
	tlsServers               // with servers of the cluster and other clusters: both sides verify
)

// The TLS blocks. They have the same keys, of which some work in one of them only.
var (
	clientTLSBlock  = block[TLS]{unknown: unknownTLS, strict: true, entries: tlsEntries(tlsClients, "")}
	clusterTLSBlock = block[TLS]{unknown: unknownTLS, strict: true, entries: tlsEntries(tlsServers, PartCluster)}
	gatewayTLSBlock = block[TLS]{unknown: unknownTLS, strict: true, entries: tlsEntries(tlsServers, PartGateway)}
	leafTLSBlock    = block[TLS]{unknown: unknownTLS, strict: true, entries: tlsEntries(tlsClients, PartLeafNode)}
	wsTLSBlock      = block[TLS]{unknown: unknownTLS, strict: true, entries: tlsEntries(tlsClients, PartWebSocket)}
	mqttTLSBlock    = block[TLS]{unknown: unknownTLS, strict: true, entries: tlsEntries(tlsClients, PartMQTT)}
)

const (
	tlsTrouble = "error parsing tls config, "
	unknownTLS = tlsTrouble + "unknown field %q"
)

// tlsBlockAs is an option that holds a TLS block.
func tlsBlockAs[T any](name string, b *block[TLS], at func(*T) **TLS, s Spec) entry[T] {
	s = unset(s, "no TLS")
	e := nested(name, "interface conversion: interface {} is %s, not map[string]interface {}", at, b, s)
	read := e.read
	e.read = func(r *reader, k key, into *T) {
		before := len(r.Errors)
		read(r, k, into)
		if t := *at(into); t != nil && len(r.Errors) == before {
			r.checkTLS(k.Value, t)
		}
	}
	return e
}

// tlsFields are what the program reads of a TLS block, by key.
var tlsFields = map[string]string{
	"cert_file": "Certificates", "key_file": "Certificates", "certs": "Certificates", "ca_file": "AuthorityList",
	"verify": "Verify", "verify_and_map": "Map", "verify_cert_and_check_known_urls": "Verify", "insecure": "Insecure",
	"timeout": "Timeout", "cipher_suites": "Ciphers", "curve_preferences": "Curves", "allow_insecure_cipher_suites": "Ciphers",
	"min_version": "MinVersion", "pinned_certs": "PinnedCerts", "connection_rate_limit": "RateLimit",
	"handshake_first": "HandshakeFirst", "ocsp_peer": "OCSPPeer",
}

// notWindows is why keys of the Windows store do nothing.
const notWindows = "nats-server reads that store on Windows only"

// tlsEntries returns the keys of a TLS block. part, if not empty, waits for all
// of them.
func tlsEntries(use tlsUse, part Part) []entry[TLS] {
	all := tlsKeys(use, part)
	for i := range all {
		if part != "" {
			continue
		}
		if field := tlsFields[all[i].name]; field != "" {
			all[i].Use = field
		} else {
			all[i].Ignored = notWindows
		}
	}
	return all
}

func tlsKeys(use tlsUse, part Part) []entry[TLS] {
	live := func(s Spec) Spec {
		s.Reload, s.Waiting = Live, part
		return s
	}
	fixed := func(field string, s Spec) Spec {
		s.Field, s.Waiting = field, part
		return s
	}
	file := func(name string, at func(*TLS) *string, doc, unset string) entry[TLS] {
		return tlsText(name, kindPath, at, tlsTrouble+"expected '"+name+"' to be filename",
			live(Spec{Unset: unset, Range: "a PEM file, relative to the working directory", Log: "tls = enabled", Doc: doc}))
	}
	return []entry[TLS]{
		file("cert_file", func(t *TLS) *string { return &t.CertFile }, "Certificate, with those that lead to its authority.", "no certificate"),
		file("key_file", func(t *TLS) *string { return &t.KeyFile }, "Key of the certificate.", "no certificate"),
		file("ca_file", func(t *TLS) *string { return &t.CAFile }, "Authorities that peers' certificates come from.", "those of the machine"),
		inside(custom("certs", kindBlocks, readCerts, func(t *TLS) any { return t.Certs },
			live(Spec{Aliases: []string{"certificates"}, Unset: "none", Doc: "Several certificates; not with `cert_file`."})), &certPairBlock),
		tlsFlag("verify", func(t *TLS, on bool) { t.Verify = on }, func(t *TLS) any { return t.Verify },
			live(Spec{Doc: "Peers must have a certificate. Servers of a cluster always must."})),
		tlsFlag("verify_and_map", func(t *TLS, on bool) { t.Map, t.Verify = on, t.Verify || on }, func(t *TLS) any { return t.Map },
			fixed("TLSMap", Spec{Doc: "Peers must have a certificate, which says which user they are."})),
		custom("verify_cert_and_check_known_urls", kindBool, func(r *reader, k key, t *TLS) {
			switch {
			case k.Kind != grammar.Bool:
				r.errorf(k.Value, tlsTrouble+"expected 'verify_cert_and_check_known_urls' to be a boolean")
			case k.Bool && use == tlsClients:
				r.errorf(k.Value, "verify_cert_and_check_known_urls not supported in this context")
			default:
				t.CheckKnownURLs, t.Verify = k.Bool, t.Verify || k.Bool
			}
		}, func(t *TLS) any { return t.CheckKnownURLs },
			live(Spec{Default: "false", Range: "true or false; true in clusters and gateways only", Doc: "The certificates of servers must be for hosts of this file."})),
		tlsFlag("insecure", func(t *TLS, on bool) { t.Insecure = on }, func(t *TLS) any { return t.Insecure },
			live(Spec{Doc: "Do not verify the servers that are connected to."})),
		custom("timeout", kindSeconds, func(r *reader, k key, t *TLS) {
			if d, ok := r.timeout(k.Value, tlsTrouble+"'timeout'"); ok {
				t.Timeout = d
			}
		}, func(t *TLS) any { return t.Timeout },
			live(Spec{Default: "2", Range: "more than 0", Log: "tls timeout = %v", Doc: "Time for a handshake."})),
		custom("cipher_suites", "list of strings", readCiphers, func(t *TLS) any { return t.Ciphers },
			live(Spec{Unset: "the secure ones of Go", Range: "names such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Doc: "Cipher suites of TLS 1.2."})),
		custom("curve_preferences", "list of strings", readCurves, func(t *TLS) any { return t.Curves },
			live(Spec{Unset: "all, in the order given here", Range: strings.Join(CurveNames(), ", "), Doc: "Key exchanges, the best first."})),
		tlsFlag("allow_insecure_cipher_suites", func(t *TLS, on bool) { t.AllowInsecureCiphers = on }, func(t *TLS) any { return t.AllowInsecureCiphers },
			live(Spec{Doc: "Let `cipher_suites` have insecure ones."})),
		custom("min_version", kindText, readMinVersion, func(t *TLS) any { return t.MinVersion },
			live(Spec{Default: `"1.2"`, Range: `"1.2" or "1.3"`, Doc: "Oldest version of TLS that is spoken."})),
		custom("pinned_certs", "list of strings", readPinnedCerts, func(t *TLS) any { return t.PinnedCerts },
			live(Spec{Unset: "all", Range: "SHA-256 of DER-encoded public keys in hex", Log: "%d pinned_certs", Doc: "The only keys that peers may have."})),
		custom("connection_rate_limit", kindInt, func(r *reader, k key, t *TLS) {
			if k.Kind != grammar.Int {
				r.errorf(k.Value, tlsTrouble+"'connection_rate_limit' wrong type")
				return
			}
			t.RateLimit = k.Int
		}, func(t *TLS) any { return t.RateLimit },
			fixed("TLSRateLimit", Spec{Unset: "no limit", Range: "0 (no limit) or more handshakes a second", Doc: "Handshakes with clients."})),
		custom("handshake_first", "boolean, `auto` or duration", readHandshakeFirst, func(t *TLS) any { return t.HandshakeFirst },
			live(Spec{Aliases: []string{"first", "immediate"}, Default: "false", Range: "true, false, `auto` (50 ms) or the time to wait for the handshake",
				Log: "Client TLS handshake first: %v", Doc: "Begin with the handshake instead of INFO; with a time, send INFO if no handshake comes."})),
		inside(custom("ocsp_peer", "boolean or block", readOCSPPeer, func(t *TLS) any { return deref(t.OCSPPeer) },
			live(Spec{Default: "false", Range: "true, false or see the keys below", Doc: "Ask whether the certificates of peers were revoked."})), &ocspPeerBlock),
		custom("cert_store", kindText, readCertStore, func(t *TLS) any { return t.Store.Store },
			live(Spec{Unset: "files", Range: "WindowsCurrentUser or WindowsLocalMachine, on Windows", Doc: "Store that has the certificate."})),
		custom("cert_match_by", kindText, func(r *reader, k key, t *TLS) {
			switch {
			case k.Kind != grammar.String || k.Str == "":
				r.errorf(k.Value, "expected 'cert_match_by' to be a valid non-empty string")
			case !contains([]string{"issuer", "subject", "thumbprint"}, strings.ToLower(k.Str)):
				r.errorf(k.Value, "cert match by type not implemented")
			default:
				t.Store.MatchBy = strings.ToLower(k.Str)
			}
		}, func(t *TLS) any { return t.Store.MatchBy },
			live(Spec{Unset: "subject", Range: "issuer, subject or thumbprint", Doc: "What finds the certificate in the store."})),
		tlsText("cert_match", kindText, func(t *TLS) *string { return &t.Store.Match }, "expected 'cert_match' to be a valid non-empty string",
			live(Spec{Unset: "none", Range: "not empty", Doc: "Its value."})),
		custom("cert_match_skip_invalid", kindBool, func(r *reader, k key, t *TLS) {
			if k.Kind != grammar.Bool {
				r.errorf(k.Value, "expected 'cert_match_skip_invalid' to be a boolean")
				return
			}
			t.Store.SkipInvalid = k.Bool
		}, func(t *TLS) any { return t.Store.SkipInvalid },
			live(Spec{Default: "false", Range: "true or false", Doc: "Pass over certificates of the store that are not valid."})),
		custom("ca_certs_match", kindTexts, readCACertsMatch, func(t *TLS) any { return t.Store.CACerts },
			live(Spec{Unset: "none", Range: "subjects of authorities", Doc: "Authorities in the store."})),
	}
}

// tlsFlag is a boolean with a message of its own.
func tlsFlag(name string, set func(*TLS, bool), get func(*TLS) any, s Spec) entry[TLS] {
	s.Default, s.Range = "false", "true or false"
	return custom(name, kindBool, func(r *reader, k key, t *TLS) {
		if k.Kind != grammar.Bool {
			r.errorf(k.Value, tlsTrouble+"expected '%s' to be a boolean", name)
			return
		}
		set(t, k.Bool)
	}, get, s)
}

// tlsText is a string with a message of its own.
func tlsText(name, kind string, at func(*TLS) *string, wrong string, s Spec) entry[TLS] {
	return custom(name, kind, func(r *reader, k key, t *TLS) {
		if k.Kind != grammar.String || k.Str == "" && name == "cert_match" {
			r.errorf(k.Value, "%s", wrong)
			return
		}
		*at(t) = k.Str
	}, func(t *TLS) any { return *at(t) }, s)
}

func readCerts(r *reader, k key, t *TLS) {
	if k.Kind != grammar.List {
		// The type named is that of the block.
		r.errorf(k.Value, "error parsing certificates config: unsupported type map[string]interface {}")
		return
	}
	for _, v := range k.List {
		if v.Kind != grammar.Map {
			r.errorf(v, "error parsing certificates config: unsupported type %s", v.Kind)
			return
		}
		var pair CertPair
		before := len(r.Errors)
		for name, e := range v.Map.All() {
			if e.Kind != grammar.String {
				r.errorf(e, "error parsing certificates config: unsupported type %s", e.Kind)
				continue
			}
			switch name {
			case "cert_file":
				pair.CertFile = e.Str
			case "key_file":
				pair.KeyFile = e.Str
			default:
				r.errorf(e, "error parsing tls certs config, unknown field %q", name)
			}
		}
		if len(r.Errors) > before {
			return
		}
		if pair.CertFile == "" || pair.KeyFile == "" {
			r.errorf(lastKey(v), "error parsing certificates config: both 'cert_file' and 'cert_key' options are required")
			return
		}
		t.Certs = append(t.Certs, pair)
	}
}

// certPairBlock shows the keys that readCerts reads.
var certPairBlock = block[CertPair]{entries: []entry[CertPair]{
	filePath("cert_file", func(c *CertPair) *string { return &c.CertFile },
		Spec{Unset: "refused", Reload: Live, Use: "CertFile", Doc: "Certificate."}),
	filePath("key_file", func(c *CertPair) *string { return &c.KeyFile },
		Spec{Unset: "refused", Reload: Live, Use: "CertFile", Doc: "Key of the certificate."}),
}}

func readPinnedCerts(r *reader, k key, t *TLS) {
	if k.Kind != grammar.List {
		r.errorf(k.Value, tlsTrouble+"expected 'pinned_certs' to be a list of hex-encoded sha256 of DER encoded SubjectPublicKeyInfo")
		return
	}
	for _, e := range k.List {
		text, ok := r.str(e)
		if !ok {
			return
		}
		text = strings.ToLower(text)
		if sum, err := hex.DecodeString(text); err != nil || len(sum) != 32 {
			r.errorf(e, tlsTrouble+"'pinned_certs' key %s does not look like hex-encoded sha256 of DER encoded SubjectPublicKeyInfo", text)
			return
		}
		if !contains(t.PinnedCerts, text) {
			t.PinnedCerts = append(t.PinnedCerts, text)
		}
	}
}

// firstFallback is the time that "auto" waits for a handshake.
const firstFallback = 50 * time.Millisecond

func readHandshakeFirst(r *reader, k key, t *TLS) {
	t.HandshakeFallback = 0
	switch k.Kind {
	case grammar.Bool:
		t.HandshakeFirst = k.Bool
	case grammar.String:
		switch strings.ToLower(k.Str) {
		case "true", "on":
			t.HandshakeFirst = true
		case "false", "off":
			t.HandshakeFirst = false
		case "auto", "auto_fallback":
			t.HandshakeFirst, t.HandshakeFallback = true, firstFallback
		default:
			d, err := time.ParseDuration(k.Str)
			if err != nil {
				r.errorf(k.Value, "field %q's value %q is invalid", k.name, k.Str)
				return
			}
			t.HandshakeFirst, t.HandshakeFallback = true, d
		}
	default:
		r.errorf(k.Value, "field %q should be a boolean or a string, got %s", k.name, k.Kind)
	}
}

func readCertStore(r *reader, k key, t *TLS) {
	switch {
	case k.Kind != grammar.String || k.Str == "":
		r.errorf(k.Value, "expected 'cert_store' to be a valid non-empty string")
	case !contains([]string{"windowscurrentuser", "windowslocalmachine"}, strings.ToLower(k.Str)):
		r.errorf(k.Value, "cert store type not implemented")
	default:
		// No build of this program can read it.
		r.errorf(k.Value, "cert_store not compatible with current operating system")
	}
}

func readCACertsMatch(r *reader, k key, t *TLS) {
	switch k.Kind {
	case grammar.String:
		t.Store.CACerts = []string{k.Str}
	case grammar.List:
		for _, e := range k.List {
			if e.Kind != grammar.String {
				r.errorf(k.Value, "error parsing ca_cert_match: unsupported type %s where string is expected", "*conf.token")
				return
			}
			t.Store.CACerts = append(t.Store.CACerts, e.Str)
		}
	}
}
