package secure

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// Types of records and of messages in them.
const (
	typeCipher, typeAlert, typeHandshake, typeData = 20, 21, 22, 23

	clientHello, keyUpdate = 1, 24
	closeNotify            = 0
	userCanceled           = 90
)

// recorder keeps what the server has sent.
type recorder struct {
	net.Conn
	seen bytes.Buffer
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.seen.Write(p[:n])
	return n, err
}

// forger is a client that reads as usual and writes records of its own making.
type forger struct {
	*secured
	t       testing.TB
	raw     net.Conn
	version uint16
	secret  []byte // of TLS 1.3
	suite   uint16
	aead    cipher.AEAD
	iv      []byte
	seq     uint64
}

// forge does a usual handshake and takes over from there.
func (s *seat) forge(config *tls.Config) *forger {
	s.t.Helper()
	nc := &recorder{Conn: s.dial()}
	_, err := readLine(nc)
	check(s.t, err)
	var keys bytes.Buffer
	c := tls.Client(nc, with(config, func(c *tls.Config) {
		c.KeyLogWriter = &keys
		c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	}))
	nc.seen.Reset()
	check(s.t, c.Handshake())
	state := c.ConnectionState()
	f := &forger{secured: &secured{c, bufio.NewReader(c)}, t: s.t, raw: nc.Conn, version: state.Version, suite: state.CipherSuite}
	for _, line := range strings.Split(keys.String(), "\n") {
		part := strings.Fields(line)
		switch {
		case len(part) != 3:
		case part[0] == "CLIENT_TRAFFIC_SECRET_0":
			f.use(unhex(s.t, part[2]))
		case part[0] == "CLIENT_RANDOM":
			// The server's random lies behind the headers of record and message
			// and the version.
			f.use12(unhex(s.t, part[2]), unhex(s.t, part[1]), nc.seen.Bytes()[5+4+2:][:32])
		}
	}
	if f.aead == nil {
		s.t.Fatalf("no keys for %s in %q", tls.CipherSuiteName(state.CipherSuite), keys.String())
	}
	return f
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	check(t, err)
	return b
}

// use takes the secret of TLS 1.3 that a client writes with.
func (f *forger) use(secret []byte) {
	f.t.Helper()
	size := 16
	if f.suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		size = 32
	}
	f.secret, f.seq = secret, 0
	key := f.expand("key", size)
	f.iv = f.expand("iv", 12)
	var err error
	switch f.suite {
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		f.aead, err = chacha20poly1305.New(key)
	case tls.TLS_AES_128_GCM_SHA256:
		f.aead, err = gcm(key)
	default:
		f.t.Fatalf("the server chose %s", tls.CipherSuiteName(f.suite))
	}
	check(f.t, err)
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// expand is HKDF-Expand-Label without a context (RFC 8446, 7.1).
func (f *forger) expand(label string, size int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(info, byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	b, err := hkdf.Expand(sha256.New, f.secret, string(info), size)
	check(f.t, err)
	return b
}

// use12 takes the secret of TLS 1.2 (RFC 5246, 6.3).
func (f *forger) use12(master, client, server []byte) {
	f.t.Helper()
	seed := append(append([]byte("key expansion"), server...), client...)
	sum := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, master)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	var block []byte
	for a := sum(seed); len(block) < 2*16+2*4; a = sum(a) {
		block = append(block, sum(a, seed)...)
	}
	var err error
	f.aead, err = gcm(block[:16])
	check(f.t, err)
	f.iv, f.seq = block[32:36], 1 // Finished was the first
}

// seal makes a record. padding is for TLS 1.3.
func (f *forger) seal(kind byte, content []byte, padding int) []byte {
	defer func() { f.seq++ }()
	if f.version == tls.VersionTLS12 {
		nonce := binary.BigEndian.AppendUint64(f.iv[:4:4], f.seq)
		extra := binary.BigEndian.AppendUint16(append(binary.BigEndian.AppendUint64(nil, f.seq), kind, 3, 3), uint16(len(content)))
		body := f.aead.Seal(nonce[4:12:12], nonce, content, extra)
		return append(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(body))), body...)
	}
	inner := append(append(bytes.Clone(content), kind), make([]byte, padding)...)
	nonce := bytes.Clone(f.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(f.seq >> (56 - 8*i))
	}
	header := binary.BigEndian.AppendUint16([]byte{typeData, 3, 3}, uint16(len(inner)+f.aead.Overhead()))
	return f.aead.Seal(header, nonce, inner, header)
}

// text makes a record of protocol.
func (f *forger) text(text string) []byte { return f.seal(typeData, []byte(text), 0) }

// single makes a record of each byte.
func (f *forger) single(text string) (b []byte) {
	for i := range len(text) {
		b = append(b, f.text(text[i:i+1])...)
	}
	return b
}

// update makes a KeyUpdate and goes on with the next key.
func (f *forger) update(requested bool) []byte {
	b := f.seal(typeHandshake, []byte{keyUpdate, 0, 0, 1, map[bool]byte{true: 1}[requested]}, 0)
	f.use(f.expand("traffic upd", 32))
	return b
}

// alert makes an alert, of level 1 in TLS 1.2.
func (f *forger) alert(which byte) []byte { return f.seal(typeAlert, []byte{1, which}, 0) }

// session says CONNECT and PING in records of its own.
func (f *forger) session(connect string) string {
	f.send(f.text("CONNECT {\"verbose\":false" + connect + "}\r\n" + ping))
	return f.answer()
}

func (f *forger) send(b ...[]byte) {
	// A server that has refused may have closed.
	_, _ = f.raw.Write(bytes.Join(b, nil))
}

// rest reads to the end, without INFO.
func (f *forger) rest() string {
	var all []string
	for {
		line, err := f.r.ReadString('\n')
		if err != nil {
			return strings.Join(append(all, plain(err)), " ")
		}
		if !strings.HasPrefix(line, "INFO ") && line != serverPing {
			all = append(all, strings.TrimSpace(line))
		}
	}
}

// lines reads n lines that are no INFO.
func (f *forger) lines(n int) string {
	var all []string
	for range n {
		all = append(all, f.answer())
	}
	return strings.Join(all, " ")
}
