package monitor

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// subsz is the body of /subsz in the reference's order.
type subsz struct {
	ServerID      string    `json:"server_id"`
	Now           time.Time `json:"now"`
	Subscriptions uint64    `json:"num_subscriptions"`
	Cached        uint64    `json:"num_cache"`
	Inserts       uint64    `json:"num_inserts"`
	Removes       uint64    `json:"num_removes"`
	Matches       uint64    `json:"num_matches"`
	CacheHitRate  float64   `json:"cache_hit_rate"`
	MaxFanout     int       `json:"max_fanout"`
	AvgFanout     float64   `json:"avg_fanout"`
	Total         int       `json:"total"`
	Offset        int       `json:"offset"`
	Limit         int       `json:"limit"`
	List          []subInfo `json:"subscriptions_list,omitempty"`
}

func (m *Monitor) serveSubsz(w http.ResponseWriter, r *http.Request) error {
	p := params{values: r.URL.Query()}
	list, window := p.boolean("subs"), p.page()
	account, test := p.values.Get("acc"), p.values.Get("test")
	if p.err != nil {
		return p.err
	}
	if test != "" && !isLiteral(test) {
		return fmt.Errorf("invalid test subject, must be valid publish subject: %s", test)
	}
	body := &subsz{ServerID: m.source.Identity().ID, Now: time.Now().UTC(), Offset: window.Offset, Limit: window.Limit}
	if interest, known := m.source.Interest(account); known {
		body.setInterest(interest)
		if list {
			conns := slices.DeleteFunc(m.collect(Query{Subscriptions: true}), func(c Conn) bool {
				return account != "" && cmp.Or(c.Account, globalAccount) != account
			})
			body.setList(conns, test, window)
		}
	}
	return writeJSON(w, body)
}

func (b *subsz) setInterest(i Interest) {
	b.Subscriptions, b.Cached = i.Subscriptions, uint64(max(i.Cached, 0))
	b.Inserts, b.Removes, b.Matches = i.Inserts, i.Removes, i.Matches
	if i.Matches > 0 {
		b.CacheHitRate = float64(i.CacheHits) / float64(i.Matches)
	}
	b.MaxFanout, b.AvgFanout = i.MaxFanout, i.AvgFanout
}

// setList shows the subscriptions that match test, which is empty or literal.
func (b *subsz) setList(conns []Conn, test string, window page) {
	slices.SortFunc(conns, func(x, y Conn) int { return cmp.Compare(x.CID, y.CID) })
	var all []subInfo
	for _, c := range conns {
		account := cmp.Or(c.Account, globalAccount)
		for _, s := range c.Subs {
			if test != "" && !covers(s.Subject, test) {
				continue
			}
			all = append(all, subInfo{
				Account: account, AccountTag: account, Subject: s.Subject, Queue: s.Queue,
				SID: s.SID, Msgs: s.Msgs, Max: s.Max, CID: c.CID,
			})
		}
	}
	from, to := window.bounds(len(all))
	b.List, b.Total = all[from:to], len(all)
}

// isLiteral reports whether subject may be published to: tokens that are not
// empty and are no wildcard.
func isLiteral(subject string) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || token == "*" || token == ">" || strings.ContainsAny(token, " \t\r\n\f") {
			return false
		}
	}
	return true
}

// covers reports whether a subscription to pattern receives subject.
func covers(pattern, subject string) bool {
	for {
		p, patternRest, patternMore := strings.Cut(pattern, ".")
		s, subjectRest, subjectMore := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != s || patternMore != subjectMore:
			return false
		case !patternMore:
			return true
		}
		pattern, subject = patternRest, subjectRest
	}
}
