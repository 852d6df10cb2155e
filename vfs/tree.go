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

// treeNode is a file or directory of a file system in memory. The functions of this
// file are what such file systems answer alike, with the errors of a real one.
type treeNode[N any] interface {
	comparable
	children() map[string]N // nil for a file
	length() int64          // in bytes, 0 for a directory
}

func pathError(op, name string, err error) error {
	return fmt.Errorf("vfs: %w", &fs.PathError{Op: op, Path: name, Err: err})
}

// lookUp returns the node of a name, the zero value if there is none.
func lookUp[N treeNode[N]](root N, name string) N {
	n := root
	if name == "." {
		return n
	}
	var none N
	for part := range strings.SplitSeq(name, "/") {
		if n = n.children()[part]; n == none {
			return none
		}
	}
	return n
}

// parentOf returns the directory that holds name.
func parentOf[N treeNode[N]](op string, root N, name string) (N, error) {
	var none N
	dir := lookUp(root, path.Dir(name))
	if dir == none || name == "." {
		return none, pathError(op, name, fs.ErrNotExist)
	}
	if dir.children() == nil {
		return none, pathError(op, name, syscall.ENOTDIR)
	}
	return dir, nil
}

// toOpen returns the node to open, and its directory; without an error and a node
// one is to be made.
func toOpen[N treeNode[N]](root N, name string, flag Flag) (dir, n N, err error) {
	var none N
	if dir, err = parentOf("open", root, name); err != nil {
		return none, none, err
	}
	n = dir.children()[path.Base(name)]
	switch {
	case n == none && flag&Create == 0:
		err = fs.ErrNotExist
	case n == none:
	case n.children() != nil:
		err = syscall.EISDIR
	case flag&Create != 0 && flag&Exclusive != 0:
		err = fs.ErrExist
	}
	if err != nil {
		return none, none, pathError("open", name, err)
	}
	return dir, n, nil
}

// toRemove returns the directory to remove a name from.
func toRemove[N treeNode[N]](root N, name string) (N, error) {
	var none N
	dir, err := parentOf("remove", root, name)
	if err != nil {
		return none, err
	}
	n := dir.children()[path.Base(name)]
	if n == none {
		return none, pathError("remove", name, fs.ErrNotExist)
	}
	if len(n.children()) > 0 {
		return none, pathError("remove", name, syscall.ENOTEMPTY)
	}
	return dir, nil
}

// toRename returns the node to rename and the directories to rename it between; no
// node if there is nothing to do.
func toRename[N treeNode[N]](root N, from, to string) (source, target, n N, err error) {
	var none N
	if source, err = parentOf("rename", root, from); err != nil {
		return none, none, none, err
	}
	if target, err = parentOf("rename", root, to); err != nil {
		return none, none, none, err
	}
	n = source.children()[path.Base(from)]
	if n == none {
		return none, none, none, pathError("rename", from, fs.ErrNotExist)
	}
	if from == to {
		return source, target, none, nil
	}
	if err := mayReplace(target.children()[path.Base(to)], n); err != nil {
		return none, none, none, pathError("rename", to, err)
	}
	if n.children() != nil && strings.HasPrefix(to, from+"/") {
		return none, none, none, pathError("rename", to, syscall.EINVAL)
	}
	return source, target, n, nil
}

// mayReplace tells whether a node may take the place of an old one.
func mayReplace[N treeNode[N]](old, n N) error {
	var none N
	oldDir, dir := old != none && old.children() != nil, n.children() != nil
	switch {
	case old == none:
	case oldDir && !dir:
		return syscall.EISDIR
	case dir && !oldDir:
		return syscall.ENOTDIR
	case oldDir && len(old.children()) > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

// makeAll makes the directories of a path that are not there with add.
func makeAll[N treeNode[N]](root N, dir string, add func(parent N, name string) N) error {
	n := root
	var none N
	for part := range strings.SplitSeq(dir, "/") {
		next := n.children()[part]
		if next == none {
			next = add(n, part)
		}
		if next.children() == nil {
			return pathError("mkdir", dir, syscall.ENOTDIR)
		}
		n = next
	}
	return nil
}

// entriesOf lists a directory.
func entriesOf[N treeNode[N]](root N, dir string) ([]Entry, error) {
	n, err := directory("list", root, dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(n.children()))
	for name, child := range n.children() {
		entries = append(entries, describeNode(child, name))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// directory is the node of a name that must be a directory.
func directory[N treeNode[N]](op string, root N, dir string) (N, error) {
	var none N
	n := lookUp(root, dir)
	if n == none {
		return none, pathError(op, dir, fs.ErrNotExist)
	}
	if n.children() == nil {
		return none, pathError(op, dir, syscall.ENOTDIR)
	}
	return n, nil
}

func describeNode[N treeNode[N]](n N, name string) Entry {
	return Entry{Name: name, Size: n.length(), Dir: n.children() != nil}
}

// statOf describes a name.
func statOf[N treeNode[N]](root N, name string) (Entry, error) {
	var none N
	n := lookUp(root, name)
	if n == none {
		return Entry{}, pathError("stat", name, fs.ErrNotExist)
	}
	return describeNode(n, path.Base(name)), nil
}

// lockTable is the names that are locked.
type lockTable struct {
	mu   sync.Mutex
	held map[string]bool
}

// take locks a file that was opened for that.
func (t *lockTable) take(f File) (io.Closer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[f.Name()] {
		return nil, fmt.Errorf("vfs: lock %s: %w", f.Name(), ErrLocked)
	}
	if t.held == nil {
		t.held = map[string]bool{}
	}
	t.held[f.Name()] = true
	return &heldLock{f, t}, nil
}

// heldLock is a lock; Close gives it back.
type heldLock struct {
	File
	table *lockTable
}

func (l *heldLock) Close() error {
	l.table.mu.Lock()
	delete(l.table.held, l.Name())
	l.table.mu.Unlock()
	return l.File.Close()
}
