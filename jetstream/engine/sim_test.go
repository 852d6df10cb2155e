package engine

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"peregrine/internal/seeds"
	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// sim is an engine on a disk in memory whose goroutines are steps of one loop. What
// each shard held after each of its changes is remembered, with the mark.
type sim struct {
	r       *rand.Rand
	options Options
	stream  StreamOptions
	e       *Engine
	now     int64
	apps    []*player
	made    map[ID]made // streams, with where it was logged
	unread  error       // a message could not be read
	doubt   error       // of a change that failed: whether it is in the log is open
}

// player is the application of one shard of a sim. It makes random changes.
type player struct {
	sim     *sim
	s       *Shard
	past    []moment
	durable Mark
	creates int // that are going on
	ops     int // still to do in this turn
}

// made is where the creation of a stream was logged.
type made struct {
	shard int
	mark  Mark
}

// moment is what a shard held when its newest record had a mark.
type moment struct {
	mark Mark
	dump string
}

func newSim(seed uint64) *sim {
	r := rand.New(rand.NewPCG(seed, 11))
	w := &sim{r: r, now: 1e18, made: map[ID]made{}}
	w.options = Options{Shards: 1 + r.IntN(2), Workers: 1, Random: seeds.Bytes{R: rand.New(rand.NewPCG(seed, 12))}}
	w.options.Log = commitlog.Options{Identity: seed, SettleAfter: -1, QueueBytes: 16 << 10, SegmentBytesMin: 16 << 10, SegmentBytesMax: 32 << 10,
		PressureBytes: 32 << 10, LiveBytesMax: 256 << 10}
	if seed%3 == 0 {
		w.options.Log.SyncInterval = time.Second
	}
	if c := store.Cipher(r.IntN(3)); c != store.NoCipher {
		w.options.Keys = []store.Key{store.DeriveKey(c, "secret", "engine", "")}
	}
	w.stream.FlushBytes = 1 + r.IntN(3000)
	w.stream.CacheBytes = 1 + r.IntN(4000)
	w.stream.Options.ChunkBytes = 256 << r.IntN(5)
	w.stream.Options.BlockBytes = w.stream.Options.ChunkBytes << r.IntN(4)
	w.stream.Compress = r.IntN(2) == 0
	if len(w.options.Keys) > 0 {
		w.stream.Keys = w.options.Keys
	}
	if seed%2 == 1 { // messages from some size on are put directly
		w.options.Keys, w.stream.Keys, w.stream.Compress = nil, nil, false
		w.stream.DirectBytes = 150 + r.IntN(200)
	}
	w.options.Stream = func(ID, []byte) StreamOptions { return w.stream }
	w.options.Consumer = func(ID, ID, []byte) []store.Key { return w.stream.Keys }
	return w
}

// open opens the engine and gives each shard a player.
func (w *sim) open(fsys vfs.FS) (*Report, error) {
	e, report, err := Open(fsys, w.options)
	if err != nil {
		return report, err
	}
	w.e, w.apps = e, nil
	for _, s := range e.shards {
		p := &player{sim: w, s: s}
		s.app = p
		p.note()
		p.durable = s.durable
		w.apps = append(w.apps, p)
	}
	return report, nil
}

// note remembers what the shard holds.
func (p *player) note() {
	dump, err := p.s.dump()
	if err != nil { // a fault hit this reading
		if dump, err = p.s.dump(); err != nil {
			p.sim.unread = err
			return
		}
	}
	if n := len(p.past); n > 0 && p.past[n-1].dump == dump {
		return
	}
	p.past = append(p.past, moment{p.s.mark, dump})
}

// dump is all that a shard holds, as text.
func (s *Shard) dump() (string, error) {
	var out []string
	for id, st := range s.streams {
		if st.owner == nil {
			continue
		}
		state, err := st.Messages.State()
		if err != nil {
			return "", err
		}
		out = append(out, fmt.Sprintf("%d %q %+v %+v", id, st.meta, state, st.Messages.Limits()))
		var m store.Message
		for next := store.Seq(1); ; next = m.Seq + 1 {
			err := st.Messages.LoadNext(store.Filter{}, next, &m)
			if errors.Is(err, store.ErrNotFound) {
				break
			}
			if err != nil {
				return "", err
			}
			out = append(out, fmt.Sprintf("%d %020d %s %q %d %08x %d", id, m.Seq, m.Subject, m.Header, len(m.Payload), crc32.ChecksumIEEE(m.Payload), m.Time))
		}
	}
	for id, c := range s.consumers {
		if c.owner != nil {
			out = append(out, fmt.Sprintf("%d of %d %q %+v %+v %+v", id, c.stream.id, c.meta, c.State.Delivered(), c.State.AckFloor(), c.State.AllPending(nil)))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n"), nil
}

func (p *player) Durable(m Mark) { p.durable = m }

// safe is the mark up to which a power cut must leave everything.
func (p *player) safe() Mark {
	if p.sim.options.Log.SyncInterval > 0 {
		return p.s.synced
	}
	return p.durable
}

func (p *player) Failed(_ *Stream, _ *Consumer, err error) { p.sim.fail(err) }

func (w *sim) fail(err error) {
	if w.doubt == nil {
		w.doubt = err
	}
}

func (p *player) Turn(int64) bool {
	for p.ops = p.sim.r.IntN(6); p.ops > 0; p.ops-- {
		p.change()
		p.note()
	}
	return false
}

// pick is a stream of the shard, by number and not by the order of a map.
func (p *player) pick() *Stream {
	if len(p.s.list) == 0 {
		return nil
	}
	ids := make([]ID, 0, len(p.s.list))
	for _, st := range p.s.list {
		ids = append(ids, st.id)
	}
	slices.Sort(ids)
	return p.s.streams[ids[p.sim.r.IntN(len(ids))]]
}

func (p *player) pickConsumer() *Consumer {
	var ids []ID
	for id := range p.s.consumers {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	return p.s.consumers[ids[p.sim.r.IntN(len(ids))]]
}

// change does one random thing.
func (p *player) change() {
	r := p.sim.r
	st := p.pick()
	if st == nil || (len(p.s.list) < 4 && r.IntN(12) == 0) {
		p.create()
		return
	}
	switch op := r.IntN(40); {
	case op < 24:
		p.append(st)
	case op < 27:
		state, _ := st.Messages.State()
		seq := state.First + store.Seq(r.Uint64N(uint64(state.Last-min(state.Last, state.First))+2))
		remove := st.Messages.Remove
		if r.IntN(3) == 0 {
			remove = st.Messages.Erase
		}
		p.check(remove(seq), store.ErrNotFound)
	case op < 28:
		_, err := st.Messages.Purge(store.Purge{Filter: store.NewFilter("a.*"), Keep: r.Uint64N(4)})
		p.check(err)
	case op < 29:
		state, _ := st.Messages.State()
		_, err := st.Messages.Compact(state.First + store.Seq(r.Uint64N(3)))
		p.check(err)
	case op < 30:
		state, _ := st.Messages.State()
		p.check(st.Messages.Truncate(state.Last-min(state.Last, store.Seq(r.Uint64N(2)))), store.ErrSequence)
	case op < 31:
		p.s.UpdateStream(st, fmt.Appendf(nil, "meta %d", r.IntN(1000)))
	case op < 33 && len(p.s.consumers) < 5:
		_, err := p.s.CreateConsumer(st, fmt.Appendf(nil, "consumer %d", r.IntN(1000)))
		p.check(err)
	case op < 37:
		p.step()
	case op < 38 && len(p.s.list) > 1:
		p.s.DeleteStream(st)
	case op < 39:
		if c := p.pickConsumer(); c != nil {
			p.s.DeleteConsumer(c)
		}
	default:
		p.check(st.Messages.SetLimits(store.Limits{MaxMsgs: 5 + r.Int64N(30), MaxMsgsPerSubject: r.Int64N(8)}))
	}
}

func (p *player) create() {
	if p.creates > 0 {
		return
	}
	p.creates++
	o := p.sim.stream
	if p.sim.r.IntN(2) == 0 {
		o.Options.Limits.MaxMsgs = 20
	}
	p.s.CreateStream(fmt.Appendf(nil, "new %d", p.sim.r.IntN(1000)), o, func(st *Stream, err error) {
		p.creates--
		p.check(err)
		if err == nil {
			p.sim.made[st.id] = made{p.s.index, p.s.mark}
		}
		p.note()
	})
}

func (p *player) append(st *Stream) {
	r := p.sim.r
	m := store.Message{Time: p.sim.now, Payload: make([]byte, r.IntN(400))}
	m.Subject = []byte([]string{"a.b", "a.c", "x", "y.z"}[r.IntN(4)])
	for i := range m.Payload {
		m.Payload[i] = byte(r.Uint32())
	}
	if r.IntN(3) == 0 {
		m.Header = fmt.Appendf(nil, "NATS/1.0\r\nX: %d\r\n\r\n", r.IntN(1000))
	}
	_, err := st.Messages.Append(&m)
	p.check(err)
}

// step is a step of a consumer.
func (p *player) step() {
	r := p.sim.r
	c := p.pickConsumer()
	if c == nil {
		return
	}
	d := c.State.Delivered()
	d.Delivery++
	d.Stream++
	ch := store.ConsumerChange{Delivered: d, AckFloor: c.State.AckFloor()}
	ch.Pending = []store.PendingMessage{{Stream: d.Stream, Delivery: d.Delivery, Time: p.sim.now, Deliveries: 1}}
	if r.IntN(2) == 0 {
		ch.Settled = []store.Seq{store.Seq(1 + r.Uint64N(uint64(d.Stream)))}
	}
	p.check(c.State.Apply(&ch))
}

// check notes an error that is none of those.
func (p *player) check(err error, allowed ...error) {
	for _, a := range allowed {
		if errors.Is(err, a) {
			return
		}
	}
	if err != nil {
		p.sim.fail(err)
	}
}

// play does so many rounds, or fewer if something fails.
func (w *sim) play(rounds int) error {
	for i := range rounds {
		if w.options.Log.SyncInterval > 0 && i%8 == 7 {
			w.e.log.Tick()
		}
		w.now += int64(time.Second) / 2
		for _, s := range w.e.shards {
			s.Step(w.now)
			w.apps[s.index].note()
		}
		for range w.r.IntN(5) {
			w.e.turn()
		}
		if w.doubt != nil {
			return w.doubt
		}
		if err := w.e.log.Err(); err != nil {
			return err
		}
	}
	return nil
}

// quiet is a player that makes no changes.
type quiet struct{ *player }

func (quiet) Turn(int64) bool { return false }

// settle lets everything that goes on come to its end, without new changes.
func (w *sim) settle() error {
	for range 2000 {
		for _, s := range w.e.shards {
			s.app = quiet{w.apps[s.index]}
			s.Step(w.now)
			s.app = w.apps[s.index]
		}
		if w.doubt != nil {
			return w.doubt
		}
		busy := false
		if w.options.Log.SyncInterval > 0 {
			w.e.log.Tick()
		}
		for w.e.turn() {
			busy = true
		}
		for _, s := range w.e.shards {
			busy = busy || s.running > 0 || len(s.due)+len(s.waiting)+len(s.batches) > 0 || s.synced < s.mark
		}
		if !busy {
			return nil
		}
	}
	return errors.New("no end")
}

// want is what each shard must hold at least, and may hold.
func (w *sim) want() [][]moment {
	var all [][]moment
	for _, p := range w.apps {
		if len(p.past) == 0 { // it crashed before it could be looked at
			return nil
		}
		from := 0
		for i, m := range p.past {
			if m.mark <= p.safe() {
				from = i
			}
		}
		all = append(all, p.past[from:])
	}
	return all
}

// verify opens a disk and tells whether it holds one of the states that are
// allowed, and still does after checkpoints and another crash.
func (w *sim) verify(disk *vfs.Mem, r *rand.Rand) error {
	want, doubt, durable := w.want(), w.doubt, w.durableStreams()
	shards := w.options.Shards
	for round := range 2 {
		w.doubt = nil
		report, err := w.open(disk)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		if len(report.Stores)+len(report.Broken)+len(report.Log.Damages) > 0 || slices.ContainsFunc(report.Quarantined, durable) {
			return fmt.Errorf("report %+v, log %+v", report, report.Log)
		}
		if doubt == nil {
			if err := w.same(want); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
		for _, s := range w.e.shards {
			for _, st := range s.list {
				st.want = true
				s.enqueue(&st.asset)
			}
		}
		if err := w.settle(); err != nil {
			return fmt.Errorf("round %d: afterwards: %w", round, err)
		}
		want = w.want()
		for i := range want {
			want[i] = want[i][len(want[i])-1:]
		}
		doubt = nil
		disk = disk.Crash(r, vfs.CrashOptions{})
		w.options.Shards = shards
	}
	return nil
}

// durableStreams returns a function that tells whether a path in quarantine is of
// a stream whose creation was durable, or of a consumer: no crash explains that.
func (w *sim) durableStreams() func(name string) bool {
	var names []string
	for id, m := range w.made {
		if m.shard < len(w.apps) && m.mark <= w.apps[m.shard].safe() {
			names = append(names, path.Join(quarantineDir, path.Base(streamDir(id))))
		}
	}
	return func(name string) bool { return slices.Contains(names, name) || strings.Contains(name, consumersDir) }
}

// same tells whether what was opened is one of the moments of each shard. A shard
// of before may be split otherwise now.
func (w *sim) same(want [][]moment) error {
	for i, moments := range want {
		got, err := w.e.shards[i].dump()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(moments, func(m moment) bool { return m.dump == got }) {
			return fmt.Errorf("shard %d holds none of %d states; from the first %s; from the last %s", i, len(moments),
				difference(moments[0].dump, got), difference(moments[len(moments)-1].dump, got))
		}
	}
	return nil
}

// difference is the first line that two dumps do not share.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "nothing", "nothing"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d\nwant %s\n got %s", i, x, y)
		}
	}
	return "nothing"
}
