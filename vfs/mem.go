package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"
)

// Mem is a file system in memory that tells what is durable from what is not,
// see Crash. The zero value is not usable; NewMem makes an empty one.
type Mem struct {
	mu      sync.Mutex // guards everything below and every node
	root    *node
	locks   lockTable
	crashed bool
}

// node is a file or a directory. What is durable is what the last sync left;
// the changes since then are pending and survive a crash by chance.
type node struct {
	dir bool

	data    []byte // file: as the running system sees it
	durable []byte
	pending []fileChange

	names        map[string]*node // directory: as the running system sees it
	durableNames map[string]*node
	pendingNames []nameChange
}

// fileChange is an unsynced write (data set) or change of length.
type fileChange struct {
	data []byte
	off  int64
	size int64 // new length if data is nil
	lost bool  // its sync failed: later syncs do not cover it
}

// nameChange is an unsynced change of one directory, atomic as journals make it.
type nameChange struct {
	gone string // name that disappears, or ""
	name string // name that appears with node, or ""
	node *node
	move *move // set on both halves of a renaming across directories
	lost bool
}

// move ties the halves of a renaming across directories: they survive together.
type move struct{ durable bool }

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, durableNames: map[string]*node{}}
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{root: newDir()}
}

// enter locks m and checks that it still runs and that the name is valid.
func (m *Mem) enter(op, name string) error {
	if err := checkName(op, name); err != nil {
		m.mu.Lock()
		return err
	}
	m.mu.Lock()
	if m.crashed {
		return fmt.Errorf("vfs: %s %s: %w", op, name, ErrCrashed)
	}
	return nil
}

// find returns the node of a name, or nil.
func (m *Mem) find(name string) *node { return lookUp(m.root, name) }

func (n *node) children() map[string]*node { return n.names }
func (n *node) length() int64              { return int64(len(n.data)) }

// Open implements FS.
func (m *Mem) Open(name string, flag Flag) (File, error) {
	err := m.enter("open", name)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	dir, n, err := toOpen(m.root, name, flag)
	if err != nil {
		return nil, err
	}
	if n == nil {
		n = &node{}
		dir.change(nameChange{name: path.Base(name), node: n})
	}
	return &memFile{fs: m, node: n, name: name, flag: flag}, nil
}

// change applies and records a change of names.
func (n *node) change(c nameChange) {
	c.apply(n.names)
	n.pendingNames = append(n.pendingNames, c)
}

func (c nameChange) apply(names map[string]*node) {
	if c.gone != "" {
		delete(names, c.gone)
	}
	if c.name != "" {
		names[c.name] = c.node
	}
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	err := m.enter("remove", name)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	dir, err := toRemove(m.root, name)
	if err != nil {
		return err
	}
	dir.change(nameChange{gone: path.Base(name)})
	return nil
}

// Rename implements FS. Also across directories both names change or none.
func (m *Mem) Rename(from, to string) error {
	if err := checkName("rename", to); err != nil {
		return err
	}
	err := m.enter("rename", from)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	source, target, n, err := toRename(m.root, from, to)
	if err != nil || n == nil {
		return err
	}
	if source == target {
		source.change(nameChange{gone: path.Base(from), name: path.Base(to), node: n})
		return nil
	}
	both := &move{}
	target.change(nameChange{name: path.Base(to), node: n, move: both})
	source.change(nameChange{gone: path.Base(from), move: both})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	err := m.enter("mkdir", dir)
	defer m.mu.Unlock()
	if err != nil || dir == "." {
		return err
	}
	return makeAll(m.root, dir, func(parent *node, name string) *node {
		made := newDir()
		parent.change(nameChange{name: name, node: made})
		return made
	})
}

// List implements FS.
func (m *Mem) List(dir string) ([]Entry, error) {
	err := m.enter("list", dir)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return entriesOf(m.root, dir)
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Entry, error) {
	err := m.enter("stat", name)
	defer m.mu.Unlock()
	if err != nil {
		return Entry{}, err
	}
	return statOf(m.root, name)
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	err := m.enter("syncdir", dir)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	n := m.find(dir)
	if n == nil || !n.dir {
		return pathError("syncdir", dir, fs.ErrNotExist)
	}
	n.syncNames()
	return nil
}

// syncNames makes pending changes durable, except those a failed sync lost: they
// stay pending unless a later change is about the same name.
func (n *node) syncNames() {
	var kept []nameChange
	for _, c := range n.pendingNames {
		if c.lost {
			kept = append(kept, c)
			continue
		}
		c.apply(n.durableNames)
		if c.move != nil {
			c.move.durable = true
		}
		kept = slices.DeleteFunc(kept, func(o nameChange) bool {
			return o.touches(c.name) || o.touches(c.gone)
		})
	}
	n.pendingNames = kept
}

func (c nameChange) touches(name string) bool {
	return name != "" && (c.name == name || c.gone == name)
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.Open(name, Create)
	if err != nil {
		return nil, err
	}
	return m.locks.take(f)
}

// Space implements FS. Memory is not measured: it is always 1 TiB.
func (m *Mem) Space() (Space, error) {
	err := m.enter("space", ".")
	defer m.mu.Unlock()
	return Space{Total: 1 << 40, Free: 1 << 40}, err
}
