package account

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"peregrine/sublist"
)

// Rules are permissions made ready for questions. They are immutable and safe
// for any goroutine. A nil *Rules allows everything.
type Rules struct {
	// ID tells rules apart, also from those that are gone: answers may be kept
	// by it.
	ID uint64

	of                *Permissions
	pubAllow, pubDeny *subjects // nil: no such list
	subAllow, subDeny *subjects
	denied            []choice // what subDeny is made of
	complaints        []string
	answers           bool
}

// subjects is a list of subjects of permissions.
type subjects = sublist.List[choice]

// choice is one entry of such a list.
type choice struct{ subject, queue string }

var ruleIDs atomic.Uint64

// compiled keeps what Rules was asked before.
type compiled struct {
	once  sync.Once
	rules *Rules
}

// Rules returns p ready for questions; it is made once.
func (p *Permissions) Rules() *Rules {
	if p == nil {
		return nil
	}
	p.compiled.once.Do(func() { p.compiled.rules = compile(p) })
	return p.compiled.rules
}

func compile(p *Permissions) *Rules {
	r := &Rules{ID: ruleIDs.Add(1), of: p}
	if pub := p.Publish; pub != nil {
		if pub.Allow != nil {
			r.pubAllow, _ = r.list("publish", pub.Allow, false)
		}
		if len(pub.Deny) > 0 {
			r.pubDeny, _ = r.list("publish deny", pub.Deny, true)
		}
	}
	if sub := p.Subscribe; sub != nil {
		if len(sub.Allow) > 0 {
			r.subAllow, _ = r.list("subscribe allow", sub.Allow, true)
		}
		if len(sub.Deny) > 0 {
			r.subDeny, r.denied = r.list("subscribe deny", sub.Deny, true)
		}
	}
	if p.Responses != nil && r.pubAllow == nil {
		// Answers alone.
		r.pubAllow, _ = r.list("publish", nil, false)
	}
	r.answers = p.Responses != nil
	return r
}

// list makes a list of entries, leaving out those that are none.
func (r *Rules) list(name string, entries []string, queues bool) (*subjects, []choice) {
	l := sublist.New[choice](sublist.Options{Shards: 1})
	var all []choice
	for _, text := range entries {
		fields := strings.Fields(text)
		if len(fields) == 0 || len(fields) > 2 || len(fields) == 2 && !queues ||
			!sublist.IsValidSubject(fields[0]) || len(fields) == 2 && !sublist.IsValidSubject(fields[1]) {
			r.complaints = append(r.complaints, fmt.Sprintf("invalid %s subject %q", name, text))
			continue
		}
		c := &choice{subject: fields[0]}
		if len(fields) == 2 && name != "publish deny" {
			c.queue = fields[1]
		}
		if l.Insert(c.subject, c.queue, 0, 1, c) == nil {
			all = append(all, *c)
		}
	}
	return l, all
}

// Permissions returns what the rules were made of; nil for none.
func (r *Rules) Permissions() *Permissions {
	if r == nil {
		return nil
	}
	return r.of
}

// Complaints are texts about entries that were left out because they are no
// subjects.
func (r *Rules) Complaints() []string { return r.complaints }

// LimitsPublish tells whether there is a subject that may not be published to.
func (r *Rules) LimitsPublish() bool { return r.pubAllow != nil || r.pubDeny != nil }

// MayPublish tells whether a message may be published to subject, which is
// borrowed; answers to requests are not looked at. It allocates nothing.
func (r *Rules) MayPublish(subject []byte) bool {
	if r.pubAllow != nil {
		if n, _ := r.pubAllow.NumInterest(subject); n == 0 {
			return false
		}
	}
	if r.pubDeny != nil {
		if n, _ := r.pubDeny.NumInterest(subject); n > 0 {
			return false
		}
	}
	return true
}

// MaySubscribe tells whether somebody may listen to subject, in queue if that
// is not empty. Wildcards in subject are looked up as if they were words.
func (r *Rules) MaySubscribe(subject, queue string) bool {
	if r.subAllow != nil {
		var found sublist.Result[choice]
		r.subAllow.Match([]byte(subject), &found)
		allowed := len(found.Plain) > 0
		if queue != "" && len(found.Groups) > 0 {
			allowed = inGroups(queue, found.Groups)
		}
		if !allowed {
			return false
		}
	}
	return r.subDeny == nil || !r.denies([]byte(subject), queue)
}

// denies tells whether the deny list has subject for that queue.
func (r *Rules) denies(subject []byte, queue string) bool {
	if queue == "" {
		n, _ := r.subDeny.NumInterest(subject)
		return n > 0
	}
	var found sublist.Result[choice]
	r.subDeny.Match(subject, &found)
	return len(found.Plain) > 0 || len(found.Groups) > 0 && inGroups(queue, found.Groups)
}

// inGroups tells whether queue is one of those that groups name; names may have
// wildcards.
func inGroups(queue string, groups []sublist.Group[choice]) bool {
	return slices.ContainsFunc(groups, func(g sublist.Group[choice]) bool {
		return g.Name == queue || sublist.HasWildcard(g.Name) && sublist.SubsetMatch(queue, g.Name)
	})
}

// Filters tells whether messages of an allowed subscription have to be looked at
// one by one, because it overlaps something that is denied.
func (r *Rules) Filters(subject, queue string) bool {
	if len(r.denied) == 0 || queue == "" && !sublist.HasWildcard(subject) {
		return false
	}
	return slices.ContainsFunc(r.denied, func(c choice) bool { return sublist.SubjectsCollide(c.subject, subject) })
}

// MayReceive tells whether a message on subject may go to a subscription that
// Filters said yes to. It allocates nothing without a queue.
func (r *Rules) MayReceive(subject []byte, queue string) bool {
	return r.subDeny == nil || !r.denies(subject, queue)
}

// Responses returns what allows answers to requests, or nil.
func (r *Rules) Responses() *ResponsePermission {
	if r == nil || !r.answers {
		return nil
	}
	return r.of.Responses
}

// DenyPublish returns p with more subjects denied to publish to. p may be nil.
func (p *Permissions) DenyPublish(subjects ...string) *Permissions {
	more := new(Permissions)
	if p != nil {
		more.Publish, more.Subscribe, more.Responses = p.Publish, p.Subscribe, p.Responses
	}
	pub := new(SubjectPermission)
	if more.Publish != nil {
		pub.Allow = more.Publish.Allow
		pub.Deny = slices.Clone(more.Publish.Deny)
	}
	pub.Deny = append(pub.Deny, subjects...)
	more.Publish = pub
	return more
}

// Equal tells whether p and o allow the same in the same words.
func (p *Permissions) Equal(o *Permissions) bool {
	if p == nil || o == nil {
		return p == o
	}
	same := func(a, b *SubjectPermission) bool {
		if a == nil || b == nil {
			return a == b
		}
		return slices.Equal(a.Allow, b.Allow) && (a.Allow == nil) == (b.Allow == nil) && slices.Equal(a.Deny, b.Deny)
	}
	if (p.Responses == nil) != (o.Responses == nil) || p.Responses != nil && *p.Responses != *o.Responses {
		return false
	}
	return p == o || same(p.Publish, o.Publish) && same(p.Subscribe, o.Subscribe)
}
