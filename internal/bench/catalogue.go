package bench

import (
	"fmt"
	"time"
)

// catalogue is every scenario, in the order of reports.
var catalogue = concat(
	publishOnly, pubSub, requestReply, latencies, interest, connections, encrypted, accounts, scaling, later,
)

func concat(groups ...[]*Scenario) (all []*Scenario) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

const (
	groupLatency = "latency"
	groupTLS     = "TLS"
)

// flood makes a saturating scenario.
func flood(name, title, doc string, quick bool, s shape) *Scenario {
	sc := &Scenario{Name: name, Title: title, Doc: doc, Group: "publish and subscribe",
		Main: "msgs_per_s", Quick: quick, Wire: true, run: s.run}
	if s.subs == 0 {
		sc.Group, sc.Main = "publish only", "cpu_us_per_msg"
	}
	return sc
}

var publishOnly = []*Scenario{
	flood("pub8", "publish only, 8 B", "One publisher, nobody listens: what it costs to take a message in.",
		false, shape{groups: 1, pubs: 1, payload: 8}),
	flood("pub16", "publish only, 16 B", "One publisher, nobody listens: what it costs to take a message in.",
		true, shape{groups: 1, pubs: 1, payload: 16}),
	flood("pub128", "publish only, 128 B", "The size most published figures use.",
		false, shape{groups: 1, pubs: 1, payload: 128}),
	flood("pub1k", "publish only, 1 KiB", "Where bytes begin to matter.",
		false, shape{groups: 1, pubs: 1, payload: 1 << 10}),
	flood("pub64k", "publish only, 64 KiB", "The size of a read buffer.",
		false, shape{groups: 1, pubs: 1, payload: 64 << 10}),
	flood("pub1m", "publish only, 1 MiB", "The largest message that the default settings allow.",
		false, shape{groups: 1, pubs: 1, payload: 1 << 20}),
}

var pubSub = []*Scenario{
	flood("1to1-8", "1 → 1, 8 B", "One publisher, one subscriber, the smallest message with a number in it.",
		false, shape{groups: 1, pubs: 1, subs: 1, payload: 8}),
	flood("1to1-16", "1 → 1, 16 B", "One publisher, one subscriber, tiny messages: the cost per message.",
		true, shape{groups: 1, pubs: 1, subs: 1, payload: 16}),
	flood("1to1-16-mixed", "1 → 1, 16 B, 100 subjects", "Tiny messages to a hundred subjects in turn, so that no line repeats the one before.",
		true, shape{groups: 1, pubs: 1, subs: 1, payload: 16, spread: 100}),
	flood("1to1-128", "1 → 1, 128 B", "One publisher, one subscriber.",
		false, shape{groups: 1, pubs: 1, subs: 1, payload: 128}),
	flood("1to1-1k", "1 → 1, 1 KiB", "One publisher, one subscriber.",
		false, shape{groups: 1, pubs: 1, subs: 1, payload: 1 << 10}),
	flood("1to1-16k", "1 → 1, 16 KiB", "Large messages: the cost per byte.",
		true, shape{groups: 1, pubs: 1, subs: 1, payload: 16 << 10}),
	flood("1to1-256k", "1 → 1, 256 KiB", "Messages far beyond any buffer.",
		true, shape{groups: 1, pubs: 1, subs: 1, payload: 256 << 10}),
	flood("1to1-1m", "1 → 1, 1 MiB", "The largest message that the default settings allow.",
		false, shape{groups: 1, pubs: 1, subs: 1, payload: 1 << 20}),
	flood("4to4-128", "4 → 4 pairs, 128 B", "Four publishers, each with a subscriber of its own.",
		true, shape{groups: 4, pubs: 1, subs: 1, payload: 128}),
	flood("4to1-128", "4 → 1, 128 B", "Four publishers, one subscriber that receives everything.",
		false, shape{groups: 1, pubs: 4, subs: 1, payload: 128}),
	flood("fan8-128", "1 → 8 fan-out, 128 B", "One publisher, eight subscribers that each receive everything.",
		true, shape{groups: 1, pubs: 1, subs: 8, payload: 128}),
	flood("fan100-128", "1 → 100 fan-out, 128 B", "One publisher, a hundred subscribers.",
		false, shape{groups: 1, pubs: 1, subs: 100, payload: 128}),
	flood("fan1000-128", "1 → 1,000 fan-out, 128 B", "One publisher, a thousand subscribers.",
		false, shape{groups: 1, pubs: 1, subs: 1000, payload: 128}),
	flood("2to10-1k", "2 → 10, 1 KiB", "Two publishers, ten subscribers that each receive everything.",
		true, shape{groups: 1, pubs: 2, subs: 10, payload: 1 << 10}),
	flood("queue8-128", "1 → queue group of 8, 128 B", "One publisher, eight workers that share the messages.",
		false, shape{groups: 1, pubs: 1, subs: 8, queue: true, payload: 128}),
}

var requestReply = []*Scenario{
	{Name: "rr1-64", Title: "request/reply, 1 pair, 64 B", Main: "lat_p50_us", Group: "request/reply", Quick: true, Wire: true, AtLeast: 1600 * time.Millisecond,
		Doc: "One request under way at any time: the latency of an idle server.",
		run: requests{pairs: 1, payload: 64}.run},
	{Name: "rr16-64", Title: "request/reply, 16 pairs, 64 B", Main: "msgs_per_s", Group: "request/reply", Quick: true, Wire: true,
		Doc: "Sixteen requesters with one request under way each.",
		run: requests{pairs: 16, payload: 64}.run},
	{Name: "rr64-1k", Title: "request/reply, 64 pairs, 1 KiB", Main: "msgs_per_s", Group: "request/reply", Wire: true,
		Doc: "Sixty-four requesters with one request under way each.",
		run: requests{pairs: 64, payload: 1 << 10}.run},
}

var latencies = []*Scenario{
	{Name: "lat10k-128", Title: "1 → 1 at 10,000 msg/s, 128 B", Main: "lat_p99_us", Group: groupLatency, Wire: true,
		Doc: "Evenly spaced messages, each timed from the moment it was due.",
		run: pacedLoad{probe: paced{rate: 10_000, burst: 1, payload: 128, subs: 1}}.run},
	{Name: "lat-bg100k", Title: "latency under 100,000 msg/s", Main: "lat_p99_us", Group: groupLatency, Wire: true,
		Doc: "A probe of 2,000 msg/s beside 100,000 msg/s of 128 B between two others; all rates are fixed.",
		run: pacedLoad{probe: paced{rate: 2_000, burst: 1, payload: 128, subs: 1},
			background: []paced{{rate: 100_000, burst: 50, payload: 128, subs: 1}}}.run},
	{Name: "lat-bg400k", Title: "latency under 400,000 msg/s", Main: "lat_p99_us", Group: groupLatency, Quick: true, Wire: true,
		Doc: "A probe of 2,000 msg/s beside 400,000 msg/s of 128 B between four others; all rates are fixed.",
		run: pacedLoad{probe: paced{rate: 2_000, burst: 1, payload: 128, subs: 1},
			background: []paced{
				{rate: 200_000, burst: 100, payload: 128, subs: 1},
				{rate: 200_000, burst: 100, payload: 128, subs: 1},
			}}.run},
	{Name: "slow", Title: "others beside a stuck subscriber", Main: "lat_p99_us", Group: groupLatency, AtLeast: 2 * time.Second,
		Doc: "60 MB/s to three subscribers, a fourth never reads: the latency of the three until and after it is dropped.",
		run: pacedLoad{probe: paced{rate: 15_000, burst: 1, payload: 4 << 10, subs: 3}, stuck: 1}.run},
}

var interest = []*Scenario{
	{Name: "wild100k", Title: "100,000 wildcard subscriptions", Main: "msgs_per_cpu_s", Group: "interest", Quick: true,
		Doc: "Random subjects against a large mixed interest: the cost of matching.",
		run: wildcards{subs: 100_000, conns: 10, subject: 1 << 19, payload: 16}.run},
	{Name: "churn", Title: "1 → 1 beside inbox churn", Main: "loss_pct", Group: "interest", Quick: true, AtLeast: 1600 * time.Millisecond,
		Doc: "Saturated traffic beside a neighbour that makes 1,000 requests a second with a fresh inbox each.",
		run: churn{steady: shape{groups: 1, pubs: 1, subs: 1, payload: 128}, rate: 1000}.run},
}

var connections = []*Scenario{
	idleScenario(1000, true), idleScenario(5000, false), idleScenario(9000, false),
	{Name: "storm", Title: "connection storm", Main: "conns_per_s", Group: "connections",
		Doc: "Eight clients at a time connect, log in, subscribe and leave, as fast as they can.",
		run: storm{dialers: 8}.run},
}

func idleScenario(n int, quick bool) *Scenario {
	return &Scenario{Name: fmt.Sprintf("idle%dk", n/1000), Title: thousands(int64(n)) + " idle connections",
		Main: "kib_per_conn", Group: "connections", Quick: quick, Process: true,
		Doc: "Connections with one subscription and no traffic: what one costs in memory.", run: idle{n}.run}
}

var encrypted = []*Scenario{
	{Name: "tls1to1-128", Title: "1 → 1 over TLS, 128 B", Main: "msgs_per_s", Group: groupTLS, TLS: true, Quick: true,
		Doc: "One publisher, one subscriber, both over TLS 1.3; the generator encrypts and decrypts too.",
		run: shape{groups: 1, pubs: 1, subs: 1, payload: 128}.run},
	{Name: "tls1to1-1k", Title: "1 → 1 over TLS, 1 KiB", Main: "msgs_per_s", Group: groupTLS, TLS: true,
		Doc: "One publisher, one subscriber, both over TLS 1.3; the generator encrypts and decrypts too.",
		run: shape{groups: 1, pubs: 1, subs: 1, payload: 1 << 10}.run},
	{Name: "tls-rr1-64", Title: "request/reply over TLS, 1 pair, 64 B", Main: "lat_p50_us", Group: groupTLS, TLS: true,
		Doc: "One request under way at any time, each message a record of its own.",
		run: requests{pairs: 1, payload: 64}.run},
	{Name: "tls-idle1k", Title: "1,000 idle connections over TLS", Main: "kib_per_conn", Group: groupTLS, TLS: true, Process: true,
		Doc: "Connections with one subscription and no traffic: what the state of TLS costs in memory.", run: idle{1000}.run},
	{Name: "tls-storm", Title: "connection storm over TLS", Main: "conns_per_s", Group: groupTLS, TLS: true,
		Doc: "Eight clients at a time connect, shake hands, log in, subscribe and leave, as fast as they can.",
		run: storm{dialers: 8}.run},
}

var scaling = []*Scenario{loopScenario(1), loopScenario(2), loopScenario(4), loopScenario(8)}

func loopScenario(n int) *Scenario {
	return &Scenario{Name: fmt.Sprintf("loops%d", n), Title: fmt.Sprintf("8 → 8 pairs, 128 B, cores for the server: %d", n),
		Main: "msgs_per_s", Group: "scaling", Loops: n,
		Doc: "Eight independent pairs; Peregrine with that many loops, the reference with GOMAXPROCS of that many.",
		run: shape{groups: 8, pubs: 1, subs: 1, payload: 128}.run}
}

// later names what other parts of the server will fill in, so that scripts can
// ask for it and are told what is missing.
var later = concat(
	waiting("needs JetStream, which is not served yet",
		"js-publish-sync-memory", "js-publish-sync-file-always", "js-publish-sync-file-interval",
		"js-publish-async-memory", "js-publish-async-file-always", "js-publish-async-file-interval",
		"js-publish-batch-memory", "js-publish-batch-file-always", "js-publish-batch-file-interval"),
	waiting("needs JetStream, which is not served yet", "js-consume", "js-fetch", "js-kv", "js-restart"),
	waiting("needs clustering, which arrives after JetStream", "js-replicated", "routes"),
)

func waiting(why string, names ...string) (out []*Scenario) {
	for _, name := range names {
		out = append(out, &Scenario{Name: name, Title: name, Group: "later", Later: why})
	}
	return out
}
