package vfs

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
)

// An Overlay is a file system that starts as another one and keeps every change
// to itself, in memory: what a program would do to a disk can be tried and then
// looked at (Changes), and the disk stays as it is. The tree below is listed once
// at the beginning and must not change meanwhile.
type Overlay struct {
	below FS

	mu    sync.Mutex // guards everything below and every layered
	root  *layered
	first map[string]*layered // files by name, as they were
	locks lockTable
}

// layered is a file or directory of an Overlay. A file's blocks are those written
// here, else those of the file below, up to where that still shows through.
type layered struct {
	names map[string]*layered // of a directory, nil for a file

	size    int64
	blocks  map[int64][]byte // by number; whole blocks
	below   string           // name of the file below, "" for none
	through int64            // bytes of it that show through
	origin  int64            // its size
	source  File             // open once it was needed
}

// NewOverlay lists below and returns an overlay of it. Errors: those of listing.
func NewOverlay(below FS) (*Overlay, error) {
	o := &Overlay{below: below, root: newLayer(), first: map[string]*layered{}}
	if err := o.scan(".", o.root); err != nil {
		return nil, err
	}
	return o, nil
}

func newLayer() *layered { return &layered{names: map[string]*layered{}} }

func (o *Overlay) scan(dir string, into *layered) error {
	entries, err := o.below.List(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		if !e.Dir {
			n := &layered{size: e.Size, through: e.Size, origin: e.Size, below: name}
			into.names[e.Name], o.first[name] = n, n
			continue
		}
		sub := newLayer()
		into.names[e.Name] = sub
		if err := o.scan(name, sub); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the files below that were opened.
func (o *Overlay) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.first {
		if n.source != nil {
			n.source.Close() // was only read
			n.source = nil
		}
	}
	return nil
}

// A Change is what happened to one file.
type Change struct {
	Name string // as it is called at the end; as it was, if it was removed
	From string // as it was called at the beginning, "" for a new file
	Kind ChangeKind
	Size int64 // in the end
	// Ranges are the bytes that differ, in order, in blocks that were written.
	Ranges []Range
}

// ChangeKind is the most that happened to a file.
type ChangeKind uint8

// The kinds.
const (
	Created ChangeKind = iota
	Written            // also cut or lengthened
	Renamed            // maybe written, too
	Removed
)

// String is a word for reports.
func (k ChangeKind) String() string {
	return [...]string{"create", "write", "rename", "remove"}[k]
}

// A Range is bytes of a file, [From, To).
type Range struct{ From, To int64 }

// Changes are all files that are not as they were below, by name. Blocks that
// were written with what they held are no change.
func (o *Overlay) Changes() ([]Change, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	left := map[*layered]bool{}
	var all []Change
	var walk func(dir string, n *layered) error
	walk = func(dir string, n *layered) error {
		for base, child := range n.names {
			name := path.Join(dir, base)
			if child.names != nil {
				if err := walk(name, child); err != nil {
					return err
				}
				continue
			}
			left[child] = true
			c, changed, err := o.changeOf(name, child)
			if err != nil {
				return err
			}
			if changed {
				all = append(all, c)
			}
		}
		return nil
	}
	if err := walk(".", o.root); err != nil {
		return nil, err
	}
	for name, n := range o.first {
		if !left[n] {
			all = append(all, Change{Name: name, From: name, Kind: Removed})
		}
	}
	slices.SortFunc(all, func(a, b Change) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return int(b.Kind) - int(a.Kind) // gone before made anew
	})
	return all, nil
}

// changeOf compares a file with what it was.
func (o *Overlay) changeOf(name string, n *layered) (Change, bool, error) {
	c := Change{Name: name, From: n.below, Size: n.size}
	ranges, err := o.differing(n)
	if err != nil {
		return c, false, err
	}
	c.Ranges = ranges
	switch {
	case n.below == "":
		c.Kind = Created
	case n.below != name:
		c.Kind = Renamed
	case len(ranges) > 0 || n.size != n.origin:
		c.Kind = Written
	default:
		return c, false, nil
	}
	return c, true, nil
}

// differing are the ranges of blocks that hold something else than below.
func (o *Overlay) differing(n *layered) (ranges []Range, err error) {
	numbers := make([]int64, 0, len(n.blocks))
	for i := range n.blocks {
		numbers = append(numbers, i)
	}
	slices.Sort(numbers)
	was := Buffer(BlockSize)
	for _, i := range numbers {
		from, to := i*BlockSize, min((i+1)*BlockSize, n.size)
		if from >= to {
			continue
		}
		if n.below != "" {
			clear(was)
			if from < n.origin {
				if err := o.readBelow(n, was[:min(BlockSize, n.origin-from)], from); err != nil {
					return nil, err
				}
			}
			if string(was[:to-from]) == string(n.blocks[i][:to-from]) {
				continue
			}
		}
		if k := len(ranges); k > 0 && ranges[k-1].To == from {
			ranges[k-1].To = to
		} else {
			ranges = append(ranges, Range{from, to})
		}
	}
	return ranges, nil
}

// readBelow fills p from the file below; o.mu is held.
func (o *Overlay) readBelow(n *layered, p []byte, off int64) error {
	if n.source == nil {
		f, err := o.below.Open(n.below, 0)
		if err != nil {
			return err
		}
		n.source = f
	}
	if k, err := n.source.ReadAt(p, off); k < len(p) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // it was longer when it was listed
		}
		return fmt.Errorf("vfs: read %s at %d: %w", n.below, off, err)
	}
	return nil
}

func (n *layered) children() map[string]*layered { return n.names }
func (n *layered) length() int64                 { return n.size }

// Open implements FS.
func (o *Overlay) Open(name string, flag Flag) (File, error) {
	if err := checkName("open", name); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	dir, n, err := toOpen(o.root, name, flag)
	if err != nil {
		return nil, err
	}
	if n == nil {
		n = &layered{}
		dir.names[path.Base(name)] = n
	}
	return &overlayFile{fs: o, node: n, name: name, flag: flag}, nil
}

// Remove implements FS.
func (o *Overlay) Remove(name string) error {
	if err := checkName("remove", name); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	dir, err := toRemove(o.root, name)
	if err != nil {
		return err
	}
	delete(dir.names, path.Base(name))
	return nil
}

// Rename implements FS.
func (o *Overlay) Rename(from, to string) error {
	for _, name := range []string{from, to} {
		if err := checkName("rename", name); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	source, target, n, err := toRename(o.root, from, to)
	if err != nil || n == nil {
		return err
	}
	delete(source.names, path.Base(from))
	target.names[path.Base(to)] = n
	return nil
}

// MkdirAll implements FS.
func (o *Overlay) MkdirAll(dir string) error {
	if err := checkName("mkdir", dir); err != nil || dir == "." {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return makeAll(o.root, dir, func(parent *layered, name string) *layered {
		made := newLayer()
		parent.names[name] = made
		return made
	})
}

// List implements FS.
func (o *Overlay) List(dir string) ([]Entry, error) {
	if err := checkName("list", dir); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return entriesOf(o.root, dir)
}

// Stat implements FS.
func (o *Overlay) Stat(name string) (Entry, error) {
	if err := checkName("stat", name); err != nil {
		return Entry{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return statOf(o.root, name)
}

// SyncDir implements FS: there is nothing to make durable.
func (o *Overlay) SyncDir(dir string) error {
	if err := checkName("syncdir", dir); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := directory("syncdir", o.root, dir)
	return err
}

// Lock implements FS. It does not lock the file below.
func (o *Overlay) Lock(name string) (io.Closer, error) {
	f, err := o.Open(name, Create)
	if err != nil {
		return nil, err
	}
	return o.locks.take(f)
}

// Space implements FS: that of the disk below.
func (o *Overlay) Space() (Space, error) { return o.below.Space() }
