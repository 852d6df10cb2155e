package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// DiskOptions configures a Disk.
type DiskOptions struct {
	// Buffered refuses direct I/O even where the file system has it.
	Buffered bool
	// ReadOnly refuses every call that could change something, with ErrReadOnly.
	// The root is not made, and Lock only locks a file that is there.
	ReadOnly bool
	// Logf, if set, is told once when the file system refuses direct I/O.
	Logf func(format string, args ...any)
}

// A Disk is the operating system's file system below one directory.
type Disk struct {
	root    string
	options DiskOptions
	refused atomic.Bool // direct I/O was refused and that was logged
}

// OpenDisk returns the tree below root, which it creates if needed.
func OpenDisk(root string, options DiskOptions) (*Disk, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("vfs: open disk: %w", err)
	}
	if options.ReadOnly {
		if info, err := os.Stat(root); err != nil {
			return nil, fmt.Errorf("vfs: open disk: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("vfs: open disk %s: %w", root, syscall.ENOTDIR)
		}
	} else if err := os.MkdirAll(root, 0o750); err != nil {
		return nil, fmt.Errorf("vfs: open disk: %w", err)
	}
	return &Disk{root: root, options: options}, nil
}

// Root is the absolute path of the tree.
func (d *Disk) Root() string { return d.root }

func (d *Disk) path(op, name string) (string, error) {
	if err := checkName(op, name); err != nil {
		return "", err
	}
	if d.options.ReadOnly && (op == "remove" || op == "rename" || op == "mkdir") {
		return "", pathError(op, name, ErrReadOnly)
	}
	return filepath.Join(d.root, filepath.FromSlash(name)), nil
}

// Open implements FS.
func (d *Disk) Open(name string, flag Flag) (File, error) {
	full, err := d.path("open", name)
	if err != nil {
		return nil, err
	}
	mode := os.O_RDONLY
	if flag.writes() && d.options.ReadOnly {
		return nil, pathError("open", name, ErrReadOnly)
	}
	if flag.writes() {
		mode = os.O_RDWR
	}
	if flag&Create != 0 {
		mode |= os.O_CREATE
		if flag&Exclusive != 0 {
			mode |= os.O_EXCL
		}
	}
	f, direct, err := d.openMode(full, mode, flag&Direct != 0)
	if err != nil {
		return nil, fmt.Errorf("vfs: %w", err)
	}
	return newDiskFile(d, name, f, flag&Direct != 0, direct), nil
}

// openMode opens with direct I/O when wanted and granted.
func (d *Disk) openMode(full string, mode int, wantDirect bool) (f *os.File, direct bool, err error) {
	if wantDirect && !d.options.Buffered && directFlag != 0 {
		f, err = os.OpenFile(full, mode|directFlag, 0o640)
		if err == nil && directWorks(f) {
			return f, true, nil
		}
		if err != nil && !refusesDirect(err) {
			return nil, false, err
		}
		if err == nil {
			f.Close()
		}
		d.logRefusal(full)
		mode &^= os.O_EXCL // the refused attempt may have created it
	}
	f, err = os.OpenFile(full, mode, 0o640)
	return f, false, err
}

// logRefusal says once that direct I/O is not to be had.
func (d *Disk) logRefusal(full string) {
	if !d.refused.Swap(true) && d.options.Logf != nil {
		d.options.Logf("Direct I/O is not available for %q, using the page cache", full)
	}
}

// Remove implements FS.
func (d *Disk) Remove(name string) error {
	full, err := d.path("remove", name)
	if err != nil {
		return err
	}
	return wrap(os.Remove(full))
}

// Rename implements FS.
func (d *Disk) Rename(from, to string) error {
	source, err := d.path("rename", from)
	if err != nil {
		return err
	}
	target, err := d.path("rename", to)
	if err != nil {
		return err
	}
	return wrap(os.Rename(source, target))
}

// MkdirAll implements FS.
func (d *Disk) MkdirAll(dir string) error {
	full, err := d.path("mkdir", dir)
	if err != nil {
		return err
	}
	return wrap(os.MkdirAll(full, 0o750))
}

// List implements FS.
func (d *Disk) List(dir string) ([]Entry, error) {
	full, err := d.path("list", dir)
	if err != nil {
		return nil, err
	}
	found, err := os.ReadDir(full)
	if err != nil {
		return nil, wrap(err)
	}
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, wrap(err)
		}
		entries = append(entries, entryOf(info))
	}
	return entries, nil
}

// Stat implements FS.
func (d *Disk) Stat(name string) (Entry, error) {
	full, err := d.path("stat", name)
	if err != nil {
		return Entry{}, err
	}
	info, err := os.Stat(full)
	if err != nil {
		return Entry{}, wrap(err)
	}
	return entryOf(info), nil
}

// SyncDir implements FS.
func (d *Disk) SyncDir(dir string) error {
	full, err := d.path("syncdir", dir)
	if err != nil {
		return err
	}
	f, err := os.Open(full)
	if err != nil {
		return wrap(err)
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return wrap(err)
}

// Lock implements FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	full, err := d.path("lock", name)
	if err != nil {
		return nil, err
	}
	mode := os.O_RDWR | os.O_CREATE
	if d.options.ReadOnly {
		mode = os.O_RDONLY
	}
	f, err := os.OpenFile(full, mode, 0o640)
	if err != nil {
		return nil, wrap(err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("vfs: lock %s: %w", name, err)
	}
	return f, nil
}

// Space implements FS.
func (d *Disk) Space() (Space, error) {
	s, err := diskSpace(d.root)
	return s, wrap(err)
}

func entryOf(info fs.FileInfo) Entry {
	e := Entry{Name: info.Name(), Dir: info.IsDir()}
	if !e.Dir {
		e.Size = info.Size()
	}
	return e
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("vfs: %w", err)
}
