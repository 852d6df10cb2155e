package logging

import (
	"io"
	"os"
)

// keptQueueMax is the largest queue buffer kept once it has been written out.
const keptQueueMax = 256 << 10

// write is the writer goroutine: it takes all that is queued, writes it with one
// call, then runs the controls queued behind it.
func (l *Logger) write() {
	defer close(l.done)
	var spare []byte
	for range l.doorbell {
		for {
			l.mu.Lock()
			batch, change, controls, closing := l.queue, l.change, l.controls, l.closing
			l.queue, l.change, l.controls = spare[:0], nil, nil
			l.mu.Unlock()

			if change != nil {
				l.switchTo(change)
			}
			l.offer(l.appendDropNotice(batch))
			for _, run := range controls {
				run()
			}
			if spare = batch; cap(spare) > keptQueueMax {
				spare = nil
			}
			if len(batch) == 0 && len(controls) == 0 && change == nil {
				if closing {
					l.closeSink()
					return
				}
				break
			}
		}
	}
}

// switchTo ends the old sink with the lines queued for it.
func (l *Logger) switchTo(c *change) {
	l.offer(l.appendDropNotice(c.before))
	l.closeSink()
	l.dest = c.dest
	l.rotateFull()
	close(c.done)
}

// appendDropNotice adds a line about lines refused since the last notice.
func (l *Logger) appendDropNotice(batch []byte) []byte {
	total := l.dropped.Load()
	if total == l.reported {
		return batch
	}
	n := total - l.reported
	l.reported = total
	batch, _ = l.dest.layout.appendLine(batch, levelWarn, "Log sink too slow, %d lines dropped (%d in total)", []any{n, total})
	return batch
}

func (l *Logger) offer(batch []byte) {
	if len(batch) == 0 {
		return
	}
	if _, err := l.dest.sink.Write(batch); err != nil {
		l.failed.Add(1)
	}
}

// rotateFull rotates a log file that is beyond its limit from the start, by the
// line that announces it. It runs on the writer, or before there is one.
func (l *Logger) rotateFull() {
	if f := l.dest.file; f != nil && f.isFull() {
		line, _ := l.dest.layout.appendLine(nil, levelNotice, "Rotating logfile...", nil)
		l.offer(line)
	}
}

// swapFile runs on the writer.
func (l *Logger) swapFile() error {
	if l.dest.file == nil {
		return nil // changed to another sink since Reopen looked
	}
	if err := l.dest.file.reopen(); err != nil {
		return err
	}
	l.rotateFull()
	return nil
}

func (l *Logger) closeSink() {
	if err := l.dest.close(); err != nil {
		l.failed.Add(1)
	}
}

// close closes a sink that was opened here; other streams are not ours to close.
func (d destination) close() error {
	if c, ok := d.sink.(io.Closer); ok && d.owned {
		return c.Close()
	}
	return nil
}

// isTerminal reports whether f is a character device, which is the test the
// reference makes before it colours labels.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
