package engine

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
)

// kindSealed marks the kind of a log record whose payload is encrypted.
const kindSealed = commitlog.Kind(0x80)

// keyring is how the catalog and the log records are encrypted: the catalog with
// a key of the operator, records with a random secret that is in the catalog. So
// another key of the operator only needs the catalog to be written again.
type keyring struct {
	keys   []store.Key
	random io.Reader
	secret store.Key // of records; NoCipher: in the clear
	stale  bool      // the catalog is not under the first key
}

func newKeyring(o Options) *keyring {
	k := &keyring{keys: o.Keys, random: o.Random}
	if k.random == nil {
		k.random = rand.Reader
	}
	return k
}

// fill makes a secret if there is a key to keep it with and none yet; it tells
// whether it did.
func (k *keyring) fill() (bool, error) {
	if k.secret.Cipher != store.NoCipher || len(k.keys) == 0 {
		return false, nil
	}
	k.secret.Cipher = k.keys[0].Cipher
	if _, err := io.ReadFull(k.random, k.secret.Secret[:]); err != nil {
		return false, fmt.Errorf("engine: random: %w", err)
	}
	return true, nil
}

// appendSecret encodes the secret: cipher u8, and 32 bytes if it is not 0.
func (k *keyring) appendSecret(dst []byte) []byte {
	dst = append(dst, uint8(k.secret.Cipher))
	if k.secret.Cipher != store.NoCipher {
		dst = append(dst, k.secret.Secret[:]...)
	}
	return dst
}

func (k *keyring) takeSecret(b []byte) ([]byte, error) {
	if len(b) < 1 || b[0] > uint8(store.AES) {
		return nil, ErrCorrupt
	}
	k.secret = store.Key{Cipher: store.Cipher(b[0])}
	b = b[1:]
	if k.secret.Cipher == store.NoCipher {
		return b, nil
	}
	if len(b) < len(k.secret.Secret) {
		return nil, ErrCorrupt
	}
	n := copy(k.secret.Secret[:], b)
	return b[n:], nil
}

// sealCatalog appends body to a catalog's head, encrypted if there is a key, and
// says so in the head.
func (k *keyring) sealCatalog(head, body []byte) ([]byte, error) {
	if len(k.keys) == 0 {
		if k.secret.Cipher != store.NoCipher {
			return nil, fmt.Errorf("engine: no key for the log's secret: %w", ErrKey)
		}
		return append(head, body...), nil
	}
	aead, err := k.keys[0].AEAD()
	if err != nil {
		return nil, err
	}
	head[6] = uint8(k.keys[0].Cipher)
	var nonce [24]byte
	n := nonce[:aead.NonceSize()]
	if _, err := io.ReadFull(k.random, n); err != nil {
		return nil, fmt.Errorf("engine: random: %w", err)
	}
	bound := append([]byte{}, head...)
	return aead.Seal(append(head, n...), n, body, bound), nil
}

// openCatalog returns a catalog's body and notes whether that is under the first
// key. Errors: ErrKey.
func (k *keyring) openCatalog(head, body []byte) ([]byte, error) {
	c := store.Cipher(head[6])
	if c == store.NoCipher {
		k.stale = len(k.keys) > 0
		return body, nil
	}
	for i, key := range k.keys {
		k.stale = i > 0 || key.Cipher != c
		key.Cipher = c
		aead, err := key.AEAD()
		if err != nil {
			return nil, ErrCorrupt
		}
		n := aead.NonceSize()
		if len(body) < n {
			return nil, ErrCorrupt
		}
		if plain, err := aead.Open(nil, body[:n], body[n:], head); err == nil {
			return plain, nil
		}
	}
	return nil, ErrKey
}

const (
	saltBytes   = 16
	sealedBytes = saltBytes + 8 // before the ciphertext
)

// recordSealer encrypts log records on one shard. Its key is made of the secret
// and a salt of its own, so that a counter is a nonce.
//
// Shape: salt [16] | counter u64 | ciphertext | tag.
type recordSealer struct {
	aead    cipher.AEAD
	salt    [saltBytes]byte
	counter uint64
}

// newSealer returns a sealer of records, nil if they are in the clear.
func (k *keyring) newSealer() (*recordSealer, error) {
	if k.secret.Cipher == store.NoCipher {
		return nil, nil
	}
	s := &recordSealer{}
	if _, err := io.ReadFull(k.random, s.salt[:]); err != nil {
		return nil, fmt.Errorf("engine: random: %w", err)
	}
	var err error
	s.aead, err = k.recordKey(s.salt[:])
	return s, err
}

func (k *keyring) recordKey(salt []byte) (cipher.AEAD, error) {
	h := hmac.New(sha256.New, k.secret.Secret[:])
	h.Write(salt)
	key := store.Key{Cipher: k.secret.Cipher}
	h.Sum(key.Secret[:0])
	return key.AEAD()
}

// append appends the encryption of plain, which is used as scratch no more.
func (s *recordSealer) append(dst, plain []byte, owner commitlog.OwnerID, kind commitlog.Kind) []byte {
	s.counter++
	dst = append(dst, s.salt[:]...)
	dst = little.AppendUint64(dst, s.counter)
	var nonce [24]byte
	little.PutUint64(nonce[:], s.counter)
	bound := recordBound(owner, kind)
	return s.aead.Seal(dst, nonce[:s.aead.NonceSize()], plain, bound[:])
}

// recordBound binds a record to its owner and kind.
func recordBound(owner commitlog.OwnerID, kind commitlog.Kind) (b [9]byte) {
	little.PutUint64(b[:], uint64(owner))
	b[8] = uint8(kind)
	return b
}

// recordOpener decrypts log records on one goroutine.
type recordOpener struct {
	ring  *keyring
	known map[[saltBytes]byte]cipher.AEAD
	plain []byte
}

// open returns the payload of a record, borrowed until the next call. Errors:
// ErrCorrupt.
func (o *recordOpener) open(owner commitlog.OwnerID, kind commitlog.Kind, b []byte) ([]byte, error) {
	if len(b) < sealedBytes || o.ring.secret.Cipher == store.NoCipher {
		return nil, fmt.Errorf("engine: sealed record of %d: %w", owner, ErrCorrupt)
	}
	salt := [saltBytes]byte(b)
	aead := o.known[salt]
	if aead == nil {
		var err error
		if aead, err = o.ring.recordKey(salt[:]); err != nil {
			return nil, err
		}
	}
	var nonce [24]byte
	copy(nonce[:8], b[saltBytes:])
	bound := recordBound(owner, kind)
	plain, err := aead.Open(o.plain[:0], nonce[:aead.NonceSize()], b[sealedBytes:], bound[:])
	if err != nil {
		return nil, fmt.Errorf("engine: sealed record of %d: %w", owner, ErrCorrupt)
	}
	if o.known == nil {
		o.known = map[[saltBytes]byte]cipher.AEAD{}
	}
	o.known[salt] = aead // after it has proved to be one of ours
	o.plain = plain
	return plain, nil
}
