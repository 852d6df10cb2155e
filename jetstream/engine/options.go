package engine

import (
	"errors"
	"io"
	"time"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/jetstream/store/seqset"
)

// An ID numbers a stream or a consumer of one data directory. It is never used
// again, and it is also the number of the owner of its log records.
type ID uint64

// Errors callers test with errors.Is.
var (
	// ErrCorrupt is a directory that is not what was written: the text says where.
	ErrCorrupt = errors.New("engine: corrupt")
	// ErrLogLost is a directory whose commit log is gone or another one: what no
	// checkpoint holds went with it.
	ErrLogLost = errors.New("engine: the commit log is not the one of this directory")
	// ErrKey is a directory that none of the given keys opens.
	ErrKey = errors.New("engine: wrong encryption key")
	// ErrClosing refuses what begins while the engine closes.
	ErrClosing = errors.New("engine: closing")
)

// Options of an engine.
type Options struct {
	// Shards is how many goroutines own streams. Default 1.
	Shards int
	// Workers is how many jobs with files run at a time. They wait for the disk more
	// than they compute, and syncs that wait together share a commit of the file
	// system's journal. Default 16; 1 also opens streams one after the other.
	Workers int
	// Log configures the commit log.
	Log commitlog.Options
	// Keys encrypt the catalog and the records in the log: the first that fits
	// opens, the first of all is used for what is written. None leaves them in the
	// clear.
	Keys []store.Key
	// Stream tells how to open a stream of the catalog; meta is what its creator
	// gave. nil opens all with the zero value.
	Stream func(id ID, meta []byte) StreamOptions
	// Consumer tells the keys of a consumer's files.
	Consumer func(id, stream ID, meta []byte) []store.Key
	// ScrubRate is how many bytes a second are read in the background to find damage
	// before somebody needs what is damaged. Default 4 MiB; negative never.
	ScrubRate int64
	// ScrubRest is the time between two rounds. Default an hour.
	ScrubRest time.Duration
	// Damaged, if set, is told what a round found, on the goroutine of a shard, when
	// it is fenced.
	Damaged func(Damage)
	// Random is where keys and identities come from. Default crypto/rand.
	Random io.Reader
	// Logf, if set, is told what an operator should know.
	Logf func(format string, args ...any)
}

func (o Options) withDefaults() Options {
	if o.Shards <= 0 {
		o.Shards = 1
	}
	if o.Workers <= 0 {
		o.Workers = 16
	}
	if o.ScrubRate == 0 {
		o.ScrubRate = 4 << 20
	}
	if o.ScrubRest <= 0 {
		o.ScrubRest = time.Hour
	}
	if o.Damaged == nil {
		o.Damaged = func(Damage) {}
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Log.Logf == nil {
		o.Log.Logf = o.Logf
	}
	if o.Stream == nil {
		o.Stream = func(ID, []byte) StreamOptions { return StreamOptions{} }
	}
	if o.Consumer == nil {
		o.Consumer = func(ID, ID, []byte) []store.Key { return nil }
	}
	return o
}

// Damage is something on disk that is not what was written.
type Damage struct {
	ID     ID // of a stream or consumer, 0 for the catalog
	Errors []error
	Lost   []seqset.Range // messages that cannot be read any more
}

// StreamOptions is how one stream is kept.
type StreamOptions struct {
	// Memory streams have no files, no log records and no place in the catalog.
	Memory bool
	// Options of the store; Log is set by the engine. Limits are those of a new
	// stream, one that is opened has its own.
	Options store.Options
	// Compress, Keys, FlushBytes, DirectBytes and CacheBytes are those of store.Files.
	Compress    bool
	Keys        []store.Key
	FlushBytes  int
	DirectBytes int
	CacheBytes  int
}

// A Report is what Open found.
type Report struct {
	Log *commitlog.Report
	// Fresh tells that there was no catalog: the directory is new.
	Fresh bool
	// Streams and Consumers are how many were opened.
	Streams, Consumers int
	// Replayed counts log records that were applied.
	Replayed int
	// Stores has the report of each stream where something was found.
	Stores map[ID]*store.Report
	// Broken are streams and consumers that could not be opened, and why. Their
	// files are left alone.
	Broken map[ID]error
	// Unknown counts log records of owners that the catalog does not know.
	Unknown int
	// Quarantined are folders that the catalog does not know, moved to quarantine.
	Quarantined []string
}
