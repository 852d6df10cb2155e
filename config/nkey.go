package config

import (
	"encoding/base32"
	"encoding/binary"
)

// nkeyKind is the kind of an nkey: the byte that gives it its first letter.
type nkeyKind byte

// The kinds.
const (
	nkeyAccount  nkeyKind = 0
	nkeyCluster  nkeyKind = 2 << 3
	nkeyServer   nkeyKind = 13 << 3
	nkeyOperator nkeyKind = 14 << 3
	nkeySeed     nkeyKind = 18 << 3
	nkeyUser     nkeyKind = 20 << 3
	nkeyCurve    nkeyKind = 23 << 3
)

var nkeyText = base32.StdEncoding.WithPadding(base32.NoPadding)

// nkeyBytes decodes a key or seed: its kind byte and what follows, without the
// checksum, which must be right.
func nkeyBytes(text string) ([]byte, bool) {
	raw, err := nkeyText.DecodeString(text)
	if err != nil || len(raw) < 4 {
		return nil, false
	}
	body := raw[:len(raw)-2]
	return body, nkeySum(body) == binary.LittleEndian.Uint16(raw[len(raw)-2:])
}

// publicKey decodes a public key of the given kind.
func publicKey(kind nkeyKind, text string) ([]byte, bool) {
	body, ok := nkeyBytes(text)
	if !ok || nkeyKind(body[0]&0xf8) != kind {
		return nil, false
	}
	return body[1:], true
}

func isKey(kind nkeyKind, text string) bool {
	_, ok := publicKey(kind, text)
	return ok
}

// isAnyKey says whether text is a public key of any kind.
func isAnyKey(text string) bool {
	body, ok := nkeyBytes(text)
	if !ok || len(body) != 1+32 {
		return false
	}
	switch nkeyKind(body[0]) {
	case nkeyAccount, nkeyCluster, nkeyServer, nkeyOperator, nkeyUser, nkeyCurve:
		return true
	}
	return false
}

// isUserSeed says whether text is the seed of a user's key. The kind of the key
// is spread over the low bits of the first byte and the high ones of the second.
func isUserSeed(text string) bool {
	body, ok := nkeyBytes(text)
	if !ok || len(body) != 2+32 || nkeyKind(body[0]&0xf8) != nkeySeed {
		return false
	}
	return nkeyKind(body[0]&7<<5|body[1]&0xf8>>3) == nkeyUser
}

// nkeySum is the CRC-16 of XMODEM: polynomial 0x1021, from 0.
func nkeySum(b []byte) (crc uint16) {
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
