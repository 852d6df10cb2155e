package vfs

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
)

// Op names a call of FS or File.
type Op uint8

// The calls a Hook sees.
const (
	OpOpen Op = iota
	OpRemove
	OpRename
	OpMkdir
	OpList
	OpStat
	OpSyncDir
	OpLock
	OpSpace
	OpRead
	OpWrite
	OpWriteSync
	OpSyncData
	OpSync
	OpAllocate
	OpTruncate
	OpSize
	OpMap
	OpClose
)

var opNames = [...]string{"open", "remove", "rename", "mkdir", "list", "stat", "syncdir", "lock", "space",
	"read", "write", "writesync", "syncdata", "sync", "allocate", "truncate", "size", "map", "close"}

// String is the call's name in lower case.
func (o Op) String() string { return opNames[o] }

// Syncs tells whether the call makes something durable.
func (o Op) Syncs() bool {
	return o == OpSyncDir || o == OpWriteSync || o == OpSyncData || o == OpSync
}

// Changes tells whether the call can change what is on disk.
func (o Op) Changes() bool {
	return o <= OpMkdir || o == OpLock || o >= OpWrite && o <= OpTruncate || o == OpSyncDir
}

// A Call is one call on its way to the file system below.
type Call struct {
	Number int64 // 1, 2, 3… per Faulty
	Op     Op
	Name   string // file, directory, or source of a rename
	Off    int64
	Len    int64 // bytes
}

// Site is the place in the code that made the call, "file.go:line", outside of
// this package. It is for use inside a Hook and slow.
func (c Call) Site() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	below := false // the hook's own frames come first
	for {
		frame, more := frames.Next()
		own := strings.Contains(frame.File, "/vfs/") && !strings.HasSuffix(frame.File, "_test.go")
		if below && !own {
			return fmt.Sprintf("%s:%d", frame.File[strings.LastIndexByte(frame.File, '/')+1:], frame.Line)
		}
		below = below || strings.HasSuffix(frame.Function, "(*Faulty).do")
		if !more {
			return ""
		}
	}
}

// A Fault is what happens to a call instead of, or beside, being executed. The
// zero value executes it.
type Fault struct {
	// Err is returned without executing the call. A failed sync also takes with
	// it what it should have made durable: no later sync covers that.
	Err error
	// Short, with Err on a write or read, transfers that many bytes first.
	Short int64
	// Skip answers success without executing: a lost write. For WriteSync the
	// write happens and its sync does not.
	Skip bool
	// Shift moves a write by so many bytes: a misdirected write.
	Shift int64
	// After runs when the call was executed; its error, if any, is returned. To
	// crash inside a call, crash in After; syncs are not executed then, see
	// Crash.
	After func() error
	// Crash, with After, keeps a sync from being executed.
	Crash bool
}

// A Hook decides about every call, before it is executed, on the goroutine that
// makes it. It may block: that is a slow disk.
type Hook func(Call) Fault

// Faulty passes calls to another file system as its hook allows.
type Faulty struct {
	below FS
	hook  Hook
	calls atomic.Int64
}

// NewFaulty returns a file system over below. hook may be nil.
func NewFaulty(below FS, hook Hook) *Faulty { return &Faulty{below: below, hook: hook} }

// Calls is the number of calls so far.
func (f *Faulty) Calls() int64 { return f.calls.Load() }

// FailAt returns a hook that fails call number n with err and lets others pass.
func FailAt(n int64, err error) Hook {
	return func(c Call) Fault {
		if c.Number == n {
			return Fault{Err: err}
		}
		return Fault{}
	}
}

// do runs one call under the hook. run executes it, lose forgets what a failed
// sync should have kept; lose may be nil.
func (f *Faulty) do(c Call, run func(Fault) error, lose func()) error {
	c.Number = f.calls.Add(1)
	if f.hook == nil {
		return run(Fault{})
	}
	fault := f.hook(c)
	if fault.Err != nil {
		if fault.Short > 0 {
			_ = run(fault)
		}
		if c.Op.Syncs() && lose != nil {
			lose()
		}
		return fmt.Errorf("vfs: %s %s: %w", c.Op, c.Name, fault.Err)
	}
	skip := fault.Skip || fault.Crash && c.Op.Syncs()
	if !skip || c.Op == OpWriteSync {
		if err := run(fault); err != nil {
			return err
		}
	}
	if fault.After != nil {
		return fault.After()
	}
	return nil
}

// Open implements FS.
func (f *Faulty) Open(name string, flag Flag) (file File, err error) {
	err = f.do(Call{Op: OpOpen, Name: name}, func(Fault) error {
		file, err = f.below.Open(name, flag)
		return err
	}, nil)
	if err != nil || file == nil {
		return nil, orEIO(err)
	}
	return &faultyFile{File: file, fs: f}, nil
}

// orEIO is for calls that cannot be skipped because they return something.
func orEIO(err error) error {
	if err == nil {
		return fmt.Errorf("vfs: skipped: %w", syscall.EIO)
	}
	return err
}

// Remove implements FS.
func (f *Faulty) Remove(name string) error {
	return f.do(Call{Op: OpRemove, Name: name}, func(Fault) error { return f.below.Remove(name) }, nil)
}

// Rename implements FS.
func (f *Faulty) Rename(from, to string) error {
	return f.do(Call{Op: OpRename, Name: from}, func(Fault) error { return f.below.Rename(from, to) }, nil)
}

// MkdirAll implements FS.
func (f *Faulty) MkdirAll(dir string) error {
	return f.do(Call{Op: OpMkdir, Name: dir}, func(Fault) error { return f.below.MkdirAll(dir) }, nil)
}

// List implements FS.
func (f *Faulty) List(dir string) (entries []Entry, err error) {
	err = f.do(Call{Op: OpList, Name: dir}, func(Fault) error {
		entries, err = f.below.List(dir)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Stat implements FS.
func (f *Faulty) Stat(name string) (entry Entry, err error) {
	err = f.do(Call{Op: OpStat, Name: name}, func(Fault) error {
		entry, err = f.below.Stat(name)
		return err
	}, nil)
	return entry, err
}

// SyncDir implements FS.
func (f *Faulty) SyncDir(dir string) error {
	return f.do(Call{Op: OpSyncDir, Name: dir}, func(Fault) error { return f.below.SyncDir(dir) }, func() {
		if m, ok := f.below.(*Mem); ok {
			m.loseDir(dir)
		}
	})
}

// Lock implements FS.
func (f *Faulty) Lock(name string) (lock io.Closer, err error) {
	err = f.do(Call{Op: OpLock, Name: name}, func(Fault) error {
		lock, err = f.below.Lock(name)
		return err
	}, nil)
	if err != nil || lock == nil {
		return nil, orEIO(err)
	}
	return lock, nil
}

// Space implements FS.
func (f *Faulty) Space() (space Space, err error) {
	err = f.do(Call{Op: OpSpace, Name: "."}, func(Fault) error {
		space, err = f.below.Space()
		return err
	}, nil)
	return space, err
}
