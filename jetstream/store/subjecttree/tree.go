package subjecttree

import (
	"strings"
	"unsafe"
)

// A Tree maps subjects to values of type V. The zero value is empty.
type Tree[V any] struct {
	root node[V]
	size int
}

// leaf is one subject and its value.
type leaf[V any] struct {
	subject string
	value   V
}

// Len is the number of subjects.
func (t *Tree[V]) Len() int { return t.size }

// Clear forgets everything.
func (t *Tree[V]) Clear() { t.root, t.size = nil, 0 }

// Find returns the value of subject, nil if it is not there. It does not allocate.
func (t *Tree[V]) Find(subject []byte) *V {
	return t.FindString(view(subject))
}

// FindString is Find for a string.
func (t *Tree[V]) FindString(subject string) *V {
	if l := t.find(subject); l != nil {
		return &l.value
	}
	return nil
}

// view is b as a string for a look-up that does not keep it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (t *Tree[V]) find(subject string) *leaf[V] {
	at, n := 0, t.root
	for n != nil {
		if l, ok := n.(*leaf[V]); ok {
			if l.subject == subject {
				return l
			}
			return nil
		}
		in := n.inner()
		rest := subject[at:]
		if len(rest) < len(in.prefix) || rest[:len(in.prefix)] != in.prefix {
			return nil
		}
		at += len(in.prefix)
		if at == len(subject) {
			return in.end
		}
		slot := n.child(subject[at])
		if slot == nil {
			return nil
		}
		n = *slot
		at++
	}
	return nil
}

// Insert returns the value of subject, which is made zero if it was not there,
// and the tree's own copy of the subject, which is shared and immutable. subject
// is borrowed.
func (t *Tree[V]) Insert(subject []byte) (key string, value *V) {
	if l := t.find(view(subject)); l != nil {
		return l.subject, &l.value
	}
	l := &leaf[V]{subject: string(subject)}
	t.insert(l)
	t.size++
	return l.subject, &l.value
}

// insert links a leaf whose subject is not in the tree.
func (t *Tree[V]) insert(l *leaf[V]) {
	slot, at := &t.root, 0
	for {
		if *slot == nil {
			*slot = l
			return
		}
		if other, ok := (*slot).(*leaf[V]); ok {
			*slot = fork(other, l, at)
			return
		}
		in := (*slot).inner()
		rest := l.subject[at:]
		same := common(in.prefix, rest)
		if same < len(in.prefix) {
			*slot = splitPrefix(*slot, same, l, at)
			return
		}
		at += same
		if at == len(l.subject) {
			in.end = l
			return
		}
		c := l.subject[at]
		next := (*slot).child(c)
		if next == nil {
			*slot = (*slot).add(c, l)
			return
		}
		slot = next
		at++
	}
}

// fork makes the node that parts two leaves which agree before at.
func fork[V any](a, b *leaf[V], at int) node[V] {
	same := common(a.subject[at:], b.subject[at:])
	n := &node4[V]{head: head[V]{prefix: b.subject[at : at+same]}}
	return hang(hang[V](n, a, at+same), b, at+same)
}

// hang puts a leaf under a node whose path is the leaf's first at bytes.
func hang[V any](n node[V], l *leaf[V], at int) node[V] {
	if at == len(l.subject) {
		n.inner().end = l
		return n
	}
	return n.add(l.subject[at], l)
}

// splitPrefix parts a node after same bytes of its prefix to make room for l.
func splitPrefix[V any](n node[V], same int, l *leaf[V], at int) node[V] {
	in := n.inner()
	top := &node4[V]{head: head[V]{prefix: in.prefix[:same]}}
	c := in.prefix[same]
	in.prefix = in.prefix[same+1:]
	return hang(top.add(c, n), l, at+same)
}

func common(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// Delete forgets subject; false if it was not there.
func (t *Tree[V]) Delete(subject string) bool {
	if t.find(subject) == nil {
		return false
	}
	t.size--
	var above *node[V]
	var way byte // from above to slot
	slot, at := &t.root, 0
	for {
		if _, ok := (*slot).(*leaf[V]); ok {
			break
		}
		in := (*slot).inner()
		at += len(in.prefix)
		if at == len(subject) {
			in.end = nil
			*slot = tidy(*slot)
			return true
		}
		above, way = slot, subject[at]
		slot = (*slot).child(subject[at])
		at++
	}
	if above == nil {
		t.root = nil
		return true
	}
	*above = tidy((*above).remove(way))
	return true
}

// tidy replaces an inner node with a single way on by what is there.
func tidy[V any](n node[V]) node[V] {
	in := n.inner()
	switch {
	case in.count == 0:
		return in.end
	case in.count == 1 && in.end == nil:
		var only node[V]
		var c byte
		n.each(func(b byte, child node[V]) bool {
			c, only = b, child
			return false
		})
		if below := only.inner(); below != nil {
			below.prefix = in.prefix + string([]byte{c}) + below.prefix
		}
		return only
	}
	return n
}

// Walk visits all subjects in order until visit returns false; the tree must not
// be changed meanwhile.
func (t *Tree[V]) Walk(visit func(subject string, value *V) bool) {
	if t.root != nil {
		walk(t.root, visit)
	}
}

func walk[V any](n node[V], visit func(string, *V) bool) bool {
	if l, ok := n.(*leaf[V]); ok {
		return visit(l.subject, &l.value)
	}
	if l := n.inner().end; l != nil && !visit(l.subject, &l.value) {
		return false
	}
	return n.each(func(_ byte, child node[V]) bool { return walk(child, visit) })
}

// IsLiteral tells whether a pattern has no wildcard token.
func IsLiteral(pattern string) bool {
	if strings.IndexByte(pattern, '*') < 0 && strings.IndexByte(pattern, '>') < 0 {
		return true
	}
	for token := range strings.SplitSeq(pattern, ".") {
		if token == "*" || token == ">" {
			return false
		}
	}
	return true
}
