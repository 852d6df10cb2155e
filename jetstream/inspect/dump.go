package inspect

import (
	"errors"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/engine"
	"peregrine/jetstream/store"
)

// ErrStop, returned by a Sink, ends a Dump without an error.
var ErrStop = errors.New("inspect: stop")

// A Sink gets what Dump reads. What is passed is borrowed.
type Sink struct {
	// Message gets a record of a stream's block; live tells whether the message is
	// there at the checkpoint. offset is that of its chunk, if that is packed.
	Message func(stream, file string, offset int64, m *store.Message, live bool) error
	// Record gets a record of a commit log with a description. nil leaves logs out.
	Record func(file string, r commitlog.Record, text string) error
}

// Dump shows all records of blocks and of logs, whole ones of damaged chunks, too.
// The report has what was found meanwhile.
func (d *Directory) Dump(o Options, sink Sink) (*Report, error) {
	l := d.look(o)
	err := l.dump(sink)
	if errors.Is(err, ErrStop) {
		err = nil
	}
	l.report.sort()
	return l.report, err
}

func (l *look) dump(sink Sink) error {
	catalog := &engine.Inspection{}
	if l.catalog {
		var err error
		if catalog, err = engine.InspectCatalog(l.fs, l.Keys); err != nil {
			return err
		}
	}
	for _, dir := range l.logs {
		if !l.wants(dir) || sink.Record == nil {
			continue
		}
		if err := l.log(dir, func(file string, r commitlog.Record) error {
			return sink.Record(file, r, catalog.Describe(r))
		}); err != nil {
			return err
		}
	}
	for _, dir := range l.streams {
		if !l.wants(dir) || sink.Message == nil {
			continue
		}
		tell := store.Inspector{Record: func(file string, offset int64, m *store.Message, live bool) error {
			return sink.Message(dir, file, offset, m, live)
		}}
		if err := l.stream(dir, tell); err != nil {
			return err
		}
	}
	return nil
}
