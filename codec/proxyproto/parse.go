package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	prefix1   = "PROXY "
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	// Detect is how many bytes tell whether there is a header.
	Detect = 6
	// lineMax is the longest line of version 1, with its end.
	lineMax = 107
	// fixed is the length of what every header of version 2 has.
	fixed = 16
	inet  = 12
	inet6 = 36
)

// Header is what a proxy said.
type Header struct {
	// Source is where the connection comes from. It is not valid if the proxy
	// speaks for itself: its own address holds then.
	Source netip.AddrPort
	// Skip is how many bytes of the header follow that say nothing more. They
	// may be long: the caller throws them away as they come.
	Skip int
}

var (
	// ErrShort asks for more bytes.
	ErrShort = errors.New("proxyproto: header is cut")
	// ErrNone says that there is no header; the bytes are the client's.
	ErrNone = errors.New("unrecognized PROXY protocol format")

	errInvalid     = errors.New("invalid PROXY protocol header")
	errUnsupported = errors.New("unsupported PROXY protocol feature")
)

// Parse reads the header at the beginning of b, n bytes of it, behind which
// Header.Skip more belong to it. b is borrowed.
//
// Errors: ErrShort if b may be the beginning of a header; ErrNone, from Detect
// bytes on, if it is not; others say what is wrong, in the words of the
// reference.
func Parse(b []byte) (h Header, n int, err error) {
	switch start := string(b[:min(len(b), Detect)]); {
	case len(start) < Detect && (strings.HasPrefix(prefix1, start) || strings.HasPrefix(signature, start)):
		return h, 0, ErrShort
	case start == prefix1:
		return parseLine(b)
	case start == signature[:Detect]:
		return parseBlock(b)
	}
	return h, 0, ErrNone
}

// invalid is a header with something wrong in it.
func invalid(what string) error { return fmt.Errorf("%w: %s", errInvalid, what) }

// parseLine reads version 1.
func parseLine(b []byte) (h Header, n int, err error) {
	end := bytes.Index(b[:min(len(b), lineMax)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= lineMax {
			return h, 0, invalid("v1 line too long")
		}
		return h, 0, ErrShort
	}
	n = end + 2
	parts := strings.Fields(string(b[len(prefix1):max(end, len(prefix1))]))
	switch {
	case len(parts) > 0 && parts[0] == "UNKNOWN":
		return h, n, nil
	case len(parts) != 5:
		return h, 0, invalid("invalid v1 format")
	}
	source, err := address(parts[1])
	if err == nil {
		_, err = address(parts[2])
	}
	if err != nil {
		return h, 0, invalid("invalid address")
	}
	port, err := strconv.ParseUint(parts[3], 10, 16)
	if err != nil {
		return h, 0, fmt.Errorf("invalid source port: %w", err)
	}
	if _, err := strconv.ParseUint(parts[4], 10, 16); err != nil {
		return h, 0, fmt.Errorf("invalid dest port: %w", err)
	}
	// The family is that of the text: a mapped address may be in TCP6.
	source6, target6 := strings.Contains(parts[1], ":"), strings.Contains(parts[2], ":")
	switch parts[0] {
	case "TCP4":
		if source6 || target6 {
			return h, 0, invalid("TCP4 with IPv6 address")
		}
	case "TCP6":
		if !source6 || !target6 {
			return h, 0, invalid("TCP6 with IPv4 address")
		}
	default:
		return h, 0, invalid("invalid protocol " + parts[0])
	}
	h.Source = netip.AddrPortFrom(source.Unmap(), uint16(port))
	return h, n, nil
}

// address reads an address without a zone: a proxy's would mean nothing here.
func address(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err == nil && a.Zone() != "" {
		err = errInvalid
	}
	return a, err
}

// parseBlock reads version 2.
func parseBlock(b []byte) (h Header, n int, err error) {
	if start := b[:min(len(b), len(signature))]; !strings.HasPrefix(signature, string(start)) {
		return h, 0, invalid("invalid signature")
	}
	if len(b) < fixed {
		return h, 0, ErrShort
	}
	command, kind := b[12], b[13]
	length := int(binary.BigEndian.Uint16(b[14:]))
	if command&0xF0 != 0x20 {
		return h, 0, invalid(fmt.Sprintf("invalid version 0x%02x", command&0xF0))
	}
	switch command & 0x0F {
	case 0: // LOCAL: a check by the proxy
		return Header{Skip: length}, fixed, nil
	case 1:
	default:
		return h, 0, fmt.Errorf("unknown PROXY protocol command: 0x%02x", command&0x0F)
	}
	if kind&0x0F != 1 {
		return h, 0, fmt.Errorf("%w: only STREAM protocol supported", errUnsupported)
	}
	size, name := 0, ""
	switch kind & 0xF0 {
	case 0x10:
		size, name = inet, "IPv4"
	case 0x20:
		size, name = inet6, "IPv6"
	case 0: // the proxy does not say
		return Header{Skip: length}, fixed, nil
	default:
		return h, 0, fmt.Errorf("%w: unsupported address family 0x%02x", errUnsupported, kind&0xF0)
	}
	if length < size {
		return h, 0, fmt.Errorf("%s address data too short: %d bytes", name, length)
	}
	if len(b) < fixed+size {
		return h, 0, ErrShort
	}
	width := (size - 4) / 2 // of one address
	source, _ := netip.AddrFromSlice(b[fixed : fixed+width])
	port := binary.BigEndian.Uint16(b[fixed+2*width:])
	return Header{Source: netip.AddrPortFrom(source.Unmap(), port), Skip: length - size}, fixed + size, nil
}
