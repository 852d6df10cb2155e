package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"peregrine/jetstream/commitlog"
	"peregrine/vfs"
)

var little = binary.LittleEndian

const (
	catalogOwner = commitlog.OwnerID(1)
	firstID      = ID(16) // smaller owner numbers are the engine's own

	magicCatalog   = 0x54434750 // "PGCT"
	catalogVersion = 1
	catalogHead    = 32
	catalogMax     = 1 << 30
	metaMax        = 16 << 20
)

var catalogNames = [2]string{"catalog.a", "catalog.b"}

// Kinds of the catalog's log records; see appendEntry.
const (
	catalogPut  = commitlog.Kind(1) + iota // an entry, new or changed
	catalogDoom                            // uvarint id: deleted, its files may still be there
	catalogGone                            // uvarint id: so are its files
)

// catalog is what there is: streams and consumers, each with bytes that mean
// something to the caller. Every change is a log record, and the whole of it is
// written to two files from time to time. Changes are idempotent, so replay may
// begin too early.
type catalog struct {
	mu       sync.Mutex // guards all below: any shard adds to it
	entries  map[ID]*entry
	next     ID     // the smallest number that was never used
	identity uint64 // of the log that positions are of

	generation uint64 // of the files
	position   commitlog.Position
	dirty      bool   // changed since the files
	marks      []Mark // by shard: of its newest change, 0 if it made none
}

// entry is one stream or consumer.
type entry struct {
	id     ID
	stream ID // that a consumer is of; 0 for a stream
	doomed bool
	meta   []byte // immutable
}

func newCatalog() *catalog { return &catalog{entries: map[ID]*entry{}, next: firstID} }

// newID returns a number that was never used, and that a shard, of so many, is the
// owner of when it is opened again.
func (c *catalog) newID(shard, shards int) ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := ID(shards)
	id := c.next + (ID(shard)+n-c.next%n)%n
	c.next = id + 1
	return id
}

// used makes sure that no new entry gets a number up to id.
func (c *catalog) used(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = max(c.next, id+1)
}

// put sets an entry.
func (c *catalog) put(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[e.id] = e
	c.next = max(c.next, e.id+1)
	c.dirty = true
}

// logged notes the mark of a shard's change, before the change is made.
func (c *catalog) logged(shard int, mark Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.marks) <= shard {
		c.marks = append(c.marks, 0)
	}
	c.marks[shard] = mark
}

// doom marks an entry as deleted.
func (c *catalog) doom(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[id]; e != nil {
		d := *e
		d.doomed = true
		c.entries[id] = &d
		c.dirty = true
	}
}

// gone removes an entry.
func (c *catalog) gone(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, id)
	c.dirty = true
}

// changed tells whether the files lack something.
func (c *catalog) changed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dirty
}

// touch makes that the files are written again.
func (c *catalog) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = true
}

// snapshot is the content of the catalog's files to be.
type snapshot struct {
	generation uint64
	position   commitlog.Position
	content    []byte
	err        error
	marks      []Mark // by shard: of the newest change that is in it
}

// snapshot begins the writing of files. position is on disk: all changes logged
// before it were made before.
func (c *catalog) snapshot(position commitlog.Position, shards int, keys *keyring) *snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = false
	k := &snapshot{generation: c.generation + 1, position: position, marks: make([]Mark, shards)}
	copy(k.marks, c.marks)
	k.content, k.err = c.encode(k.generation, position, keys)
	return k
}

// kept notes that the files are written.
func (c *catalog) kept(k *snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation, c.position = k.generation, k.position
}

// written is the generation of the files.
func (c *catalog) written() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.generation
}

// find returns an entry, nil if there is none. It is immutable.
func (c *catalog) find(id ID) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[id]
}

// all returns the entries by number.
func (c *catalog) all() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sorted()
}

func (c *catalog) sorted() []*entry {
	list := make([]*entry, 0, len(c.entries))
	for _, e := range c.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return list
}

// appendEntry encodes an entry: uvarints id, stream, doomed and length of meta,
// then meta.
func appendEntry(dst []byte, e *entry) []byte {
	doomed := uint64(0)
	if e.doomed {
		doomed = 1
	}
	for _, v := range []uint64{uint64(e.id), uint64(e.stream), doomed, uint64(len(e.meta))} {
		dst = binary.AppendUvarint(dst, v)
	}
	return append(dst, e.meta...)
}

// entryOf takes an entry off b; nil if there is none that is whole.
func entryOf(b []byte) (*entry, []byte) {
	var v [4]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return nil, nil
		}
		b = b[n:]
	}
	if v[2] > 1 || v[3] > metaMax || v[3] > uint64(len(b)) || ID(v[0]) < firstID || v[0] >= 1<<63 {
		return nil, nil
	}
	return &entry{id: ID(v[0]), stream: ID(v[1]), doomed: v[2] == 1, meta: slices.Clone(b[:v[3]])}, b[v[3]:]
}

// replay applies a log record; false if it is none. The entry is returned if it
// was put and not known before.
func (c *catalog) replay(kind commitlog.Kind, b []byte) (fresh *entry, ok bool) {
	if kind == catalogPut {
		e, rest := entryOf(b)
		if e == nil || len(rest) > 0 {
			return nil, false
		}
		old := c.find(e.id)
		c.put(e)
		if old != nil {
			e = nil
		}
		return e, true
	}
	v, n := binary.Uvarint(b)
	if n <= 0 || n != len(b) {
		return nil, false
	}
	switch kind {
	case catalogDoom:
		c.doom(ID(v))
	case catalogGone:
		c.gone(ID(v))
	default:
		return nil, false
	}
	return nil, true
}

// encode makes the content of a catalog file, with the state that holds every
// change before position. The lock is held.
//
// Shape, little-endian: magic u32 | version u16 | cipher u8 | zero u8 | generation
// u64 | zeros to 32 | body, sealed if there is a key: log identity u64, position
// u64, next id u64, log key (see secret), entries | sum u64, the xxh64 of all
// before it.
func (c *catalog) encode(generation uint64, position commitlog.Position, keys *keyring) ([]byte, error) {
	body := little.AppendUint64(nil, c.identity)
	body = little.AppendUint64(body, uint64(position))
	body = little.AppendUint64(body, uint64(c.next))
	body = keys.appendSecret(body)
	for _, e := range c.sorted() {
		body = appendEntry(body, e)
	}
	out := make([]byte, catalogHead, catalogHead+len(body)+64)
	little.PutUint32(out, magicCatalog)
	little.PutUint16(out[4:], catalogVersion)
	little.PutUint64(out[8:], generation)
	out, err := keys.sealCatalog(out, body)
	if err != nil {
		return nil, err
	}
	return little.AppendUint64(out, xxhash.Sum64(out)), nil
}

// decode is the inverse of encode, into an empty catalog. Errors: ErrCorrupt, ErrKey.
func (c *catalog) decode(b []byte, keys *keyring) error {
	end := len(b) - 8
	if end < catalogHead || little.Uint32(b) != magicCatalog || little.Uint16(b[4:]) != catalogVersion ||
		xxhash.Sum64(b[:end]) != little.Uint64(b[end:]) {
		return ErrCorrupt
	}
	c.generation = little.Uint64(b[8:])
	body, err := keys.openCatalog(b[:catalogHead], b[catalogHead:end])
	if err != nil {
		return err
	}
	if len(body) < 24 {
		return ErrCorrupt
	}
	c.identity = little.Uint64(body)
	c.position = commitlog.Position(little.Uint64(body[8:]))
	c.next = max(firstID, ID(little.Uint64(body[16:])))
	if body, err = keys.takeSecret(body[24:]); err != nil {
		return err
	}
	for len(body) > 0 {
		var e *entry
		if e, body = entryOf(body); e == nil || c.entries[e.id] != nil {
			return ErrCorrupt
		}
		c.entries[e.id] = e
		c.next = max(c.next, e.id+1)
	}
	return nil
}

// readCatalog reads the newer of the files that are good, and writes the other
// one again if it differs. found is false if there is neither.
func readCatalog(fsys vfs.FS, keys *keyring, logf func(string, ...any)) (best *catalog, found bool, err error) {
	var raw [2][]byte
	var failed error
	from := 0
	for i, name := range catalogNames {
		b, err := vfs.ReadFile(fsys, name, catalogMax)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		try, ring := newCatalog(), *keys
		if err == nil {
			raw[i] = b
			err = try.decode(b, &ring)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("engine: %s: %w", name, err))
		} else if best == nil || try.generation > best.generation {
			best, from, *keys = try, i, ring
		}
	}
	if best == nil {
		return nil, found, failed
	}
	if slices.Equal(raw[0], raw[1]) {
		return best, true, nil
	}
	logf("engine: using %s: %v", catalogNames[from], failed)
	return best, true, vfs.WriteFile(fsys, catalogNames[1-from], raw[from])
}

// writeCatalog writes both files, which are there, so that one of them is good at
// any time.
func writeCatalog(fsys vfs.FS, content []byte) error {
	for _, name := range catalogNames {
		if err := writeFile(fsys, name, content); err != nil {
			return fmt.Errorf("engine: write %s: %w", name, err)
		}
	}
	return nil
}

// writeFile overwrites a file and syncs it.
func writeFile(fsys vfs.FS, name string, content []byte) (err error) {
	f, err := fsys.Open(name, vfs.Write|vfs.Create)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(content))); err != nil {
		return err
	}
	return f.Sync()
}
