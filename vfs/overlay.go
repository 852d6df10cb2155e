package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
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
	locks map[string]bool
}

// layered is a file or directory of an Overlay. A file's blocks are those written
// here, else those of the file below, up to where that still shows through.
type layered struct {
	dir   bool
	names map[string]*layered

	size    int64
	blocks  map[int64][]byte // by number; whole blocks
	below   string           // name of the file below, "" for none
	through int64            // bytes of it that show through
	origin  int64            // its size
	source  File             // open once it was needed
}

// NewOverlay lists below and returns an overlay of it. Errors: those of listing.
func NewOverlay(below FS) (*Overlay, error) {
	o := &Overlay{below: below, root: newLayer(), first: map[string]*layered{}, locks: map[string]bool{}}
	if err := o.scan(".", o.root); err != nil {
		return nil, err
	}
	return o, nil
}

func newLayer() *layered { return &layered{dir: true, names: map[string]*layered{}} }

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
			if child.dir {
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

// find returns the file or directory of a name, or nil.
func (o *Overlay) find(name string) *layered {
	n := o.root
	if name == "." {
		return n
	}
	for part := range strings.SplitSeq(name, "/") {
		if n = n.names[part]; n == nil {
			return nil
		}
	}
	return n
}

// parent returns the directory that holds name.
func (o *Overlay) parent(op, name string) (*layered, error) {
	if err := checkName(op, name); err != nil {
		return nil, err
	}
	dir := o.find(path.Dir(name))
	if dir == nil || name == "." {
		return nil, pathError(op, name, fs.ErrNotExist)
	}
	if !dir.dir {
		return nil, pathError(op, name, syscall.ENOTDIR)
	}
	return dir, nil
}

// Open implements FS.
func (o *Overlay) Open(name string, flag Flag) (File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	dir, err := o.parent("open", name)
	if err != nil {
		return nil, err
	}
	n := dir.names[path.Base(name)]
	switch {
	case n == nil && flag&Create == 0:
		return nil, pathError("open", name, fs.ErrNotExist)
	case n == nil:
		n = &layered{}
		dir.names[path.Base(name)] = n
	case n.dir:
		return nil, pathError("open", name, syscall.EISDIR)
	case flag&Create != 0 && flag&Exclusive != 0:
		return nil, pathError("open", name, fs.ErrExist)
	}
	return &overlayFile{fs: o, node: n, name: name, flag: flag}, nil
}

// Remove implements FS.
func (o *Overlay) Remove(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	dir, err := o.parent("remove", name)
	if err != nil {
		return err
	}
	n := dir.names[path.Base(name)]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if n.dir && len(n.names) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	delete(dir.names, path.Base(name))
	return nil
}

// Rename implements FS.
func (o *Overlay) Rename(from, to string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	source, err := o.parent("rename", from)
	if err != nil {
		return err
	}
	target, err := o.parent("rename", to)
	if err != nil {
		return err
	}
	n := source.names[path.Base(from)]
	if n == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	if from == to {
		return nil
	}
	if old := target.names[path.Base(to)]; old != nil {
		switch {
		case old.dir && !n.dir:
			return pathError("rename", to, syscall.EISDIR)
		case n.dir && !old.dir:
			return pathError("rename", to, syscall.ENOTDIR)
		case old.dir && len(old.names) > 0:
			return pathError("rename", to, syscall.ENOTEMPTY)
		}
	}
	if n.dir && strings.HasPrefix(to, from+"/") {
		return pathError("rename", to, syscall.EINVAL)
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
	n := o.root
	for part := range strings.SplitSeq(dir, "/") {
		next := n.names[part]
		if next == nil {
			next = newLayer()
			n.names[part] = next
		}
		if !next.dir {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		n = next
	}
	return nil
}

// List implements FS.
func (o *Overlay) List(dir string) ([]Entry, error) {
	if err := checkName("list", dir); err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.find(dir)
	if n == nil {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	if !n.dir {
		return nil, pathError("list", dir, syscall.ENOTDIR)
	}
	entries := make([]Entry, 0, len(n.names))
	for name, child := range n.names {
		entries = append(entries, Entry{Name: name, Size: child.size, Dir: child.dir})
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Stat implements FS.
func (o *Overlay) Stat(name string) (Entry, error) {
	if err := checkName("stat", name); err != nil {
		return Entry{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.find(name)
	if n == nil {
		return Entry{}, pathError("stat", name, fs.ErrNotExist)
	}
	return Entry{Name: path.Base(name), Size: n.size, Dir: n.dir}, nil
}

// SyncDir implements FS: there is nothing to make durable.
func (o *Overlay) SyncDir(dir string) error {
	if err := checkName("syncdir", dir); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := o.find(dir); n == nil || !n.dir {
		return pathError("syncdir", dir, fs.ErrNotExist)
	}
	return nil
}

// Lock implements FS. It does not lock the file below.
func (o *Overlay) Lock(name string) (io.Closer, error) {
	f, err := o.Open(name, Create)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.locks[name] {
		return nil, fmt.Errorf("vfs: lock %s: %w", name, ErrLocked)
	}
	o.locks[name] = true
	return &overlayLock{File: f, fs: o, name: name}, nil
}

type overlayLock struct {
	File
	fs   *Overlay
	name string
}

func (l *overlayLock) Close() error {
	l.fs.mu.Lock()
	delete(l.fs.locks, l.name)
	l.fs.mu.Unlock()
	return l.File.Close()
}

// Space implements FS: that of the disk below.
func (o *Overlay) Space() (Space, error) { return o.below.Space() }
