package subjecttree

// matcher is how far a pattern has matched the beginning of a subject. Tokens
// line up, so one place is enough and nothing is ever tried again.
type matcher struct {
	pattern string
	at      int  // next byte of the pattern
	inStar  bool // bytes of a `*` token were seen; at is behind the `*`
	full    bool // in a `>` token: everything matches
}

// tokenIs tells whether a token begins at m.at that is just c.
func (m *matcher) tokenIs(c byte) bool {
	p, i := m.pattern, m.at
	return i < len(p) && p[i] == c && (i == 0 || p[i-1] == '.') &&
		(i+1 == len(p) || (c == '*' && p[i+1] == '.'))
}

// step takes the next byte of the subject; false if nothing that goes on so
// matches.
func (m *matcher) step(c byte) bool {
	switch {
	case m.full:
		return true
	case m.inStar && c != '.':
		return true
	case m.inStar:
		m.inStar = false
	case m.tokenIs('>'):
		m.full = true
		return true
	case m.tokenIs('*'):
		if c == '.' {
			return false // an empty token
		}
		m.at++
		m.inStar = true
		return true
	}
	if m.at == len(m.pattern) || m.pattern[m.at] != c {
		return false
	}
	m.at++
	return true
}

func (m *matcher) steps(s string) bool {
	for i := range len(s) {
		if m.full {
			return true
		}
		if !m.step(s[i]) {
			return false
		}
	}
	return true
}

// matched tells whether a subject that ends here matches.
func (m *matcher) matched() bool { return m.full || m.at == len(m.pattern) }

// only tells which byte must come next, if it is a certain one.
func (m *matcher) only() (byte, bool) {
	if m.full || m.inStar || m.tokenIs('*') || m.tokenIs('>') || m.at == len(m.pattern) {
		return 0, false
	}
	return m.pattern[m.at], true
}

// Matches tells whether a literal subject matches a pattern.
func Matches(pattern, subject string) bool {
	m := matcher{pattern: pattern}
	return m.steps(subject) && m.matched()
}

// Match visits the subjects that match pattern in order until visit returns
// false, and tells whether it saw them all. The tree must not be changed
// meanwhile. An empty pattern is the empty subject.
func (t *Tree[V]) Match(pattern string, visit func(subject string, value *V) bool) bool {
	if t.root == nil {
		return true
	}
	return match(t.root, matcher{pattern: pattern}, 0, visit)
}

// match visits what matches below n, whose path is depth bytes that m has taken.
func match[V any](n node[V], m matcher, depth int, visit func(string, *V) bool) bool {
	if m.full {
		return walk(n, visit)
	}
	if l, ok := n.(*leaf[V]); ok {
		if m.steps(l.subject[depth:]) && m.matched() {
			return visit(l.subject, &l.value)
		}
		return true
	}
	in := n.inner()
	if !m.steps(in.prefix) {
		return true
	}
	depth += len(in.prefix)
	if in.end != nil && m.matched() && !visit(in.end.subject, &in.end.value) {
		return false
	}
	if c, certain := m.only(); certain {
		slot := n.child(c)
		if slot == nil || !m.step(c) {
			return true
		}
		return match(*slot, m, depth+1, visit)
	}
	return n.each(func(c byte, child node[V]) bool {
		below := m
		if !below.step(c) {
			return true
		}
		return match(child, below, depth+1, visit)
	})
}
