package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// BlockSize is the unit of direct I/O: offsets, lengths and buffer addresses of
// files opened with Direct are multiples of it.
const BlockSize = 4096

// Flag says how a file is opened. The zero value opens an existing file to read.
type Flag uint8

// Flags of FS.Open.
const (
	// Write allows writing beside reading.
	Write Flag = 1 << iota
	// Create makes the file if it is not there; it implies Write.
	Create
	// Exclusive, with Create, fails with fs.ErrExist if the file is there.
	Exclusive
	// Direct asks for I/O past the page cache. Reads and writes must be aligned
	// (BlockSize) whether or not the file system grants it, see File.Direct.
	Direct
)

// Errors callers test with errors.Is. Others are those of io/fs (ErrNotExist,
// ErrExist, ErrClosed) and the system's numbers (syscall.ENOSPC, syscall.EIO).
var (
	// ErrUnaligned is a transfer on a Direct file that is not aligned: our bug.
	ErrUnaligned = errors.New("vfs: unaligned direct transfer")
	// ErrCrashed is every answer of a file system after its simulated crash.
	ErrCrashed = errors.New("vfs: crashed")
	// ErrFault is a mapped read that touched a page the file no longer has.
	ErrFault = errors.New("vfs: mapped file is shorter than its mapping")
	// ErrLocked says that another process or FS holds the lock.
	ErrLocked = errors.New("vfs: locked by another process")
	// ErrReadOnly is a change on a disk that was opened to read.
	ErrReadOnly = errors.New("vfs: opened read-only")
	// ErrPath is a name that is empty, absolute or leaves the root.
	ErrPath = errors.New("vfs: invalid path")
)

// An FS is one directory tree. Names are relative to its root and separated by
// slashes. Calls may come from any goroutine.
//
// Only what was synced survives a power cut: a file's bytes and length with
// Sync, SyncData or WriteSync; its name (creation, removal, renaming) with
// SyncDir of the directory that holds the name.
type FS interface {
	// Open opens or creates a regular file.
	Open(name string, flag Flag) (File, error)
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// Rename renames atomically; a target file is replaced. Across directories
	// both must be synced.
	Rename(from, to string) error
	// MkdirAll makes a directory and its parents. The parents of what it made
	// must be synced as with files.
	MkdirAll(dir string) error
	// List returns the entries of a directory, sorted by name.
	List(dir string) ([]Entry, error)
	// Stat describes one file or directory.
	Stat(name string) (Entry, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock takes an exclusive advisory lock on the named file, which it creates.
	// Close on the result releases it. Errors: ErrLocked.
	Lock(name string) (io.Closer, error)
	// Space tells the size of the disk and what is free on it, in bytes.
	Space() (Space, error)
}

// A File is an open regular file. ReadAt, WriteAt and the syncs may run
// concurrently; ReadAt and WriteAt follow io.ReaderAt and io.WriterAt (short
// means error). Buffers are borrowed until the call returns.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// WriteSync writes p at off and returns when it is on disk, with all earlier
	// writes to this file and the length they need. It is SyncData after WriteAt,
	// in as few system calls as the platform allows.
	WriteSync(p []byte, off int64) error
	// SyncData makes the file's bytes and length durable (fdatasync).
	SyncData() error
	// Sync makes bytes and all attributes durable (fsync).
	Sync() error
	// Allocate reserves space for [off, off+n) and extends the file to hold it;
	// new bytes read as zero. Where the file system cannot reserve, it extends.
	Allocate(off, n int64) error
	// Truncate sets the length; new bytes read as zero.
	Truncate(size int64) error
	// Size returns the length in bytes.
	Size() (int64, error)
	// Direct tells whether transfers bypass the page cache: false on files
	// opened without Direct and where the file system refused it.
	Direct() bool
	// Map maps the first size bytes read-only. The file must be at least that
	// long and must not change while it is mapped.
	Map(size int64) (Mapping, error)
	// Name is the name the file was opened with.
	Name() string
}

// A Mapping is a read-only view of a file.
type Mapping interface {
	// Bytes is shared and immutable until Close. If something else may have cut
	// the file, read it inside Guard.
	Bytes() []byte
	// Close unmaps; the bytes must not be touched any more.
	Close() error
}

// An Entry describes a file or directory.
type Entry struct {
	Name string // last element only
	Size int64  // bytes; 0 for directories
	Dir  bool
}

// Space is the size of a disk, in bytes.
type Space struct {
	Total int64
	Free  int64 // available to this process
}

// checkName returns ErrPath for names that could leave the root.
func checkName(op, name string) error {
	if !fs.ValidPath(name) {
		return fmt.Errorf("vfs: %s %q: %w", op, name, ErrPath)
	}
	return nil
}

// writes tells whether the flag allows writing.
func (f Flag) writes() bool { return f&(Write|Create) != 0 }
