package account

import (
	"fmt"
	"strings"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/sublist"
)

// modelMatch tells whether pattern has subject, token by token. Wildcards in
// subject are words like others.
func modelMatch(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case token == ">" && i == len(p)-1:
			return len(s) > i
		case i >= len(s) || token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// modelEntry is one line of a list of subjects.
type modelEntry struct{ subject, queue string }

func modelEntries(lines []string) (all []modelEntry) {
	for _, line := range lines {
		subject, queue, _ := strings.Cut(line, " ")
		all = append(all, modelEntry{subject, queue})
	}
	return all
}

func modelPublish(p *SubjectPermission, responses bool, subject string) bool {
	if p == nil {
		p = new(SubjectPermission)
	}
	allowed := p.Allow == nil && !responses
	for _, e := range modelEntries(p.Allow) {
		allowed = allowed || modelMatch(e.subject, subject)
	}
	for _, e := range modelEntries(p.Deny) {
		allowed = allowed && !modelMatch(e.subject, subject)
	}
	return allowed
}

// modelHas tells whether one of lines speaks of subject. Lines of all queues and
// of named ones are looked at apart.
func modelHas(lines []string, subject, queue string) (plain, named, inNamed bool) {
	for _, e := range modelEntries(lines) {
		switch {
		case !modelMatch(e.subject, subject):
		case e.queue == "":
			plain = true
		default:
			named = true
			inNamed = inNamed || modelMatch(e.queue, queue)
		}
	}
	return plain, named, inNamed
}

// modelSubscribe is what the facts say: lines with a queue, where there are any,
// decide about queue subscriptions that are to be allowed, and add to what is
// denied.
func modelSubscribe(p *SubjectPermission, subject, queue string) bool {
	if p == nil {
		return true
	}
	if len(p.Allow) > 0 {
		plain, named, inNamed := modelHas(p.Allow, subject, queue)
		allowed := plain
		if queue != "" && named {
			allowed = inNamed
		}
		if !allowed {
			return false
		}
	}
	return !modelDenied(p, subject, queue)
}

func modelDenied(p *SubjectPermission, subject, queue string) bool {
	plain, _, inNamed := modelHas(p.Deny, subject, queue)
	return plain || queue != "" && inNamed
}

// bytesChooser makes choices out of bytes, so that a fuzzer can make them.
type bytesChooser struct{ data []byte }

func (c *bytesChooser) pick(n int) int {
	if len(c.data) == 0 {
		return 0
	}
	v := int(c.data[0]) % n
	c.data = c.data[1:]
	return v
}

func (c *bytesChooser) pattern() string {
	words := [...]string{"a", "b", "*", "c", ">"}
	tokens := make([]string, 1+c.pick(4))
	for i := range tokens {
		tokens[i] = words[c.pick(len(words))]
		if tokens[i] == ">" {
			return strings.Join(tokens[:i+1], ".")
		}
	}
	return strings.Join(tokens, ".")
}

func (c *bytesChooser) literal() string {
	tokens := make([]string, 1+c.pick(4))
	for i := range tokens {
		tokens[i] = [...]string{"a", "b", "c"}[c.pick(3)]
	}
	return strings.Join(tokens, ".")
}

func (c *bytesChooser) lines(queues bool) (all []string) {
	for range c.pick(5) {
		line := c.pattern()
		if queues && c.pick(3) == 0 {
			line += " " + [...]string{"q", "q.x", "q.*", "*", ">"}[c.pick(5)]
		}
		all = append(all, line)
	}
	return all
}

func (c *bytesChooser) permissions() *Permissions {
	p := new(Permissions)
	if c.pick(4) > 0 {
		p.Publish = &SubjectPermission{Allow: c.lines(false), Deny: c.lines(false)}
		if len(p.Publish.Allow) == 0 && c.pick(2) == 0 {
			p.Publish.Allow = []string{}
		}
	}
	if c.pick(4) > 0 {
		p.Subscribe = &SubjectPermission{Allow: c.lines(true), Deny: c.lines(true)}
	}
	if c.pick(4) == 0 {
		p.Responses = &ResponsePermission{MaxMsgs: 1, Expires: 1}
	}
	return p
}

// checkRules compares every answer of the rules with that of the model.
func checkRules(t *testing.T, c *bytesChooser) {
	p := c.permissions()
	r := p.Rules()
	shown := func() string { return fmt.Sprintf("publish %+v, subscribe %+v", p.Publish, p.Subscribe) }
	for range 8 {
		subject := c.literal()
		if got, want := r.MayPublish([]byte(subject)), modelPublish(p.Publish, p.Responses != nil, subject); got != want {
			t.Fatalf("%s: may publish to %q: %v, want %v", shown(), subject, got, want)
		}
		if !r.LimitsPublish() && !r.MayPublish([]byte(subject)) {
			t.Fatalf("%s: nothing is limited, but %q", shown(), subject)
		}
		pattern, queue := c.pattern(), [...]string{"", "q", "q.x", "other"}[c.pick(4)]
		may := r.MaySubscribe(pattern, queue)
		if want := modelSubscribe(p.Subscribe, pattern, queue); may != want {
			t.Fatalf("%s: may subscribe to %q in %q: %v, want %v", shown(), pattern, queue, may, want)
		}
		if !may || !modelMatch(pattern, subject) || p.Subscribe == nil {
			continue
		}
		denied := modelDenied(p.Subscribe, subject, queue)
		if got := !r.Filters(pattern, queue) || r.MayReceive([]byte(subject), queue); got == denied {
			t.Fatalf("%s: subscription to %q in %q gets %q: %v", shown(), pattern, queue, subject, got)
		}
	}
}

func FuzzRules(f *testing.F) {
	rng := seeds.Rand(f, 1)
	for range 2000 {
		seed := make([]byte, 150)
		for i := range seed {
			seed[i] = byte(rng.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkRules(t, &bytesChooser{data}) })
}

// What is no subject is left out and named; the rest counts.
func TestRulesLeaveOutWhatIsNoSubject(t *testing.T) {
	r := (&Permissions{
		Publish:   &SubjectPermission{Allow: []string{"a", "b..c", "x y", ""}, Deny: []string{"c d", ">.e", "f g h"}},
		Subscribe: &SubjectPermission{Allow: []string{"a q..x", "b q", ".c"}, Deny: []string{"d  q", "e."}},
	}).Rules()
	want := []string{
		`invalid publish subject "b..c"`, `invalid publish subject "x y"`, `invalid publish subject ""`,
		`invalid publish deny subject ">.e"`, `invalid publish deny subject "f g h"`,
		`invalid subscribe allow subject "a q..x"`, `invalid subscribe allow subject ".c"`,
		`invalid subscribe deny subject "e."`,
	}
	if got := fmt.Sprint(r.Complaints()); got != fmt.Sprint(want) {
		t.Errorf("complaints %s", got)
	}
	if !r.MayPublish([]byte("a")) || r.MayPublish([]byte("x")) || r.MayPublish([]byte("b")) {
		t.Error("publish")
	}
	if !r.MaySubscribe("b", "q") || r.MaySubscribe("b", "") || r.MaySubscribe("a", "q") || r.MaySubscribe("d", "q") {
		t.Error("subscribe")
	}
}

// A list of which nothing is left allows nothing, rather than everything.
func TestRulesOfBrokenListsAreNotOpen(t *testing.T) {
	r := (&Permissions{
		Publish: &SubjectPermission{Allow: []string{"b..c"}}, Subscribe: &SubjectPermission{Allow: []string{"b..c"}},
	}).Rules()
	if r.MayPublish([]byte("a")) || r.MaySubscribe("a", "") || r.MaySubscribe("a", "q") {
		t.Error("broken lists allow something")
	}
}

func TestDenyPublishAddsToWhatThereIs(t *testing.T) {
	for _, p := range []*Permissions{nil, {}, {Publish: &SubjectPermission{Allow: []string{"a.>"}, Deny: []string{"a.b"}}, Responses: &ResponsePermission{1, 1}}} {
		before := fmt.Sprint(p)
		more := p.DenyPublish("a.secret", "b")
		r := more.Rules()
		if r.MayPublish([]byte("a.secret")) || r.MayPublish([]byte("b")) || !r.MayPublish([]byte("a.x")) {
			t.Errorf("%s: not just that was denied", before)
		}
		if p != nil && (fmt.Sprint(p) != before || (more.Responses == nil) != (p.Responses == nil) || p.Publish != nil && r.MayPublish([]byte("a.b"))) {
			t.Errorf("%s became %s", before, fmt.Sprint(more))
		}
	}
}

func TestPermissionsAreEqual(t *testing.T) {
	distinct := []*Permissions{
		nil, {}, {Publish: &SubjectPermission{}}, {Publish: &SubjectPermission{Allow: []string{}}},
		{Publish: &SubjectPermission{Allow: []string{"a"}}}, {Publish: &SubjectPermission{Deny: []string{"a"}}},
		{Subscribe: &SubjectPermission{Allow: []string{"a"}}}, {Subscribe: &SubjectPermission{Allow: []string{"a", "b"}}},
		{Responses: &ResponsePermission{MaxMsgs: 1}}, {Responses: &ResponsePermission{MaxMsgs: 2}},
	}
	for i, p := range distinct {
		for k, o := range distinct {
			if p.Equal(o) != (i == k) {
				t.Errorf("%d and %d are equal: %v", i, k, i != k)
			}
		}
	}
	a, b := &Permissions{Responses: &ResponsePermission{MaxMsgs: 1}}, &Permissions{Responses: &ResponsePermission{MaxMsgs: 1}}
	if !a.Equal(b) {
		t.Error("equal words are not equal")
	}
}

// modelService computes what a request becomes, by way of the wildcards' places.
func modelService(subject, local, published string) (string, bool) {
	if !modelMatch(strings.Join(localPattern(local), "."), published) {
		return "", false
	}
	var caught []string // of the wildcards of subject, in order
	var tail string
	words := strings.Split(published, ".")
	values := make(map[int]string)
	star := 0
	for i, token := range strings.Split(local, ".") {
		var n int
		switch {
		case token == ">":
			tail = strings.Join(words[i:], ".")
		case token == "*":
			star++
			values[star] = words[i]
		default:
			if _, err := fmt.Sscanf(token, "$%d", &n); err == nil {
				values[n] = words[i]
			} else if _, err := fmt.Sscanf(token, "{{wildcard(%d)}}", &n); err == nil {
				values[n] = words[i]
			}
		}
	}
	for i := 1; i <= len(values); i++ {
		caught = append(caught, values[i])
	}
	var out []string
	for _, token := range strings.Split(subject, ".") {
		switch token {
		case "*":
			out, caught = append(out, caught[0]), caught[1:]
		case ">":
			out = append(out, tail)
		default:
			out = append(out, token)
		}
	}
	return strings.Join(out, "."), true
}

func localPattern(local string) (tokens []string) {
	for _, token := range strings.Split(local, ".") {
		if strings.HasPrefix(token, "$") || strings.HasPrefix(token, "{{") {
			token = "*"
		}
		tokens = append(tokens, token)
	}
	return tokens
}

// A request goes to the subject that its wildcards say, in whatever order the
// import names them.
func TestServiceSubjectsAgreeWithTheModel(t *testing.T) {
	rng := seeds.Rand(t, 1)
	literals := allLiterals([]string{"a", "b", "p"}, 4)
	asked := 0
	for range 3000 {
		subject := randomPattern(rng, 3)
		im := Import{Service: true, Account: "X", Subject: subject}
		switch rng.IntN(3) {
		case 0:
			im.Local = randomLocal(rng, subject)
		case 1:
			im.Local = "p." + subject
		}
		m, err := connectService(&im)
		if err != nil {
			t.Fatalf("%+v: %v", im, err)
		}
		local := im.Local
		if local == "" {
			local = subject
		}
		for _, s := range literals {
			want, ok := modelService(subject, local, s)
			if got := sublist.SubsetMatch(s, m.Local); got != ok {
				t.Fatalf("import of %q as %q: %q asks: %v, want %v", subject, local, s, got, ok)
			}
			if !ok {
				continue
			}
			asked++
			if got := string(m.AppendSubject(nil, []byte(s))); got != want {
				t.Fatalf("import of %q as %q: %q becomes %q, want %q", subject, local, s, got, want)
			}
		}
	}
	if asked == 0 {
		t.Error("nothing was asked: the test shows nothing")
	}
}
