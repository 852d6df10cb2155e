package logging

import (
	"encoding/json"
	"hash/maphash"
	"strings"
	"time"
)

const (
	// repeatWindow is how long a text is remembered.
	repeatWindow = time.Second
	// repeatBurst is how many lines with the same text are written in a window.
	repeatBurst = 10
	// repeatTextsMax bounds the texts remembered: more different ones in a window
	// are no repetition.
	repeatTextsMax = 1024
	// repeatShown is how many bytes of a repeated text the summary shows.
	repeatShown = 256
)

// repeats counts the lines of one window by text. Guarded by Logger.mu.
type repeats struct {
	seed  maphash.Seed
	began time.Time
	texts map[uint64]repeat // by level and text
	left  []uint64          // those with lines left out, in order
}

type repeat struct {
	count int
	lv    level
	text  string // once a line was left out
}

// isLimited reports whether lines of a level may be left out: those that a peer
// can provoke in numbers while nobody asked for detail.
func isLimited(lv level) bool { return lv <= levelError }

// isRepeat counts a line and reports whether it is to be left out. text is the
// line from its text on, in the form y. mu is held.
func (l *Logger) isRepeat(y *layout, lv level, text []byte) bool {
	r := &l.repeats
	now := time.Now()
	if r.texts == nil {
		r.seed, r.texts = maphash.MakeSeed(), make(map[uint64]repeat)
	}
	if now.Sub(r.began) >= repeatWindow && len(r.left) == 0 {
		clear(r.texts)
		r.began = now
	}
	key := maphash.Bytes(r.seed, text) + uint64(lv)
	one, known := r.texts[key]
	if !known && len(r.texts) >= repeatTextsMax {
		return false
	}
	one.count++
	one.lv = lv
	if one.count == repeatBurst+1 {
		one.text = y.shown(text)
		r.left = append(r.left, key)
		if len(r.left) == 1 {
			time.AfterFunc(repeatWindow-min(now.Sub(r.began), repeatWindow), l.endRepeats)
		}
	}
	r.texts[key] = one
	return one.count > repeatBurst
}

// endRepeats ends the window and tells what was left out in it.
func (l *Logger) endRepeats() {
	l.mu.Lock()
	r := &l.repeats
	told := make([]repeat, len(r.left))
	for i, key := range r.left {
		told[i] = r.texts[key]
	}
	r.left = r.left[:0]
	clear(r.texts)
	r.began = time.Now()
	l.mu.Unlock()
	for _, one := range told {
		l.put(one.lv, "Left out %d repeats of: %s", []any{one.count - repeatBurst, one.text})
	}
}

// shown returns the beginning of a line's text, whose escapes are undone as far
// as writing it again needs.
func (y *layout) shown(text []byte) string {
	s := strings.TrimSuffix(string(text), "\n")
	if y.json {
		var plain string
		if err := json.Unmarshal([]byte(`"`+strings.TrimSuffix(s, `}`)), &plain); err == nil {
			s = plain
		}
	}
	if len(s) > repeatShown {
		s = s[:repeatShown] + "..."
	}
	return s
}
