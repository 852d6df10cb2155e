package commitlog

// A Report is what Open found.
type Report struct {
	// Identity is the log's random number. Positions mean nothing in a log with
	// another one, so checkpoints should carry it.
	Identity uint64

	Fresh   bool     // the log was made
	Clean   bool     // it had been closed
	Epoch   uint64   // how often it has been opened, this time included
	First   Position // where its oldest segment begins
	End     Position // where it ends
	Records int      // delivered to Replay, those of dropped owners included

	// Torn tells that the last batch had not reached the disk whole. What of it
	// had was replayed; it was never committed unless there was damage.
	Torn bool
	// Damages are the ranges that hold what was lost, oldest first.
	Damages []Damage
	// MetadataLost tells that no copy of the metadata was valid. They were made
	// from the segments; records that nobody needed may have been replayed again.
	MetadataLost bool
	// Repaired are headers and metadata of which one copy was bad.
	Repaired []string
	// Quarantined are files that could not be told to be ours; they were moved.
	Quarantined []string
	// Segments are the files, by segment number.
	Segments []SegmentReport
	// Owners have records in the log and were not dropped, by number. Each pins
	// its oldest record until it is claimed and states its need.
	Owners []OwnerReport
}

// A SegmentReport tells of one file of the log.
type SegmentReport struct {
	File    string // name in the log's directory
	Segment uint64 // the upper half of the positions in it
	Size    int64
	Used    int64 // bytes up to which it is written; for a free one, none
	Free    bool  // holds nothing that is needed
}

// An OwnerReport tells of an owner's records in the log.
type OwnerReport struct {
	Owner       OwnerID
	First, Last Position
	Records     int
}

// Stats counts what a Log did since Open, and what it holds.
type Stats struct {
	Batches  uint64 // written
	Records  uint64 // written
	Bytes    uint64 // written, with padding
	Syncs    uint64
	Rolls    uint64 // segments begun
	Recycled uint64 // segments that became free

	Segments  int      // that hold records
	Free      int      // that hold none
	LiveBytes int64    // size of the segments that hold records
	First     Position // where the oldest segment begins
	Committed Position
}
