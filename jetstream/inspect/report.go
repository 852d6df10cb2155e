package inspect

import (
	"cmp"
	"slices"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/jetstream/store/seqset"
)

// A Report is what was found in a directory. Its JSON is for scripts: fields are
// added, not renamed.
type Report struct {
	Sound     bool       `json:"sound"`
	Worst     string     `json:"worst"` // severity: note, repairable, damage; "" for no finding
	Bytes     int64      `json:"bytes_read"`
	Catalog   *Catalog   `json:"catalog,omitempty"`
	Logs      []Log      `json:"logs"`
	Streams   []Stream   `json:"streams"`
	Consumers []Consumer `json:"consumers"`
	Opened    *Opening   `json:"opening,omitempty"`
	Findings  []Finding  `json:"findings"`
	Omitted   int        `json:"findings_omitted,omitempty"`

	worst store.Severity
}

// A Finding is store.Finding for people and scripts.
type Finding struct {
	Severity string `json:"severity"`
	File     string `json:"file"`
	Offset   int64  `json:"offset"` // -1 for the whole file
	Text     string `json:"text"`
	// Messages of the stream that cannot be read, 0 for none.
	FirstLost uint64 `json:"first_lost,omitempty"`
	LastLost  uint64 `json:"last_lost,omitempty"`
}

// A Catalog is the list of what there is.
type Catalog struct {
	Locked    bool   `json:"locked,omitempty"`
	Streams   int    `json:"streams"`
	Consumers int    `json:"consumers"`
	Deleted   int    `json:"deleted,omitempty"`
	Position  string `json:"position"`
}

// A Log is a commit log.
type Log struct {
	Dir      string    `json:"dir"`
	Identity string    `json:"identity"`
	Clean    bool      `json:"clean"` // it was closed
	Torn     bool      `json:"torn"`  // its last batch was cut short
	First    string    `json:"first"` // positions: segment/offset
	End      string    `json:"end"`
	Records  int       `json:"records"`
	Segments []Segment `json:"segments"`
	Owners   []Owner   `json:"owners"`
}

// A Segment is one file of a log.
type Segment struct {
	File    string `json:"file"`
	Segment uint64 `json:"segment"`
	Size    int64  `json:"size"`
	Used    int64  `json:"used"`
	Free    bool   `json:"free,omitempty"`
}

// An Owner has records in a log.
type Owner struct {
	Owner   uint64 `json:"owner"`
	First   string `json:"first"`
	Last    string `json:"last"`
	Records int    `json:"records"`
}

// A Stream is a stream's folder at its checkpoint; the log may have more.
type Stream struct {
	Dir        string `json:"dir"`
	Locked     bool   `json:"locked,omitempty"` // encrypted, and no key fits
	Encrypted  bool   `json:"encrypted,omitempty"`
	Messages   uint64 `json:"messages"`
	Bytes      uint64 `json:"bytes"` // as reported to clients
	First      uint64 `json:"first"`
	Last       uint64 `json:"last"`
	Deleted    uint64 `json:"deleted"`
	Subjects   int    `json:"subjects,omitempty"` // by check alone
	Blocks     int    `json:"blocks"`
	Held       int64  `json:"record_bytes"`      // of all records
	Live       int64  `json:"live_record_bytes"` // of those that are there
	OnDisk     int64  `json:"chunk_bytes"`       // as stored
	Checkpoint uint64 `json:"checkpoint"`
	Position   string `json:"position"` // of the log
}

// A Consumer is the state of a consumer at its checkpoint.
type Consumer struct {
	Name       string `json:"name"`
	Locked     bool   `json:"locked,omitempty"`
	Delivered  uint64 `json:"delivered_stream_seq"`
	Deliveries uint64 `json:"delivered_consumer_seq"`
	AckFloor   uint64 `json:"ack_floor_stream_seq"`
	Pending    int    `json:"pending"`
	Position   string `json:"position"`
}

// An Opening is what the engine did when it opened the directory on an overlay.
type Opening struct {
	Error     string   `json:"error,omitempty"` // why it did not open
	Streams   int      `json:"streams"`
	Consumers int      `json:"consumers"`
	Messages  uint64   `json:"messages"`
	Replayed  int      `json:"log_records_replayed"`
	Changes   []Change `json:"changes"`
}

// A Change is a file that the engine changed, or would.
type Change struct {
	Kind   string     `json:"change"` // create, write, rename, remove
	File   string     `json:"file"`
	From   string     `json:"from,omitempty"` // its name before, if that differs
	Size   int64      `json:"size"`
	Ranges [][2]int64 `json:"ranges,omitempty"`
}

// findingsMax is how many findings a report keeps in all.
const findingsMax = 10_000

func (r *Report) add(list ...store.Finding) {
	for _, f := range list {
		r.worst = max(r.worst, f.Severity)
		r.Sound = r.worst == store.Note
		r.Worst = r.worst.String()
		if len(r.Findings) == findingsMax {
			r.Omitted++
			continue
		}
		r.Findings = append(r.Findings, Finding{Severity: f.Severity.String(), File: f.File, Offset: f.Offset, Text: f.Text,
			FirstLost: f.Lost.First, LastLost: f.Lost.Last})
	}
}

// Severity is that of the worst finding, Note without one.
func (r *Report) Severity() store.Severity { return r.worst }

// sort brings parts and findings into an order.
func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Offset, b.Offset))
	})
}

func finding(severity store.Severity, file string, offset int64, text string) store.Finding {
	return store.Finding{Severity: severity, File: file, Offset: offset, Text: text, Lost: seqset.Range{}}
}

func position(p uint64) string { return commitlog.Position(p).String() }
