package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// An Engine is one data directory: a commit log, and the streams and consumers
// whose records are in it, spread over shards.
type Engine struct {
	fs      vfs.FS
	options Options
	lock    io.Closer
	ring    *keyring
	catalog *catalog
	log     *commitlog.Log
	shards  []*Shard

	catalogOwner *commitlog.Owner

	keepWaits atomic.Bool  // the catalog's files wait for the log to have its changes
	unnoted   atomic.Int64 // what must know of damage of the log before it is forgotten
	tasks     *queue
	started   bool
	closing   atomic.Bool
	workers   sync.WaitGroup
	loops     sync.WaitGroup
}

// Shards are the engine's shards, by index.
func (e *Engine) Shards() []*Shard { return e.shards }

// Log is the engine's commit log, for its figures and damages.
func (e *Engine) Log() *commitlog.Log { return e.log }

// noted takes one off the count of those who must know of damage of the log.
func (e *Engine) noted() {
	if e.unnoted.Add(-1) == 0 {
		e.log.DamageNoted()
	}
}

// Close makes everything durable, writes checkpoints, so that the next start has
// little to replay, and closes the files. It returns what the log stopped with, if
// it has.
func (e *Engine) Close() error {
	if !e.closing.CompareAndSwap(false, true) {
		return ErrClosing
	}
	if e.started {
		for _, s := range e.shards {
			s.bell.ring()
		}
		e.loops.Wait()
		e.tasks.close()
		e.workers.Wait()
	} else {
		e.drain()
	}
	return e.closeFiles()
}

// drain does what the goroutines would do, until every shard is closed.
func (e *Engine) drain() {
	for {
		idle := true
		for _, s := range e.shards {
			s.Step(0)
			idle = idle && s.idle
		}
		if idle {
			return
		}
		for e.turn() {
		}
	}
}

// turn does one piece of work of the log and the workers, false if there is none:
// for an engine that was not started.
func (e *Engine) turn() bool {
	if t, ok := e.tasks.pop(false); ok {
		t.do()
		return true
	}
	return e.log.Step() || e.log.Prepare()
}

func (e *Engine) closeFiles() error {
	for _, s := range e.shards {
		for _, st := range s.list {
			st.close()
		}
	}
	var err error
	if e.log != nil {
		err = e.log.Close()
	}
	return errors.Join(err, e.lock.Close())
}

// makeStream makes the folders and files of a new stream. A folder without an
// entry in the catalog, after a crash, is nobody's.
func (e *Engine) makeStream(c *create) (*store.Stream, error) {
	dir := streamDir(c.id)
	for _, d := range []string{dir, path.Join(dir, consumersDir)} {
		if err := e.fs.MkdirAll(d); err != nil {
			return nil, fmt.Errorf("engine: make %s: %w", d, err)
		}
	}
	for _, d := range []string{streamsDir, dir} {
		if err := e.fs.SyncDir(d); err != nil {
			return nil, fmt.Errorf("engine: make %s: %w", dir, err)
		}
	}
	st, _, err := store.Open(c.options.Options, e.files(c.id, &c.options))
	return st, err
}

// goneSuffix marks the folder of a deleted stream that is being removed: what is
// left of one is no stream any more.
const goneSuffix = ".gone"

// removeStream removes a stream's folder.
func (e *Engine) removeStream(id ID) error {
	dir := streamDir(id)
	err := e.fs.Rename(dir, dir+goneSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := e.fs.SyncDir(streamsDir); err != nil {
		return err
	}
	return vfs.RemoveAll(e.fs, dir+goneSuffix)
}

// removeConsumer removes a consumer's files.
func (e *Engine) removeConsumer(id, stream ID) error {
	dir := path.Join(streamDir(stream), consumersDir)
	if _, err := e.fs.Stat(dir); err != nil {
		return nil // went with the stream
	}
	for _, end := range []string{".a", ".b", tailEnding} {
		if err := vfs.RemoveAll(e.fs, path.Join(dir, consumerName(id)+end)); err != nil {
			return err
		}
	}
	return e.fs.SyncDir(dir)
}
