package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/engine"
	"peregrine/jetstream/store"
	"peregrine/jetstream/store/seqset"
	"peregrine/vfs"
)

// Rehearse has the engine open the directory, which must have a catalog, and tells
// what it would change. Nothing is changed.
func (d *Directory) Rehearse(o Options) (*Report, error) {
	if !d.catalog {
		return nil, fmt.Errorf("inspect: no catalog: %w", ErrEmpty)
	}
	l := d.look(o)
	if err := l.parts(false); err != nil {
		return nil, err
	}
	if err := l.rehearse(); err != nil {
		return nil, err
	}
	l.report.sort()
	return l.report, nil
}

// rehearse has the engine open the directory on an overlay.
func (l *look) rehearse() error {
	o, err := l.opening()
	if err != nil {
		return err
	}
	l.report.Opened = o
	return nil
}

func (l *look) opening() (*Opening, error) {
	l.at = "opening"
	over, err := vfs.NewOverlay(l.fs)
	if err != nil {
		return nil, err
	}
	defer over.Close()
	// The engine is not closed: that would write checkpoints, and only to memory.
	e, report, err := engine.Open(over, engine.Options{
		Log:      commitlog.Options{FenceUnreadable: true, SegmentBytesMin: 64 << 10},
		Keys:     l.Keys,
		Stream:   func(engine.ID, []byte) engine.StreamOptions { return engine.StreamOptions{Keys: l.Keys} },
		Consumer: func(engine.ID, engine.ID, []byte) []store.Key { return l.Keys },
	})
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	o := &Opening{Changes: []Change{}}
	switch {
	case errors.Is(err, engine.ErrKey):
		o.Error = err.Error()
		l.report.add(finding(store.Note, ".", -1, "not opened for a rehearsal: "+err.Error()))
	case err != nil:
		o.Error = err.Error()
		l.report.add(finding(store.Damage, ".", -1, "the engine does not open it: "+err.Error()))
	default:
		l.opened(o, e, report)
	}
	changes, err := over.Changes()
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		o.Changes = append(o.Changes, changeOf(c))
	}
	return o, nil
}

// opened takes what the engine says of an opening.
func (l *look) opened(o *Opening, e *engine.Engine, report *engine.Report) {
	o.Streams, o.Consumers, o.Replayed = report.Streams, report.Consumers, report.Replayed
	for _, s := range e.Shards() {
		s.Streams(func(st *engine.Stream) {
			state, _ := st.Messages.State() // what it cannot read has been found
			o.Messages += state.Msgs
			st.Messages.CheckReferences(func(seq store.Seq, file string, off int64, err error) {
				f := finding(store.Damage, file, off, fmt.Sprintf("the log refers to it: %v", err))
				f.Lost = seqset.Range{First: uint64(seq), Last: uint64(seq)}
				l.report.add(f)
			})
		})
	}
	l.damages("log", report.Log.Damages) // checkpoints tell of more than the log by itself
	broken := make([]engine.ID, 0, len(report.Broken))
	for id := range report.Broken {
		broken = append(broken, id)
	}
	slices.Sort(broken)
	for _, id := range broken {
		severity := store.Damage
		if errors.Is(report.Broken[id], store.ErrKey) {
			severity = store.Note
		}
		l.report.add(finding(severity, ".", -1, fmt.Sprintf("%016x cannot be opened: %v", uint64(id), report.Broken[id])))
	}
	if report.Unknown > 0 {
		l.report.add(finding(store.Note, ".", -1, fmt.Sprintf("%d records of the log are of owners that the catalog does not know", report.Unknown)))
	}
	for _, name := range report.Quarantined {
		l.report.add(finding(store.Repairable, name, -1, "the catalog does not know this folder: it will be moved here"))
	}
}

func changeOf(c vfs.Change) Change {
	out := Change{Kind: c.Kind.String(), File: c.Name, Size: c.Size}
	if c.From != c.Name {
		out.From = c.From
	}
	for _, r := range c.Ranges {
		out.Ranges = append(out.Ranges, [2]int64{r.From, r.To})
	}
	return out
}
