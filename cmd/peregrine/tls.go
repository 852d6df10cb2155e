package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"peregrine/certs"
	"peregrine/config"
	"peregrine/monitor"
	"peregrine/server"
)

// certOptions turns a TLS block into the terms of package certs.
func certOptions(t *config.TLS) (certs.Options, error) {
	all, err := t.Certificates()
	if err != nil {
		return certs.Options{}, err
	}
	o := certs.Options{
		Certificates: all, CertFile: t.CertFile, Authorities: t.AuthorityList(), Verify: t.Verify, Insecure: t.Insecure,
		MinVersion: t.MinVersion, Ciphers: t.Ciphers, Curves: t.Curves, Pinned: t.PinnedCerts,
	}
	if len(t.Certs) > 0 {
		o.CertFile = t.Certs[0].CertFile
	}
	if p := t.OCSPPeer; p != nil && p.Verify {
		o.OCSPPeer = &certs.PeerOptions{
			Timeout: p.Timeout, ClockSkew: p.ClockSkew, TTLUnsetNextUpdate: p.TTLUnsetNextUpdate,
			WarnOnly: p.WarnOnly, UnknownIsGood: p.UnknownIsGood, AllowWhenCAUnreachable: p.AllowWhenCAUnreachable,
		}
	}
	return o, nil
}

// setTLS gives the server what a configuration says of TLS with clients.
func setTLS(s *server.Options, o *config.Options) error {
	s.ProxyProtocol = o.ProxyProtocol
	s.Staple.Folder = o.StoreDir
	if p := o.OCSP; p != nil {
		s.Staple.Mode, s.Staple.Responders = p.Mode, p.URLs
	}
	switch c := o.OCSPCache; {
	case c == nil:
		s.PeerCache = new(certs.CacheOptions)
		s.PeerCache.SaveInterval = cacheSaveInterval
	case c.Type != "none":
		s.PeerCache = &certs.CacheOptions{Folder: c.LocalStore, PreserveRevoked: c.PreserveRevoked, SaveInterval: c.SaveInterval}
	}
	t := o.TLS
	if t == nil {
		return nil
	}
	of, err := certOptions(t)
	if err != nil {
		return err
	}
	s.TLS = &server.TLSOptions{
		Options: of, Timeout: t.Timeout, AllowNonTLS: o.AllowNonTLS, Map: t.Map, RateLimit: t.RateLimit,
		HandshakeFirst: t.HandshakeFirst, HandshakeFallback: t.HandshakeFallback,
	}
	return nil
}

// cacheSaveInterval is how often a cache that nobody configured is saved.
const cacheSaveInterval = 5 * 60 * 1e9

// monitorPorts says why the monitoring pages cannot be where they are asked for.
func monitorPorts(o *config.Options) error {
	switch {
	case o.HTTPPort != 0 && o.HTTPSPort != 0:
		return fmt.Errorf("can't specify both HTTP (%v) and HTTPs (%v) ports", o.HTTPPort, o.HTTPSPort)
	case o.HTTPSPort != 0 && o.TLS == nil:
		return errors.New("TLS cert and key required for HTTPS")
	}
	return nil
}

// monitorTLS is TLS as a monitor shows it.
func monitorTLS(st server.TLSStats) monitor.TLS {
	m := monitor.TLS{
		Required: st.Required, Verify: st.Verify, OCSPPeerVerify: st.OCSPPeerVerify, Timeout: st.Timeout, CertNotAfter: st.NotAfter,
	}
	if c := st.PeerCache; c != nil {
		m.PeerCache = &monitor.PeerCache{
			Type: "local", Hits: c.Hits, Misses: c.Misses, Responses: c.Responses,
			Revoked: c.Revoked, Good: c.Good, Unknown: c.Unknown,
		}
	}
	return m
}

// printTLSHelp explains the TLS block.
func printTLSHelp(w io.Writer) int {
	fmt.Fprint(w, tlsHelp)
	fmt.Fprint(w, "\nCipher suites of TLS 1.2, those that are not secure last:\n")
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		fmt.Fprintf(w, "    %s\n", s.Name)
	}
	fmt.Fprint(w, "\nCurve preferences:\n")
	for _, name := range config.CurveNames() {
		fmt.Fprintf(w, "    %s\n", name)
	}
	fmt.Fprint(w, ocspHelp)
	return 0
}

const tlsHelp = `
TLS with clients is what the block tls of a configuration file says:

    tls {
        cert_file: "./certs/server-cert.pem"
        key_file:  "./certs/server-key.pem"
        ca_file:   "./certs/ca.pem"

        verify:         true    # clients must have a certificate
        verify_and_map: true    # it says which user they are

        min_version:       "1.3"
        cipher_suites:     [ "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" ]
        curve_preferences: [ "X25519", "CurveP256" ]
        handshake_first:   auto
    }

All keys are in docs/configuration.md.
`

const ocspHelp = `
Ask whether certificates of clients were revoked (verify must be on):

    tls {
        ocsp_peer: true         # or a block:
        ocsp_peer {
            verify: true
            ca_timeout: 2       # seconds
            allowed_clockskew: 30
            warn_only: false
            unknown_is_good: false
            allow_when_ca_unreachable: false
            cache_ttl_when_next_update_unset: 3600
        }
    }

Keep the answers; a key of the top level:

    ocsp_cache {
        type: local             # or none
        local_store: "_rc_"
        preserve_revoked: false
        save_interval: 300
    }
`
