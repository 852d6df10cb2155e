package logging

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// logFileMode lets the group read, as the reference does.
const logFileMode = 0o640

// backupStamp is what a rotation appends to the name of a log file: local time to
// the nanosecond.
const backupStamp = ".2006.01.02.15.04.05.000000000"

// logFile is a sink that puts itself aside when it is full. It belongs to the
// writer.
//
//	path ──full──▶ path.2026.01.02.15.04.05.123456789     oldest removed beyond filesMax
//	      new path: Rotated log, backup saved as "path.2026…"
type logFile struct {
	path     string
	layout   *layout
	sizeMax  int64 // bytes; 0 is no limit
	filesMax int64 // 0 is no limit

	file    *os.File
	size    int64 // bytes
	limit   int64 // sizeMax, more after a rotation that failed; 0 is none
	failure error // of the line being written
}

func openFile(o Options) (destination, error) {
	f := &logFile{path: o.File, layout: newLayout(o, false), sizeMax: o.SizeLimit, filesMax: o.FilesMax}
	if err := f.reopen(); err != nil {
		return destination{}, fmt.Errorf("error opening file: %w", err)
	}
	return destination{sink: f, layout: f.layout, file: f, owned: true}, nil
}

// reopen opens the path and closes what was open before. On an error that stays
// open.
func (f *logFile) reopen() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, logFileMode)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if f.file != nil {
		f.note(f.file.Close())
	}
	f.file, f.size, f.limit = file, info.Size(), f.sizeMax
	if !info.Mode().IsRegular() {
		f.limit = 0 // a pipe or a device has no name of its own to give away
	}
	return nil
}

func (f *logFile) isFull() bool { return f.limit > 0 && f.size > f.limit }

// note keeps the first error of a Write.
func (f *logFile) note(err error) {
	if f.failure == nil {
		f.failure = err
	}
}

// Write implements io.Writer for whole lines. The line that takes the file beyond
// its limit is the last one in it.
func (f *logFile) Write(lines []byte) (int, error) {
	f.failure = nil
	written := 0
	for written < len(lines) {
		part := lines[written:]
		if f.limit > 0 && f.size+int64(len(part)) > f.limit {
			part = part[:f.endOfFull(part)]
		}
		f.append(part)
		written += len(part)
		if f.isFull() {
			f.rotate()
		}
	}
	return written, f.failure
}

// endOfFull returns where the line ends that takes the file beyond its limit.
func (f *logFile) endOfFull(lines []byte) int {
	end := 0
	if left := f.limit - f.size; left > 0 {
		end = int(left)
	}
	if end >= len(lines) {
		return len(lines)
	}
	if i := bytes.IndexByte(lines[end:], '\n'); i >= 0 {
		return end + i + 1
	}
	return len(lines)
}

func (f *logFile) append(b []byte) {
	n, err := f.file.Write(b)
	f.size += int64(n)
	f.note(err)
}

// rotate puts the file aside. When that fails the file is used on.
func (f *logFile) rotate() {
	backup := f.path + time.Now().Format(backupStamp)
	if err := os.Rename(f.path, backup); err != nil {
		f.postpone("Unable to rename logfile for rotation (%v), will attempt next rotation at size %v", err)
		return
	}
	if err := f.reopen(); err != nil {
		f.note(os.Rename(backup, f.path))
		f.postpone("Unable to open logfile after rotation (%v), will attempt next rotation at size %v", err)
		return
	}
	f.say(levelNotice, "Rotated log, backup saved as %q", backup)
	if f.filesMax > 0 {
		f.purge()
	}
}

func (f *logFile) postpone(format string, err error) {
	f.limit = max(2*f.limit, f.size)
	f.say(levelError, format, err, f.limit)
}

// say writes a line from inside a rotation, with the line end that the reference
// gives those.
func (f *logFile) say(lv level, format string, args ...any) {
	line, _ := f.layout.appendLine(nil, lv, format, args)
	if !f.layout.json {
		line = append(line[:len(line)-1], "\r\n"...)
	}
	f.append(line)
}

// purge removes the oldest files put aside.
func (f *logFile) purge() {
	folder, name := filepath.Split(f.path)
	if folder == "" {
		folder = "."
	}
	entries, err := os.ReadDir(folder) // by name, and so by age
	if err != nil {
		f.say(levelError, "Unable to read directory %q for log purge (%v), will attempt next rotation", folder, err)
		return
	}
	var backups []string
	for _, entry := range entries {
		stamp, ok := strings.CutPrefix(entry.Name(), name)
		if !ok || entry.IsDir() {
			continue
		}
		if _, err := time.Parse(backupStamp, stamp); err == nil {
			backups = append(backups, entry.Name())
		}
	}
	excess := int64(len(backups)) - (f.filesMax - 1)
	for i := int64(0); i < excess; i++ {
		if err := os.Remove(filepath.Join(folder, backups[i])); err != nil {
			f.say(levelError, "Unable to remove backup log file %q (%v), will attempt next rotation", backups[i], err)
			return
		}
		f.say(levelNotice, "Purged log file %q", backups[i])
	}
}

// Close implements io.Closer.
func (f *logFile) Close() error { return f.file.Close() }
