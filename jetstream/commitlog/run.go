package commitlog

import (
	"errors"
	"time"
)

// Start runs the log on two goroutines of its own until Close: the committer,
// which writes batches, and the preparer of segments.
func (l *Log) Start() {
	l.running.Add(2)
	go l.loop(l.commit, l.Step)
	go l.loop(l.preparer, l.Prepare)
	l.mu.Lock()
	l.timer = time.AfterFunc(time.Hour, l.onTimer)
	l.arm()
	l.wake()
	l.mu.Unlock()
}

// loop does work until there is none, then waits for the bell.
func (l *Log) loop(b bell, work func() bool) {
	defer l.running.Done()
	for {
		for work() {
		}
		select {
		case <-b:
		case <-l.stop:
			return
		}
	}
}

// TickAfter is when Tick should be called next, 0 if there is no need. Start
// takes care of it.
func (l *Log) TickAfter() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.tickAfter()
}

func (c *core) tickAfter() time.Duration {
	switch {
	case c.stopped != nil:
		return 0
	case c.options.SyncInterval > 0 && c.active().dirty:
		return c.options.SyncInterval
	case c.options.SettleAfter > 0 && c.recordEnd > c.evidence:
		return c.options.SettleAfter
	}
	return 0
}

// Tick syncs what is written if there is a sync interval, and settles a log that
// has been idle since the last Tick.
func (l *Log) Tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.core
	if c.options.SyncInterval > 0 && c.active().dirty {
		c.syncDue = true
	} else {
		c.settleDue = c.stats.Batches == l.batches
	}
	l.batches = c.stats.Batches
	l.wake()
}

// arm starts the timer if it should run and does not; the lock is held.
func (l *Log) arm() {
	if l.timer == nil || l.armed || l.closing {
		return
	}
	if after := l.core.tickAfter(); after > 0 {
		l.armed = true
		l.batches = l.core.stats.Batches
		l.timer.Reset(after)
	}
}

func (l *Log) onTimer() {
	l.Tick()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.arm()
}

// Close writes and syncs what was appended, delivers the last events, notes
// where the log ends and closes the files. It returns the error the log stopped
// with, if it has.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closing = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	close(l.stop)
	l.running.Wait()
	l.mu.Lock()
	l.core.syncDue, l.core.settleDue = true, false
	l.mu.Unlock()
	for l.Step() {
	}
	return l.closeFiles()
}

// closeFiles notes a clean end, unless the log has stopped, and closes.
func (l *Log) closeFiles() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, f := l.core, l.files
	err := c.stopped
	if err == nil {
		m := f.meta
		m.clean, m.chain, m.first = c.end, c.chain, c.first()
		if err = f.writeMeta(m); err != nil {
			c.stop(err)
		}
	}
	segments := append(append([]*segment(nil), c.live...), c.free...)
	if c.ready != nil {
		segments = append(segments, c.ready)
	}
	for _, s := range segments {
		err = errors.Join(err, s.file.Close())
	}
	err = errors.Join(err, f.metaFile.Close(), l.lock.Close())
	if c.stopped == nil {
		c.stopped = ErrClosed
	}
	return err
}
