package engine

import (
	"bytes"
	"testing"

	"github.com/cespare/xxhash/v2"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// Any bytes as a catalog are refused or are one that is written the same.
func FuzzCatalog(f *testing.F) {
	key := store.DeriveKey(store.ChaCha, "a", "b", "c")
	for _, keys := range [][]store.Key{nil, {key}} {
		c, ring := newCatalog(), newKeyring(Options{Keys: keys})
		ring.fill()
		c.put(&entry{id: 16, meta: []byte("meta")})
		c.put(&entry{id: 17, stream: 16, doomed: true})
		b, err := c.encode(3, 99, ring)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = little.AppendUint64(bytes.Clone(b), xxhash.Sum64(b)) // a sum that fits
		c, ring := newCatalog(), newKeyring(Options{Keys: []store.Key{key}})
		if c.decode(b, ring) != nil || ring.secret.Cipher != store.NoCipher {
			return
		}
		plain := newKeyring(Options{})
		again, err := c.encode(c.generation, c.position, plain)
		if err != nil {
			t.Fatal(err)
		}
		same := newCatalog()
		if err := same.decode(again, plain); err != nil || len(same.entries) != len(c.entries) || same.next != c.next {
			t.Fatalf("%v, %d of %d entries", err, len(same.entries), len(c.entries))
		}
	})
}

// Any change of the catalog, and any sealed record, is refused or applied.
func FuzzCatalogChange(f *testing.F) {
	f.Add(uint8(catalogPut), appendEntry(nil, &entry{id: 16, meta: []byte("m")}))
	f.Add(uint8(catalogDoom), appendID(nil, 16))
	f.Add(uint8(catalogGone), appendID(nil, 17))
	ring := newKeyring(Options{Keys: []store.Key{{Cipher: store.AES}}})
	if _, err := ring.fill(); err != nil {
		f.Fatal(err)
	}
	sealer, err := ring.newSealer()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(3), sealer.append(nil, []byte("plain"), 5, 3))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		newCatalog().replay(commitlog.Kind(kind), b)
		opener := recordOpener{ring: ring}
		opener.open(5, commitlog.Kind(kind), b)
	})
}

// Any bytes as a tail are refused or end.
func FuzzTail(f *testing.F) {
	disk := vfs.NewMem()
	w, err := newTail(disk, "t", 7, 20)
	if err != nil {
		f.Fatal(err)
	}
	w.add(tailItem{position: 9, kind: 1, data: []byte("record")})
	w.add(tailItem{position: 12, damageTo: 20})
	if err := w.finish(); err != nil {
		f.Fatal(err)
	}
	b, err := vfs.ReadFile(disk, "t", 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, true)
	f.Add(b, false)
	f.Fuzz(func(t *testing.T, b []byte, head bool) {
		if head && len(b) >= tailHead {
			b = bytes.Clone(b)
			little.PutUint64(b[32:], xxhash.Sum64(b[:32]))
		}
		disk := vfs.NewMem()
		if err := vfs.WriteFile(disk, "t", b); err != nil {
			t.Fatal(err)
		}
		r, err := openTail(disk, "t", 7, 20)
		if err != nil {
			return
		}
		n := uint64(0)
		left := r.left
		if r.each(func(tailItem) error { n++; return nil }) == nil && n != left {
			t.Fatalf("%d records of %d", n, left)
		}
	})
}
