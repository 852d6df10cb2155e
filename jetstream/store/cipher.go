package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Cipher is how bytes are encrypted on disk.
type Cipher uint8

// The ciphers.
const (
	NoCipher Cipher = iota
	ChaCha          // XChaCha20-Poly1305
	AES             // AES-256-GCM
)

// A Key opens a stream's files: it encrypts the random key that everything else
// is encrypted with, so another Key only needs a new checkpoint.
type Key struct {
	Cipher Cipher
	Secret [32]byte
}

// DeriveKey makes a key from what an operator configured, as the reference server
// does: HMAC-SHA256 of info and context, under the secret.
func DeriveKey(c Cipher, secret, info, context string) Key {
	h := hmac.New(sha256.New, []byte(secret))
	io.WriteString(h, info)
	io.WriteString(h, context)
	k := Key{Cipher: c}
	h.Sum(k.Secret[:0])
	return k
}

// AEAD is the cipher with the key. Errors: ErrKey if there is no such cipher.
func (k Key) AEAD() (cipher.AEAD, error) {
	switch k.Cipher {
	case ChaCha:
		return chacha20poly1305.NewX(k.Secret[:])
	case AES:
		block, err := aes.NewCipher(k.Secret[:])
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	}
	return nil, fmt.Errorf("store: cipher %d: %w", k.Cipher, ErrKey)
}

// sealer encrypts with one key. Shape of its output: nonce | ciphertext | tag.
type sealer struct {
	cipher Cipher
	aead   cipher.AEAD
	random io.Reader
	clear  []byte
}

func newSealer(k Key, random io.Reader) (*sealer, error) {
	if random == nil {
		random = rand.Reader
	}
	aead, err := k.AEAD()
	if err != nil {
		return nil, err
	}
	return &sealer{cipher: k.Cipher, aead: aead, random: random}, nil
}

// append appends the encryption of plain to dst. bound must be given to open.
func (s *sealer) append(dst, plain, bound []byte) ([]byte, error) {
	var nonce [chacha20poly1305.NonceSizeX]byte
	n := nonce[:s.aead.NonceSize()]
	if _, err := io.ReadFull(s.random, n); err != nil {
		return dst, fmt.Errorf("store: random: %w", err)
	}
	dst = append(dst, n...)
	return s.aead.Seal(dst, n, plain, bound), nil
}

// open returns the decryption of b, which is good until the next call.
func (s *sealer) open(b, bound []byte) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(b) < n+s.aead.Overhead() {
		return nil, ErrCorrupt
	}
	plain, err := s.aead.Open(s.clear[:0], b[:n], b[n:], bound)
	if err != nil {
		return nil, ErrCorrupt
	}
	s.clear = plain
	return plain, nil
}

// format is how chunks of one stream are written and read. A goroutine has its
// own: it holds buffers.
type format struct {
	bind     uint64
	compress bool
	seal     *sealer // nil: in the clear
	open     *sealer // of the stream's key, nil if it has none
	packed   []byte
}

// newFormat makes a format for another goroutine.
func (d *disk) newFormat() (*format, error) {
	f := &format{bind: d.bind, compress: d.files.Compress}
	if d.key.Cipher == NoCipher {
		return f, nil
	}
	var err error
	if f.open, err = newSealer(d.key, d.files.Random); err == nil {
		f.seal, err = newSealer(d.key, d.files.Random)
	}
	return f, err
}
