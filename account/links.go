package account

import (
	"strings"
	"time"

	"peregrine/sublist"
	"peregrine/sublist/transform"
)

// Links are an account's exports, imports and mappings as a server uses them:
// checked, connected, parsed. They are immutable.
type Links struct {
	Account  string
	Streams  []*StreamImport
	Services []*ServiceImport
	Exports  []*ServiceExport
	Mappings *transform.Mappings // nil without any
}

// ServiceExport is a service that others may ask. Its address is its identity: a
// message does not pass the same one twice.
type ServiceExport struct {
	Account    string
	Subject    string
	Response   Response
	Threshold  time.Duration
	Latency    *Latency // nil: not measured
	AllowTrace bool
}

// ServiceImport sends what is published on Local, a pattern without
// placeholders, to a service of another account.
type ServiceImport struct {
	Account string // with the service
	Local   string
	Subject string // there; a pattern if Local is one
	Export  *ServiceExport
	Share   bool

	transform *transform.Transform // from Local to Subject, nil where the next says it all
	same      bool                 // the subject there is the one published
}

// AppendSubject appends the subject that a request on subject, which is borrowed
// and matches Local, has over there.
func (m *ServiceImport) AppendSubject(dst, subject []byte) []byte {
	switch {
	case m.transform != nil:
		return m.transform.Apply(dst, subject, nil)
	case m.same:
		return append(dst, subject...)
	}
	return append(dst, m.Subject...)
}

// StreamImport makes what another account publishes on Subject appear here on
// Local, a pattern without placeholders.
type StreamImport struct {
	Account    string // that publishes
	Subject    string // there
	Local      string
	AllowTrace bool

	transform *transform.Transform // from Subject to Local, nil where the next says it all
	reverse   *transform.Transform
	same      bool // the subject here is the one published
}

// AppendLocal appends the subject that a message on subject, which is borrowed
// and matches Subject, has here.
func (m *StreamImport) AppendLocal(dst, subject []byte) []byte {
	switch {
	case m.transform != nil:
		return m.transform.Apply(dst, subject, nil)
	case m.same:
		return append(dst, subject...)
	}
	return append(dst, m.Local...)
}

// Same tells whether m and o do the same.
func (m *StreamImport) Same(o *StreamImport) bool {
	return m.Account == o.Account && m.Subject == o.Subject && m.Local == o.Local && m.AllowTrace == o.AllowTrace &&
		m.same == o.same && destination(m.transform) == destination(o.transform)
}

func destination(t *transform.Transform) string {
	if t == nil {
		return ""
	}
	return t.Destination()
}

// Source returns what to subscribe to in the other account so that a
// subscription to subject here gets its part of the import; ok is false if it
// gets nothing of it. For every literal subject s of the other account:
//
//	s matches Source(p)  ⟺  s matches Subject, and AppendLocal(s) matches p
func (m *StreamImport) Source(subject string) (source string, ok bool) {
	common, ok := intersect(subject, m.Local)
	switch {
	case !ok:
		return "", false
	case m.same:
		return common, true
	case m.reverse == nil || common == m.Local:
		return m.Subject, true
	}
	return string(m.reverse.Apply(nil, []byte(common), nil)), true
}

// intersect returns the pattern of the subjects that both patterns match.
func intersect(a, b string) (string, bool) {
	var out []string
	s, t := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; ; i++ {
		switch {
		case i == len(s) || i == len(t):
			return strings.Join(out, "."), len(s) == len(t)
		case s[i] == ">":
			return strings.Join(append(out, t[i:]...), "."), true
		case t[i] == ">":
			return strings.Join(append(out, s[i:]...), "."), true
		case s[i] == "*":
			out = append(out, t[i])
		case t[i] == "*" || s[i] == t[i]:
			out = append(out, s[i])
		default:
			return "", false
		}
	}
}

// connectStream makes the receiving side of a stream import.
func connectStream(im *Import) (*StreamImport, error) {
	m := &StreamImport{Account: im.Account, Subject: im.Subject, Local: im.Local, AllowTrace: im.AllowTrace}
	if im.Prefix != "" {
		if sublist.HasWildcard(im.Prefix) {
			return nil, ErrPrefix
		}
		m.Local = strings.TrimSuffix(im.Prefix, ".") + "." + im.Subject
	}
	if m.Local == "" || m.Local == m.Subject {
		m.Local = m.Subject
		m.same = sublist.HasWildcard(m.Subject)
		return m, nil
	}
	if !sublist.HasWildcard(m.Subject) {
		return m, nil
	}
	var err error
	if m.transform, err = transform.NewStrict(m.Subject, transform.WithPlaceholders(m.Local)); err != nil {
		return nil, transformError("stream", m.Subject, m.Local, err)
	}
	if m.reverse, err = m.transform.Reverse(); err != nil {
		return nil, transformError("stream", m.Subject, m.Local, err)
	}
	m.Local, _ = transform.WithWildcards(m.Local)
	return m, nil
}

// connectService makes the asking side of a service import. Its Export is the
// caller's to fill in.
func connectService(im *Import) (*ServiceImport, error) {
	local := im.Local
	if local == "" {
		local = im.Subject
	}
	m := &ServiceImport{Account: im.Account, Local: local, Subject: im.Subject, Share: im.Share}
	if !sublist.HasWildcard(im.Subject) {
		return m, nil
	}
	if local == im.Subject {
		m.same = true
		return m, nil
	}
	m.Subject, _ = transform.WithWildcards(im.Subject)
	back, err := transform.NewStrict(m.Subject, transform.WithPlaceholders(local))
	if err == nil {
		m.transform, err = back.Reverse()
	}
	if err != nil {
		return nil, transformError("service", local, m.Subject, err)
	}
	m.Local, _ = transform.WithWildcards(local)
	return m, nil
}
