package logging

import (
	"io"
	"os"
)

// keptQueueMax is the largest queue buffer kept once it has been written out.
const keptQueueMax = 256 << 10

// logFileMode lets the group read, as the reference does.
const logFileMode = 0o640

// write is the writer goroutine: it takes all that is queued, writes it with one
// call, then runs the controls queued behind it.
func (l *Logger) write() {
	defer close(l.done)
	var spare []byte
	for range l.doorbell {
		for {
			l.mu.Lock()
			batch, controls, closing := l.queue, l.controls, l.closing
			l.queue, l.controls = spare[:0], nil
			l.mu.Unlock()

			l.offer(l.appendDropNotice(batch))
			for _, run := range controls {
				run()
			}
			if spare = batch; cap(spare) > keptQueueMax {
				spare = nil
			}
			if len(batch) == 0 && len(controls) == 0 {
				if closing {
					l.closeSink()
					return
				}
				break
			}
		}
	}
}

// appendDropNotice adds a line about lines refused since the last notice.
func (l *Logger) appendDropNotice(batch []byte) []byte {
	total := l.dropped.Load()
	if total == l.reported {
		return batch
	}
	n := total - l.reported
	l.reported = total
	return l.layout.appendLine(batch, levelWarn, "Log sink too slow, %d lines dropped (%d in total)", []any{n, total})
}

func (l *Logger) offer(batch []byte) {
	if len(batch) == 0 {
		return
	}
	if _, err := l.sink.Write(batch); err != nil {
		l.failed.Add(1)
	}
}

// swapFile runs on the writer.
func (l *Logger) swapFile() error {
	f, err := openFile(l.path)
	if err != nil {
		return err
	}
	l.closeSink()
	l.sink = f
	return nil
}

// closeSink closes a log file; streams are not ours to close.
func (l *Logger) closeSink() {
	if c, ok := l.sink.(io.Closer); ok && l.path != "" {
		if err := c.Close(); err != nil {
			l.failed.Add(1)
		}
	}
}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, logFileMode)
}

// isTerminal reports whether f is a character device, which is the test the
// reference makes before it colours labels.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
