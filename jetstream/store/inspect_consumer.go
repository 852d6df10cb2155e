package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"peregrine/vfs"
)

// A ConsumerInspection is what InspectConsumer found.
type ConsumerInspection struct {
	Generation uint64 // of the newer good copy
	Position   uint64 // of the log: what is older is in the files
	Locked     bool   // no key opens it
	Delivered  Position
	AckFloor   Position
	Pending    []PendingMessage
	Bytes      int64 // read
	Findings   []Finding
}

// InspectConsumer reads the files of a consumer, name.a and name.b in f.Dir, and
// changes nothing. Errors: those of the file system that are no damage.
func InspectConsumer(f Files, name string) (*ConsumerInspection, error) {
	in := &ConsumerInspection{}
	files := (&Consumer{files: f, name: name}).names()
	find := func(severity Severity, file string, format string, args ...any) {
		in.Findings = append(in.Findings, Finding{Severity: severity, File: file, Offset: 0, Text: fmt.Sprintf(format, args...)})
	}
	var good []*Consumer
	torn, missing := 0, 0
	for _, file := range files {
		b, err := vfs.ReadFile(f.FS, file, consumerMax)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing++
			find(Repairable, file, "is missing")
			continue
		case err != nil && !errors.Is(err, vfs.ErrTooLong) && !errors.Is(err, io.ErrUnexpectedEOF) && !unreadable(err):
			return nil, err
		}
		in.Bytes += int64(len(b))
		c := NewMemoryConsumer(nil)
		c.files = f
		if err = c.decode(b); errors.Is(err, ErrKey) {
			in.Locked = true
			find(Note, file, "cannot be opened with the keys given: only its sum is checked")
		} else if err != nil {
			torn++
			find(Repairable, file, "this copy of the consumer's state is not valid")
		} else {
			good = append(good, c)
		}
	}
	switch {
	case len(good) == 2 && good[0].generation != good[1].generation:
		find(Note, files[1], "holds checkpoint %d, the other copy %d: the last one was interrupted", good[1].generation, good[0].generation)
	case len(good) == 0 && !in.Locked && torn == 1 && missing == 1:
		// OpenConsumer takes this for a first checkpoint cut short: all is in the log.
	case len(good) == 0 && !in.Locked:
		find(Damage, files[0], "no copy of the consumer's state can be used: it cannot be opened")
	}
	for _, c := range good {
		if c.generation >= in.Generation {
			in.Generation, in.Position = c.generation, c.position
			in.Delivered, in.AckFloor, in.Pending = c.delivered, c.floor, c.AllPending(nil)
		}
	}
	return in, nil
}
