package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// ErrTooLong says that a file is longer than the caller allows.
var ErrTooLong = errors.New("vfs: file is longer than allowed")

// ReadFile returns the whole content of a file of at most max bytes.
func ReadFile(fsys FS, name string, max int64) ([]byte, error) {
	f, err := fsys.Open(name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > max {
		return nil, fmt.Errorf("vfs: read %s: %d bytes: %w", name, size, ErrTooLong)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("vfs: read %s: %w", name, err)
	}
	return b, nil
}

// WriteFile replaces a file so that after a crash either the old or the new
// content is there, whole: it writes name.new, syncs it, renames it and syncs
// the directory. One writer per name.
func WriteFile(fsys FS, name string, data []byte) error {
	fresh := name + ".new"
	if err := fsys.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Open(fresh, Create|Exclusive)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := fsys.Rename(fresh, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// RemoveAll removes a file or a directory with everything in it. What is not
// there is no error. The parent is not synced.
func RemoveAll(fsys FS, name string) error {
	entry, err := fsys.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if entry.Dir {
		entries, err := fsys.List(name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := RemoveAll(fsys, path.Join(name, e.Name)); err != nil {
				return err
			}
		}
	}
	return fsys.Remove(name)
}
