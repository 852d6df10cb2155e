package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/inspect"
	"peregrine/jetstream/store"
)

func parseKey(fields []string) (k store.Key, ok bool) {
	if len(fields) != 2 {
		return k, false
	}
	switch strings.ToLower(fields[0]) {
	case "chacha":
		k.Cipher = store.ChaCha
	case "aes":
		k.Cipher = store.AES
	default:
		return k, false
	}
	b, err := hex.DecodeString(fields[1])
	return k, err == nil && copy(k.Secret[:], b) == len(k.Secret) && len(b) == len(k.Secret)
}

// print shows a report.
func (r *storeRun) print(report *inspect.Report) error {
	if r.json && r.verb != "dump" {
		out := json.NewEncoder(r.stdout)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	w := &errWriter{w: r.stdout}
	if r.verb == "dump" {
		if r.json {
			return nil // what was found is in no line of a dump
		}
		w.w = r.stderr
	}
	if r.verb == "stats" {
		printParts(w, report)
	}
	if r.verb == "repair" {
		printChanges(w, report)
	}
	printFindings(w, report)
	if r.verb != "dump" {
		printVerdict(w, report)
	}
	return w.err
}

// errWriter remembers the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.w, format+"\n", args...)
	}
}

func printFindings(w *errWriter, report *inspect.Report) {
	for _, f := range report.Findings {
		place := f.File
		if f.Offset >= 0 {
			place = fmt.Sprintf("%s at %d", f.File, f.Offset)
		}
		lost := ""
		switch {
		case f.LastLost > f.FirstLost:
			lost = fmt.Sprintf(" (messages %d to %d)", f.FirstLost, f.LastLost)
		case f.FirstLost > 0:
			lost = fmt.Sprintf(" (message %d)", f.FirstLost)
		}
		w.line("%-10s %s: %s%s", f.Severity, place, f.Text, lost)
	}
	if report.Omitted > 0 {
		w.line("… and %d more", report.Omitted)
	}
}

func printVerdict(w *errWriter, r *inspect.Report) {
	messages := uint64(0)
	for _, s := range r.Streams {
		messages += s.Messages
	}
	verdict := "sound"
	switch r.Severity() {
	case store.Repairable:
		verdict = "will be repaired by the next start, nothing is lost"
	case store.Damage:
		verdict = "DAMAGED"
	}
	w.line("%d streams, %d consumers, %d logs, %d messages in checkpoints, %s read: %s",
		len(r.Streams), len(r.Consumers), len(r.Logs), messages, bytesText(r.Bytes), verdict)
}

func printParts(w *errWriter, r *inspect.Report) {
	for _, l := range r.Logs {
		free := 0
		size := int64(0)
		for _, s := range l.Segments {
			size += s.Size
			if s.Free {
				free++
			}
		}
		w.line("log %s: %s in %d files (%d free), %d records from %s to %s, %d owners, clean %v", l.Dir, bytesText(size),
			len(l.Segments), free, l.Records, l.First, l.End, len(l.Owners), l.Clean)
	}
	if len(r.Streams) > 0 {
		w.line("%-42s %12s %12s %12s %10s %8s %9s %6s %s", "stream", "messages", "first", "last", "deleted", "blocks", "on disk", "live", "log position")
	}
	for _, s := range r.Streams {
		live := 100.0
		if s.Held > 0 {
			live = 100 * float64(s.Live) / float64(s.Held)
		}
		name := s.Dir
		if s.Locked {
			name += " (locked)"
		}
		w.line("%-42s %12d %12d %12d %10d %8d %9s %5.0f%% %s", name, s.Messages, s.First, s.Last, s.Deleted, s.Blocks, bytesText(s.OnDisk), live, s.Position)
	}
	if len(r.Consumers) > 0 {
		w.line("%-60s %12s %12s %12s %9s %s", "consumer", "delivered", "deliveries", "ack floor", "pending", "log position")
	}
	for _, c := range r.Consumers {
		w.line("%-60s %12d %12d %12d %9d %s", c.Name, c.Delivered, c.Deliveries, c.AckFloor, c.Pending, c.Position)
	}
}

func printChanges(w *errWriter, r *inspect.Report) {
	o := r.Opened
	if o.Error != "" {
		w.line("The next start will fail: %s", o.Error)
	} else {
		w.line("The next start will find %d streams, %d consumers and %d messages, %d records of them in the log alone.",
			o.Streams, o.Consumers, o.Messages, o.Replayed)
	}
	for _, c := range o.Changes {
		text := c.File
		if c.From != "" && c.Kind == "rename" {
			text = c.From + " to " + c.File
		}
		for i, g := range c.Ranges {
			if i == 4 {
				text += fmt.Sprintf(" and %d more", len(c.Ranges)-i)
				break
			}
			text += fmt.Sprintf(" [%d, %d)", g[0], g[1])
		}
		w.line("would %s %s", c.Kind, text)
	}
}

// dump writes records, one a line.
func (r *storeRun) dump(d *inspect.Directory, o inspect.Options) (*inspect.Report, error) {
	sink := inspect.Sink{Message: func(stream, file string, offset int64, m *store.Message, live bool) error {
		if uint64(m.Seq) < r.from || uint64(m.Seq) > r.to {
			return nil
		}
		return r.dumpMessage(stream, file, offset, m, live)
	}}
	if !r.noLog {
		sink.Record = r.dumpRecord
	}
	return d.Dump(o, sink)
}

// dumpedMessage is a message as a line of JSON.
type dumpedMessage struct {
	Stream  string `json:"stream"`
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Seq     uint64 `json:"seq"`
	Time    string `json:"time"`
	Subject string `json:"subject"`
	TTL     uint32 `json:"ttl,omitempty"`
	Header  []byte `json:"header,omitempty"` // base64
	Size    int    `json:"size"`
	Payload []byte `json:"payload,omitempty"` // base64, when asked for
	Live    bool   `json:"live"`
}

func (r *storeRun) dumpMessage(stream, file string, offset int64, m *store.Message, live bool) error {
	at := time.Unix(0, m.Time).UTC().Format(time.RFC3339Nano)
	if r.json {
		d := dumpedMessage{Stream: stream, File: file, Offset: offset, Seq: uint64(m.Seq), Time: at, Subject: string(m.Subject),
			TTL: m.TTL, Header: m.Header, Size: len(m.Payload), Live: live}
		if r.payload {
			d.Payload = m.Payload
		}
		return json.NewEncoder(r.stdout).Encode(d)
	}
	state := "live"
	if !live {
		state = "gone"
	}
	text := fmt.Sprintf("%s at %d: %s %d %s %q header %d payload %d", file, offset, state, m.Seq, at, m.Subject, len(m.Header), len(m.Payload))
	if r.payload {
		text += fmt.Sprintf(" %q", m.Payload)
	}
	_, err := fmt.Fprintln(r.stdout, text)
	return err
}

// dumpedRecord is a record of the log as a line of JSON.
type dumpedRecord struct {
	File      string `json:"file"`
	Offset    int64  `json:"offset"`
	Owner     string `json:"owner"`
	Kind      uint8  `json:"kind"`
	Forwarded bool   `json:"forwarded,omitempty"`
	Dropped   bool   `json:"dropped,omitempty"`
	Size      int    `json:"size"`
	Text      string `json:"text"`
}

func (r *storeRun) dumpRecord(file string, rec commitlog.Record, text string) error {
	d := dumpedRecord{File: file, Offset: rec.Position.Offset(), Owner: fmt.Sprintf("%016x", uint64(rec.Owner)), Kind: uint8(rec.Kind),
		Forwarded: rec.Forwarded, Dropped: rec.Dropped, Size: len(rec.Data), Text: text}
	if r.json {
		return json.NewEncoder(r.stdout).Encode(d)
	}
	_, err := fmt.Fprintf(r.stdout, "%s at %d: owner %s %s\n", file, d.Offset, d.Owner, text)
	return err
}

// progress shows how far a pass is, on a terminal several times a second.
type progress struct {
	w     io.Writer
	every time.Duration // 0: say nothing
	last  time.Time
	shown bool
	line  bool // a terminal: the line is written over
}

func newProgress(w io.Writer, off bool) *progress {
	p := &progress{w: w, every: 10 * time.Second, last: time.Now()}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.line, p.every = true, 200*time.Millisecond
		}
	}
	if off {
		p.every = 0
	}
	return p
}

func (p *progress) show(done, total int64, at string) {
	if p.every == 0 || time.Since(p.last) < p.every {
		return
	}
	p.last, p.shown = time.Now(), true
	text := fmt.Sprintf("%s of %s, %.0f %%: %s", bytesText(done), bytesText(total), 100*float64(done)/float64(max(total, 1)), at)
	if p.line {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	} else {
		fmt.Fprintln(p.w, text)
	}
}

func (p *progress) end() {
	if p.line && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
