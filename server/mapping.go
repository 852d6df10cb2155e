package server

import (
	"peregrine/codec"
	"peregrine/sublist/transform"
)

// mapped returns f as the account's mappings have it: with another subject, or
// an empty one for a message that they drop. f stays as it is. The result is
// valid until the next call. t may be nil.
func (c *session) mapped(f *codec.Frame, ms *transform.Mappings, t *msgTrace) *codec.Frame {
	w := c.w
	subject, changed := ms.Map(w.mapRoom[:0], f.Subject, w.srv.options().ClusterName, nil)
	w.mapRoom = subject[:0]
	if !changed {
		return f
	}
	if w.trace {
		c.tracef("<<- [MAPPING %s -> %s]", f.Subject, subject)
	}
	if t != nil {
		t.note(&traceMapping{happens("sm"), string(subject)})
	}
	w.mapFrame = *f
	w.mapFrame.Subject = subject
	return &w.mapFrame
}
