package harness

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// logLinesMax bounds what is kept of one server's log.
const logLinesMax = 200_000

// Log collects a server's output, line by line.
type Log struct {
	mu      sync.Mutex
	lines   []string
	dropped int // lines no longer kept
	closed  bool
	changed chan struct{} // closed and replaced on every change
}

func newLog() *Log { return &Log{changed: make(chan struct{})} }

// consume reads r to its end.
func (l *Log) consume(r io.Reader) {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			l.append(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.announce()
}

func (l *Log) append(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == logLinesMax {
		half := logLinesMax / 2
		l.lines = append(l.lines[:0], l.lines[half:]...)
		l.dropped += half
	}
	l.lines = append(l.lines, line)
	l.announce()
}

// announce wakes everyone in Await. The caller holds mu.
func (l *Log) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Lines returns a copy of the lines kept so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// Count says how many kept lines match pattern.
func (l *Log) Count(pattern string) int {
	re := regexp.MustCompile(pattern)
	n := 0
	for _, line := range l.Lines() {
		if re.MatchString(line) {
			n++
		}
	}
	return n
}

// Await returns the submatches of the first line that matches pattern. ok is
// false when the log ended or limit passed without one.
func (l *Log) Await(pattern string, limit time.Duration) (match []string, ok bool) {
	re := regexp.MustCompile(pattern)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	next := 0 // counted from the log's start, dropped lines included
	for {
		l.mu.Lock()
		fresh := l.lines[max(0, next-l.dropped):]
		next = l.dropped + len(l.lines)
		for _, line := range fresh {
			if match := re.FindStringSubmatch(line); match != nil {
				l.mu.Unlock()
				return match, true
			}
		}
		closed, changed := l.closed, l.changed
		l.mu.Unlock()
		if closed {
			return nil, false
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, false
		}
	}
}

// Tail returns at most n of the newest lines as one text.
func (l *Log) Tail(n int) string {
	lines := l.Lines()
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Changed returns a channel that is closed when the log grows or ends.
func (l *Log) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}
