package account

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// CertificateIndex finds the user that a certificate stands for, where users
// are known by what is in their certificates (verify_and_map). It is immutable.
type CertificateIndex struct {
	ordered map[string][]string // users by their name read as a distinguished name
	any     map[string][]string // the same whatever the order of its parts
}

// NewCertificateIndex makes an index of users by their names. The order of the
// names decides between users whose names mean the same.
func NewCertificateIndex(names []string) *CertificateIndex {
	x := &CertificateIndex{ordered: map[string][]string{}, any: map[string][]string{}}
	for _, name := range names {
		if dn, err := parseDN(name); err == nil && len(dn) > 0 {
			ordered, unordered := dn.keys()
			x.ordered[ordered] = append(x.ordered[ordered], name)
			x.any[unordered] = append(x.any[unordered], name)
		}
	}
	return x
}

// Find returns the first user that cert, the first certificate of a peer,
// stands for. usable says whether there is a user of that name that the
// connection may be. note is a line for the debug log.
//
// In order: e-mail addresses, DNS names and URIs of the certificate, each as the
// name of a user; users whose name is the certificate's distinguished name,
// then in another order; the subject as RFC 2253 writes it with its domain
// components behind it, then without.
func (x *CertificateIndex) Find(cert *x509.Certificate, usable func(name string) bool) (name, note string, ok bool) {
	subject := cert.Subject.ToRDNSequence().String()
	try := func(candidates []string, what string) bool {
		for _, c := range candidates {
			if c != "" && usable(c) {
				name, note = c, "Using "+what+" for auth ["+strconv.Quote(c)+"]"
				return true
			}
		}
		return false
	}
	var uris []string
	for _, u := range cert.URIs {
		uris = append(uris, u.String())
	}
	var ordered, unordered []string
	rdns, err := rawRDNs(cert.RawSubject)
	if err == nil {
		if dn, err := dnOf(rdns); err == nil && len(dn) > 0 {
			a, b := dn.keys()
			ordered, unordered = x.ordered[a], x.any[b]
		}
	}
	var withDomain []string
	if domain := domainOf(rdns); domain != "" {
		withDomain = []string{subject + "," + domain}
	}
	ok = try(cert.EmailAddresses, "email found in cert") ||
		try(cert.DNSNames, "SAN found in cert") ||
		try(uris, "URI found in cert") ||
		try(ordered, "DistinguishedNameMatch") ||
		try(unordered, "DistinguishedNameMatch") ||
		try(withDomain, "RDNSequence") ||
		try([]string{subject}, "certificate subject")
	switch {
	case ok:
	case subject == "" && len(cert.EmailAddresses)+len(cert.DNSNames)+len(uris) == 0:
		note = "User required in cert, none found"
	default:
		note = "User in cert [" + strconv.Quote(subject) + "], not found"
	}
	return name, note, ok
}

// domainComponent is the attribute DC.
var domainComponent = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}

// attributeNames are the attributes that a distinguished name may have.
var attributeNames = map[string]string{
	"2.5.4.3": "cn", "2.5.4.5": "serialnumber", "2.5.4.6": "c", "2.5.4.7": "l", "2.5.4.8": "st",
	"2.5.4.9": "street", "2.5.4.10": "o", "2.5.4.11": "ou", "2.5.4.17": "postalcode",
	domainComponent.String(): "dc",
}

func rawRDNs(subject []byte) (rdns pkix.RDNSequence, err error) {
	_, err = asn1.Unmarshal(subject, &rdns)
	return rdns, err
}

// domainOf returns the domain components in the certificate's order.
func domainOf(rdns pkix.RDNSequence) string {
	var parts []string
	for _, rdn := range rdns {
		for _, a := range rdn {
			if v, ok := a.Value.(string); ok && a.Type.Equal(domainComponent) {
				parts = append(parts, "DC="+v)
			}
		}
	}
	return strings.Join(parts, ",")
}

// distinguishedName is a name of RFC 4514: parts, the most specific first, of
// attributes.
type distinguishedName [][]attribute

// attribute has its type in small letters.
type attribute struct{ kind, value string }

var errDN = errors.New("account: not a distinguished name")

// dnOf reads the subject of a certificate, which has the most general part
// first.
func dnOf(rdns pkix.RDNSequence) (distinguishedName, error) {
	var dn distinguishedName
	for _, rdn := range slices.Backward(rdns) {
		var part []attribute
		for _, a := range rdn {
			kind, known := attributeNames[a.Type.String()]
			value, text := a.Value.(string)
			if !known || !text {
				return nil, errDN
			}
			part = append(part, attribute{kind, value})
		}
		if len(part) > 0 {
			dn = append(dn, part)
		}
	}
	return dn, nil
}

// keys returns dn in a form in which equal names are equal strings, and one for
// which the order of the parts does not matter.
func (dn distinguishedName) keys() (ordered, unordered string) {
	parts := make([]string, len(dn))
	for i, part := range dn {
		attributes := make([]string, len(part))
		for j, a := range part {
			attributes[j] = strconv.Quote(a.kind) + "=" + strconv.Quote(a.value)
		}
		slices.Sort(attributes)
		parts[i] = strings.Join(attributes, "+")
	}
	ordered = strings.Join(parts, ",")
	slices.Sort(parts)
	return ordered, strings.Join(parts, ",")
}

// parseDN reads the text form of RFC 4514. Values that are written as BER are
// errors.
func parseDN(text string) (distinguishedName, error) {
	var dn distinguishedName
	var part []attribute
	for rest := text; rest != ""; {
		kind, after, found := strings.Cut(rest, "=")
		if kind = strings.ToLower(strings.TrimSpace(kind)); !found || kind == "" || strings.ContainsAny(kind, `,+\`) {
			return nil, errDN
		}
		value, end, tail, err := parseValue(after)
		if err != nil {
			return nil, err
		}
		part = append(part, attribute{kind, value})
		if end != '+' {
			dn = append(dn, part)
			part = nil
		} else if tail == "" {
			return nil, errDN
		}
		rest = tail
	}
	return dn, nil
}

// parseValue reads a value up to a comma or plus, which is end, or to the end of
// the text, where end is 0.
func parseValue(text string) (value string, end byte, rest string, err error) {
	text = strings.TrimLeft(text, " ")
	if strings.HasPrefix(text, "#") {
		return "", 0, "", errDN
	}
	var b []byte
	keep := 0 // up to here spaces are part of the value
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ',', '+':
			return string(b[:keep]), c, text[i+1:], nil
		case '\\':
			if i++; i == len(text) {
				return "", 0, "", errDN
			}
			if strings.IndexByte(` "#+,;<=>\`, text[i]) >= 0 {
				b = append(b, text[i])
			} else {
				if i+2 > len(text) {
					return "", 0, "", errDN
				}
				octet, err := hex.DecodeString(text[i : i+2])
				if err != nil {
					return "", 0, "", errDN
				}
				b = append(b, octet...)
				i++
			}
			keep = len(b)
		case ' ':
			b = append(b, c)
		default:
			b = append(b, c)
			keep = len(b)
		}
	}
	return string(b[:keep]), 0, "", nil
}
