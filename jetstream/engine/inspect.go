package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// An Entry is one stream or consumer of a catalog, for tools.
type Entry struct {
	ID     ID
	Stream ID   // that a consumer is of; 0 for a stream
	Doomed bool // deleted, its files may still be there
	Meta   []byte
}

// An Inspection is what InspectCatalog found.
type Inspection struct {
	Found      bool // there is at least one file
	Locked     bool // no key opens it
	Generation uint64
	Identity   uint64             // of the log
	Position   commitlog.Position // the log has what changed since
	Entries    []Entry            // by ID
	Bytes      int64              // read
	Findings   []store.Finding

	ring *keyring
}

// InspectCatalog reads the catalog of a data directory and changes nothing.
// Errors: those of the file system that are no damage.
func InspectCatalog(fsys vfs.FS, keys []store.Key) (*Inspection, error) {
	in := &Inspection{ring: newKeyring(Options{Keys: keys})}
	find := func(severity store.Severity, file, format string, args ...any) {
		in.Findings = append(in.Findings, store.Finding{Severity: severity, File: file, Text: fmt.Sprintf(format, args...)})
	}
	var good []*catalog
	missing := 0
	for _, name := range catalogNames {
		b, err := vfs.ReadFile(fsys, name, catalogMax)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing++
			continue
		case err != nil && !errors.Is(err, vfs.ErrTooLong) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EIO):
			return nil, err
		}
		in.Bytes += int64(len(b))
		c, ring := newCatalog(), newKeyring(Options{Keys: keys})
		switch err := c.decode(b, ring); {
		case errors.Is(err, ErrKey):
			in.Locked = true
			find(store.Note, name, "cannot be opened with the keys given: only its sum is checked")
		case err != nil:
			find(store.Repairable, name, "this copy of the catalog is not valid")
		default:
			good = append(good, c)
			if c.generation >= in.Generation {
				in.take(c, ring)
			}
		}
	}
	in.Found = missing < len(catalogNames)
	switch {
	case in.Found && missing > 0:
		find(store.Repairable, ".", "one copy of the catalog is missing")
	case len(good) == 2 && good[0].generation != good[1].generation:
		find(store.Note, catalogNames[1], "is of writing %d, the other copy of %d: the last one was interrupted",
			good[1].generation, good[0].generation)
	}
	if in.Found && len(good) == 0 && !in.Locked {
		find(store.Damage, catalogNames[0], "no copy of the catalog can be used: the directory cannot be opened")
	}
	return in, nil
}

func (in *Inspection) take(c *catalog, ring *keyring) {
	in.Generation, in.Identity, in.Position, in.ring = c.generation, c.identity, c.position, ring
	in.Entries = in.Entries[:0]
	for _, e := range c.all() {
		in.Entries = append(in.Entries, Entry{e.id, e.stream, e.doomed, e.meta})
	}
}

// Describe says in words what a record of the log holds.
func (in *Inspection) Describe(r commitlog.Record) string {
	data, kind := r.Data, r.Kind
	if kind&kindSealed != 0 {
		kind &^= kindSealed
		opener := recordOpener{ring: in.ring}
		var err error
		if data, err = opener.open(r.Owner, kind, data); err != nil {
			return fmt.Sprintf("encrypted, kind %d, %d bytes", kind, len(r.Data))
		}
	}
	switch {
	case r.Dropped:
		return "the owner is gone"
	case r.Owner == catalogOwner && kind == catalogPut:
		if e, _ := entryOf(data); e != nil {
			return fmt.Sprintf("catalog: %016x of %016x, meta %d bytes", uint64(e.id), uint64(e.stream), len(e.meta))
		}
		return "catalog: not valid"
	case r.Owner == catalogOwner:
		return fmt.Sprintf("catalog: change %d, %x", kind, data[:min(len(data), 16)])
	}
	return store.DescribeRecord(uint8(kind), data)
}
