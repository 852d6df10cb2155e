package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"peregrine/jetstream/store/seqset"
	"peregrine/vfs"
)

// A Report is what Open found.
type Report struct {
	// Fresh tells that there was nothing: a new stream was made.
	Fresh bool
	// Position is where replay of the log begins.
	Position uint64
	// Lost are messages that were there and cannot be read. Load of them answers
	// ErrCorrupt.
	Lost []seqset.Range
	// Damage says what was found broken, with file and offset.
	Damage []error
	// Quarantined are files that nothing refers to, moved to the folder quarantine.
	Quarantined []string
}

// quarantineDir is where files without an owner go.
const quarantineDir = "quarantine"

// Open opens or makes a stream in files. It reads its state, the columns of its
// blocks and the records that columns do not cover; streams may be opened in
// parallel. The caller then replays the log from Report.Position before it does
// anything else; a log that begins later than that has lost something. Errors:
// ErrCorrupt if neither copy of the state is good, ErrKey,
// those of the file system.
func Open(o Options, f Files) (*Stream, *Report, error) {
	s := newStream(o)
	s.disk = &disk{files: f.withDefaults(), erasing: map[*block]bool{}}
	r := &Report{}
	body, found, err := s.readState()
	if err != nil {
		return nil, nil, err
	}
	if !found {
		r.Fresh = true
		err := s.create()
		s.setDirect()
		return s, r, err
	}
	if err := s.decodeState(body); err != nil {
		return nil, nil, fmt.Errorf("store: state of %s: %w", s.files.Dir, err)
	}
	if err := s.setKeys(); err != nil {
		return nil, nil, err
	}
	r.Position = s.position
	if err := s.tidyFolder(r); err != nil {
		return nil, nil, err
	}
	if err := s.loadBlocks(r); err != nil {
		s.Close()
		return nil, nil, err
	}
	s.setDirect()
	s.ageFrom = s.first
	return s, r, nil
}

// setKeys prepares codec after the state was read. A stream in the clear gets a
// key if there is one to keep it with, and is rewritten by compaction.
func (s *Stream) setKeys() (err error) {
	s.disk.bind = s.identity
	if s.key.Cipher == NoCipher && len(s.files.Keys) > 0 {
		if err := s.newKey(); err != nil {
			return err
		}
		for _, b := range s.blocks {
			s.erasing[b] = true
		}
		s.stale = true
	}
	s.codec, err = s.newFormat()
	return err
}

func (s *Stream) random() io.Reader {
	if s.files.Random != nil {
		return s.files.Random
	}
	return rand.Reader
}

func (s *Stream) newKey() error {
	s.key.Cipher = s.files.Keys[0].Cipher
	if _, err := io.ReadFull(s.random(), s.key.Secret[:]); err != nil {
		return fmt.Errorf("store: random: %w", err)
	}
	return nil
}

// create makes a new stream durable: its identity must be known before the first
// record is logged.
func (s *Stream) create() error {
	var id [8]byte
	if _, err := io.ReadFull(s.random(), id[:]); err != nil {
		return fmt.Errorf("store: random: %w", err)
	}
	s.identity = little.Uint64(id[:])
	s.disk.bind = s.identity
	s.last = max(s.options.FirstSeq, 1) - 1
	s.first = s.last + 1
	if len(s.files.Keys) > 0 {
		if err := s.newKey(); err != nil {
			return err
		}
	}
	var err error
	if s.codec, err = s.newFormat(); err != nil {
		return err
	}
	if s.options.Log != nil {
		s.position = s.options.Log.Committed() // the end may be lost in a crash, and be reached again
	}
	s.generation = 1
	content, err := s.encodeState(s.appendState(nil, s.position), s.generation)
	if err == nil {
		err = createFolder(s.files, content)
	}
	if err != nil {
		return fmt.Errorf("store: create %s: %w", s.files.Dir, err)
	}
	return nil
}

// createFolder makes the stream's folder so that after a crash it is there with
// both copies of the state or not at all.
func createFolder(f Files, state []byte) error {
	j := &Job{files: f}
	j.files.Dir += ".new"
	if err := vfs.RemoveAll(f.FS, j.files.Dir); err != nil {
		return err
	}
	if err := f.FS.MkdirAll(j.files.Dir); err != nil {
		return err
	}
	if err := j.writeState(state); err != nil {
		return err
	}
	if err := f.FS.SyncDir(j.files.Dir); err != nil {
		return err
	}
	if err := f.FS.Rename(j.files.Dir, f.Dir); err != nil {
		return err
	}
	return f.FS.SyncDir(path.Dir(f.Dir))
}

// tidyFolder removes what the last checkpoint did without and moves away what
// nobody knows.
func (s *Stream) tidyFolder(r *Report) error {
	j := &Job{files: s.files}
	if err := j.remove(s.garbage); err != nil {
		return err
	}
	s.garbage = nil
	known := map[string]bool{stateNames[0]: true, stateNames[1]: true, quarantineDir: true}
	blocks := map[uint32]*block{}
	for _, b := range s.blocks {
		known[b.fileName()] = true
		blocks[b.id] = b
	}
	entries, err := s.files.FS.List(s.files.Dir)
	if err != nil {
		return fmt.Errorf("store: list %s: %w", s.files.Dir, err)
	}
	next := s.nextBlock
	for _, e := range entries {
		if known[e.Name] || s.unfinished(e.Name, next, blocks) {
			continue
		}
		if err := s.quarantine(e.Name); err != nil {
			return err
		}
		r.Quarantined = append(r.Quarantined, e.Name)
	}
	return nil
}

// unfinished tells whether a name is of a block or generation that was begun after
// the last checkpoint: what it holds is in the log or in the generation before.
// The next checkpoint does without it, and until then nothing takes its name.
func (s *Stream) unfinished(name string, next uint32, blocks map[uint32]*block) bool {
	id, generation, ok := blockOfName(name)
	if !ok {
		return false
	}
	b := blocks[id]
	switch {
	case id >= next && id < 1<<32-1:
		s.nextBlock = max(s.nextBlock, id+1)
	case b != nil && generation > b.generation:
		b.tried = max(b.tried, generation)
	default:
		return false
	}
	s.garbage = append(s.garbage, garbage{name: name, wipe: true})
	return true
}

// quarantine moves away a file that nobody knows.
func (s *Stream) quarantine(name string) error {
	to, err := s.files.setAside(name)
	if err != nil {
		return fmt.Errorf("store: quarantine %s: %w", name, err)
	}
	s.files.Logf("store: %s: nobody knows %s: moved to %s", s.files.Dir, name, to)
	return nil
}

// setAside moves a file of a stream's folder to quarantine, where a crash does not
// lose it, and returns its new name.
func (f Files) setAside(name string) (to string, err error) {
	target := path.Join(f.Dir, quarantineDir)
	if err := f.FS.MkdirAll(target); err != nil {
		return "", err
	}
	if err := f.FS.SyncDir(f.Dir); err != nil {
		return "", err
	}
	to = path.Join(target, name)
	for i := 1; ; i++ {
		if _, err := f.FS.Stat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		to = path.Join(target, fmt.Sprintf("%s.%d", name, i))
	}
	if err := f.FS.Rename(path.Join(f.Dir, name), to); err != nil {
		return "", err
	}
	return to, f.FS.SyncDir(target)
}

// isBroken tells damage from trouble that may pass.
func isBroken(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, vfs.ErrFault) || errors.Is(err, fs.ErrNotExist)
}
