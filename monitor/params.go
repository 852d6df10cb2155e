package monitor

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// limitDefault is how many connections or subscriptions one answer lists
// unless asked otherwise.
const limitDefault = 1024

// params reads query parameters and keeps the first error, so that a handler
// reads them all and checks once.
type params struct {
	values url.Values
	err    error
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *params) boolean(name string) bool {
	s := p.values.Get(name)
	if s == "" {
		return false
	}
	b, err := strconv.ParseBool(s)
	if err != nil {
		p.fail("Error decoding boolean for '%s': %v", name, err)
	}
	return b
}

func (p *params) integer(name string) int {
	s := p.values.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		p.fail("Error decoding int for '%s': %v", name, err)
	}
	return n
}

func (p *params) uint64(name string) uint64 {
	s := p.values.Get(name)
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		p.fail("Error decoding uint64 for '%s': %v", name, err)
	}
	return n
}

// subs reads the parameter that is a boolean or the word detail.
func (p *params) subs() (list, detail bool) {
	if strings.EqualFold(p.values.Get("subs"), "detail") {
		return true, true
	}
	return p.boolean("subs"), false
}

func (p *params) state() State {
	s := p.values.Get("state")
	switch strings.ToLower(s) {
	case "", "open":
		return Open
	case "closed":
		return Closed
	case "any", "all":
		return All
	}
	p.fail("Error decoding state for %s", s)
	return Open
}

// page reads offset and limit, both made harmless.
func (p *params) page() page {
	g := page{Offset: max(p.integer("offset"), 0), Limit: p.integer("limit")}
	if g.Limit <= 0 {
		g.Limit = limitDefault
	}
	return g
}

// page is the window of a list that an answer shows.
type page struct{ Offset, Limit int }

// bounds clips the window to a list of n entries.
func (g page) bounds(n int) (from, to int) {
	from = min(g.Offset, n)
	return from, from + min(g.Limit, n-from)
}
