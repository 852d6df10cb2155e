package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// logRecord is told of each record of a log, with the file that it is in.
type logRecord func(file string, r commitlog.Record) error

// log has a commit log recover on an overlay and reports what it says. each may
// be nil.
func (l *look) log(dir string, each logRecord) error {
	l.at = dir
	over, err := vfs.NewOverlay(l.fs)
	if err != nil {
		return err
	}
	defer over.Close()
	files := l.segmentFiles(dir)
	replay := commitlog.Replay{Record: func(r commitlog.Record) error {
		l.read(int64(len(r.Data)) + 32)
		if each == nil {
			return nil
		}
		return each(path.Join(dir, files[r.Position.Segment()]), r)
	}}
	before := l.done
	options := commitlog.Options{FenceUnreadable: true, SegmentBytesMin: 64 << 10}
	log, report, err := commitlog.Open(over, dir, options, replay)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrStop) {
		return err
	}
	if err != nil {
		l.report.add(finding(store.Damage, dir, -1, fmt.Sprintf("the log does not open: %v", err)))
		return nil
	}
	defer log.Close() // on the overlay
	for _, s := range report.Segments {
		before += s.Size // headers, padding and free segments were read, too
	}
	l.read(max(0, before-l.done))
	l.judge(dir, files, report)
	l.report.Logs = append(l.report.Logs, logOf(dir, report))
	return nil
}

// segmentFiles are the names of the files of a log by segment number, as their
// headers say.
func (l *look) segmentFiles(dir string) map[uint64]string {
	files := map[uint64]string{}
	entries, err := l.fs.List(dir)
	if err != nil {
		return files // the opening will tell
	}
	for _, e := range entries {
		if number, ok := commitlog.SegmentNumber(l.fs, path.Join(dir, e.Name)); ok {
			files[number] = e.Name
		}
	}
	return files
}

// judge turns a log's report into findings.
func (l *look) judge(dir string, files map[uint64]string, r *commitlog.Report) {
	l.damages(dir, r.Damages)
	if r.Torn {
		file := path.Join(dir, files[r.End.Segment()])
		l.report.add(finding(store.Note, file, r.End.Offset(), "the last batch is not whole: taken for a write that was cut short"))
	}
	if r.MetadataLost {
		l.report.add(finding(store.Repairable, path.Join(dir, "meta"), 0, "no copy of the metadata is valid: they are made again from the segments"))
	}
	for _, what := range r.Repaired {
		file, copy, _ := strings.Cut(what, ", copy ")
		n, _ := strconv.Atoi(copy) // made by the log
		l.report.add(finding(store.Repairable, path.Join(dir, file), int64(max(n-1, 0))*vfs.BlockSize, "this copy of the header is not valid"))
	}
	for _, file := range r.Quarantined {
		l.report.add(finding(store.Repairable, path.Join(dir, file), 0, "nothing in it can be recognised: it will be moved to quarantine"))
	}
}

// damages reports damaged ranges of a log, once each: a place may have notes, too.
func (l *look) damages(dir string, list []commitlog.Damage) {
	for _, d := range list {
		file, off := path.Join(dir, d.File), d.From.Offset()
		if !slices.ContainsFunc(l.report.Findings, func(f Finding) bool { return f.Severity == store.Damage.String() && f.File == file && f.Offset == off }) {
			l.report.add(finding(store.Damage, file, off, fmt.Sprintf("records from %v to %v are lost: %s", d.From, d.To, d.Reason)))
		}
	}
}

func logOf(dir string, r *commitlog.Report) Log {
	log := Log{Dir: dir, Identity: fmt.Sprintf("%016x", r.Identity), Clean: r.Clean, Torn: r.Torn,
		First: r.First.String(), End: r.End.String(), Records: r.Records, Segments: []Segment{}, Owners: []Owner{}}
	for _, s := range r.Segments {
		log.Segments = append(log.Segments, Segment{s.File, s.Segment, s.Size, s.Used, s.Free})
	}
	for _, o := range r.Owners {
		log.Owners = append(log.Owners, Owner{uint64(o.Owner), o.First.String(), o.Last.String(), o.Records})
	}
	return log
}
