package bench

import (
	"fmt"
	"math/rand/v2"
	"sync"
)

// wildcards is interest that no cache of results can hold: a hundred thousand
// subscriptions, many with wildcards, and subjects drawn from ten million.
// Subjects have the form w.A.BB.CC.DD; every shape below matches some:
//
//	40 %  w.A.BB.CC.DD    literal
//	20 %  w.A.BB.CC.*
//	20 %  w.A.BB.*.DD
//	10 %  w.A.*.CC.DD
//	 5 %  w.*.BB.CC.DD
//	 5 %  w.A.BB.CC.>
//
// Half of the published subjects are drawn from the literals, half from all
// ten million. The result is about one delivery per message, so that the time
// goes into matching.
type wildcards struct {
	subs    int
	conns   int // that hold them
	subject int // distinct published subjects
	payload int
}

// wildSet is the generated interest and traffic; the same for every run with
// the same seed.
type wildSet struct {
	subs      [][]byte // SUB lines, by connection
	subjects  []wildSubject
	blocks    []*block
	matches   []uint64 // deliveries per block
	perMsg    float64  // deliveries per message
	frameSize int
}

type wildSubject struct{ a, b, c, d uint8 }

func (s wildSubject) String() string {
	return fmt.Sprintf("w.%d.%02d.%02d.%02d", s.a, s.b, s.c, s.d)
}

func randomSubject(rnd *rand.Rand) wildSubject {
	return wildSubject{uint8(rnd.IntN(10)), uint8(rnd.IntN(100)), uint8(rnd.IntN(100)), uint8(rnd.IntN(100))}
}

// wildShape turns a subject into a subscription and into the key under which
// it is counted.
type wildShape struct {
	percent int
	format  string
	key     func(wildSubject) wildSubject
	args    func(wildSubject) []any
}

var wildShapes = []wildShape{
	{40, "w.%d.%02d.%02d.%02d", func(s wildSubject) wildSubject { return s },
		func(s wildSubject) []any { return []any{s.a, s.b, s.c, s.d} }},
	{20, "w.%d.%02d.%02d.*", func(s wildSubject) wildSubject { s.d = 0; return s },
		func(s wildSubject) []any { return []any{s.a, s.b, s.c} }},
	{20, "w.%d.%02d.*.%02d", func(s wildSubject) wildSubject { s.c = 0; return s },
		func(s wildSubject) []any { return []any{s.a, s.b, s.d} }},
	{10, "w.%d.*.%02d.%02d", func(s wildSubject) wildSubject { s.b = 0; return s },
		func(s wildSubject) []any { return []any{s.a, s.c, s.d} }},
	{5, "w.*.%02d.%02d.%02d", func(s wildSubject) wildSubject { s.a = 0; return s },
		func(s wildSubject) []any { return []any{s.b, s.c, s.d} }},
	{5, "w.%d.%02d.%02d.>", func(s wildSubject) wildSubject { s.d = 0; return s },
		func(s wildSubject) []any { return []any{s.a, s.b, s.c} }},
}

var wildSets struct {
	sync.Mutex
	made map[string]*wildSet
}

// set makes the interest and traffic once per process: it takes a second.
func (w wildcards) set(seed uint64) *wildSet {
	wildSets.Lock()
	defer wildSets.Unlock()
	key := fmt.Sprint(w, seed)
	if s := wildSets.made[key]; s != nil {
		return s
	}
	if wildSets.made == nil {
		wildSets.made = map[string]*wildSet{}
	}
	s := w.make(seed)
	wildSets.made[key] = s
	return s
}

func (w wildcards) make(seed uint64) *wildSet {
	rnd := rand.New(rand.NewPCG(seed, 1))
	set := &wildSet{subs: make([][]byte, w.conns)}
	counts := make([]map[wildSubject]uint64, len(wildShapes))
	var literals []wildSubject
	sid := 100000 // all of one width, so that all frames are
	for i, shape := range wildShapes {
		counts[i] = map[wildSubject]uint64{}
		for range w.subs * shape.percent / 100 {
			s := randomSubject(rnd)
			counts[i][shape.key(s)]++
			if i == 0 {
				literals = append(literals, s)
			}
			c := sid % w.conns
			set.subs[c] = fmt.Appendf(set.subs[c], "SUB "+shape.format+" %d\r\n", append(shape.args(s), sid)...)
			sid++
		}
	}
	var total uint64
	const perBlock = 512
	for range w.subject / perBlock {
		b, due := &block{frames: perBlock}, uint64(0)
		for i := range perBlock {
			s := randomSubject(rnd)
			if i%2 == 0 {
				s = literals[rnd.IntN(len(literals))]
			}
			b.bytes = pubFrame(b.bytes, s.String(), "", w.payload)
			for j, shape := range wildShapes {
				due += counts[j][shape.key(s)]
			}
		}
		set.blocks, set.matches = append(set.blocks, b), append(set.matches, due)
		total += due
	}
	set.perMsg = float64(total) / float64(len(set.blocks)*perBlock)
	set.frameSize = len(pubFrame(nil, wildSubject{}.String(), "", w.payload))
	return set
}

func (w wildcards) run(r *run) error {
	set := w.set(r.Seed)
	f := r.newFlow(min(r.Window/set.frameSize, 1<<16))
	for _, subs := range set.subs {
		if _, err := r.subscriber(subs, &frames{done: f}); err != nil {
			return err
		}
	}
	c, err := r.dial()
	if err != nil {
		return err
	}
	c.writer = true
	if err := r.watch(c, &frames{}); err != nil {
		return err
	}
	r.write(func() error {
		for i := 0; !r.stop.Load(); i = (i + 1) % len(set.blocks) {
			if !f.claim(set.matches[i]) {
				return nil
			}
			p := publisher{c: c, block: set.blocks[i]}
			if err := p.writeBlock(); err != nil {
				return err
			}
		}
		return nil
	})
	if err := r.pause(r.Warmup); err != nil {
		return err
	}
	seen, err := r.measure(r.Duration, f)
	if err != nil {
		return err
	}
	r.record(seen, float64(seen.total())/set.perMsg, 0)
	return r.settle(f)
}
