package subjecttree

// node is a leaf or an inner node of one of four sizes.
type node[V any] interface {
	// inner is nil for leaves; they have none of the other methods.
	inner() *head[V]
	// child returns the place of the child for a byte, nil if there is none.
	child(c byte) *node[V]
	// add puts a child for a byte that has none and returns the node or a larger
	// one in its place; remove undoes it.
	add(c byte, n node[V]) node[V]
	remove(c byte) node[V]
	// each visits the children in order and tells whether it saw them all.
	each(visit func(c byte, n node[V]) bool) bool
}

// head is what inner nodes have in common.
type head[V any] struct {
	prefix string   // shares memory with a subject below
	end    *leaf[V] // of the subject that ends after prefix
	count  int      // children
}

type node4[V any] struct {
	head[V]
	keys [4]byte // ascending
	kids [4]node[V]
}

type node16[V any] struct {
	head[V]
	keys [16]byte // ascending
	kids [16]node[V]
}

type node48[V any] struct {
	head[V]
	place [256]byte // 1 + index into kids, 0 for none
	kids  [48]node[V]
}

type node256[V any] struct {
	head[V]
	kids [256]node[V]
}

func (h *head[V]) inner() *head[V]                        { return h }
func (l *leaf[V]) inner() *head[V]                        { return nil }
func (l *leaf[V]) child(byte) *node[V]                    { return nil }
func (l *leaf[V]) add(byte, node[V]) node[V]              { panic("subjecttree: add to a leaf") }
func (l *leaf[V]) remove(byte) node[V]                    { panic("subjecttree: remove from a leaf") }
func (l *leaf[V]) each(func(c byte, n node[V]) bool) bool { return true }

func (n *node4[V]) child(c byte) *node[V] {
	for i := range n.count {
		if n.keys[i] == c {
			return &n.kids[i]
		}
	}
	return nil
}

func (n *node4[V]) add(c byte, child node[V]) node[V] {
	if n.count == len(n.keys) {
		larger := &node16[V]{head: n.head}
		copy(larger.keys[:], n.keys[:])
		copy(larger.kids[:], n.kids[:])
		return larger.add(c, child)
	}
	put(n.keys[:], n.kids[:], n.count, c, child)
	n.count++
	return n
}

func (n *node4[V]) remove(c byte) node[V] {
	take(n.keys[:], n.kids[:], n.count, c)
	n.count--
	return n
}

func (n *node4[V]) each(visit func(byte, node[V]) bool) bool {
	return visitAll(n.keys[:n.count], n.kids[:n.count], visit)
}

func (n *node16[V]) child(c byte) *node[V] {
	for i := range n.count {
		if n.keys[i] == c {
			return &n.kids[i]
		}
	}
	return nil
}

func (n *node16[V]) add(c byte, child node[V]) node[V] {
	if n.count == len(n.keys) {
		larger := &node48[V]{head: n.head}
		for i, key := range n.keys {
			larger.place[key] = byte(i + 1)
			larger.kids[i] = n.kids[i]
		}
		return larger.add(c, child)
	}
	put(n.keys[:], n.kids[:], n.count, c, child)
	n.count++
	return n
}

func (n *node16[V]) remove(c byte) node[V] {
	take(n.keys[:], n.kids[:], n.count, c)
	if n.count--; n.count > 3 {
		return n
	}
	smaller := &node4[V]{head: n.head}
	copy(smaller.keys[:], n.keys[:n.count])
	copy(smaller.kids[:], n.kids[:n.count])
	return smaller
}

func (n *node16[V]) each(visit func(byte, node[V]) bool) bool {
	return visitAll(n.keys[:n.count], n.kids[:n.count], visit)
}

func (n *node48[V]) child(c byte) *node[V] {
	if p := n.place[c]; p != 0 {
		return &n.kids[p-1]
	}
	return nil
}

func (n *node48[V]) add(c byte, child node[V]) node[V] {
	if n.count == len(n.kids) {
		larger := &node256[V]{head: n.head}
		for key, p := range n.place {
			if p != 0 {
				larger.kids[key] = n.kids[p-1]
			}
		}
		return larger.add(c, child)
	}
	for i := range n.kids {
		if n.kids[i] == nil {
			n.kids[i], n.place[c] = child, byte(i+1)
			break
		}
	}
	n.count++
	return n
}

func (n *node48[V]) remove(c byte) node[V] {
	n.kids[n.place[c]-1], n.place[c] = nil, 0
	if n.count--; n.count > 12 {
		return n
	}
	smaller := &node16[V]{head: n.head}
	i := 0
	n.each(func(c byte, child node[V]) bool {
		smaller.keys[i], smaller.kids[i] = c, child
		i++
		return true
	})
	return smaller
}

func (n *node48[V]) each(visit func(byte, node[V]) bool) bool {
	for key, p := range n.place {
		if p != 0 && !visit(byte(key), n.kids[p-1]) {
			return false
		}
	}
	return true
}

func (n *node256[V]) child(c byte) *node[V] {
	if n.kids[c] != nil {
		return &n.kids[c]
	}
	return nil
}

func (n *node256[V]) add(c byte, child node[V]) node[V] {
	n.kids[c] = child
	n.count++
	return n
}

func (n *node256[V]) remove(c byte) node[V] {
	n.kids[c] = nil
	if n.count--; n.count > 40 {
		return n
	}
	smaller := &node48[V]{head: n.head}
	i := 0
	n.each(func(c byte, child node[V]) bool {
		smaller.kids[i], smaller.place[c] = child, byte(i+1)
		i++
		return true
	})
	return smaller
}

func (n *node256[V]) each(visit func(byte, node[V]) bool) bool {
	for key, child := range n.kids {
		if child != nil && !visit(byte(key), child) {
			return false
		}
	}
	return true
}

// put inserts a key in order into arrays that hold count keys.
func put[V any](keys []byte, kids []node[V], count int, c byte, child node[V]) {
	i := count
	for i > 0 && keys[i-1] > c {
		keys[i], kids[i] = keys[i-1], kids[i-1]
		i--
	}
	keys[i], kids[i] = c, child
}

// take removes a key from arrays that hold count keys.
func take[V any](keys []byte, kids []node[V], count int, c byte) {
	i := 0
	for keys[i] != c {
		i++
	}
	copy(keys[i:count], keys[i+1:count])
	copy(kids[i:count], kids[i+1:count])
	kids[count-1] = nil
}

func visitAll[V any](keys []byte, kids []node[V], visit func(byte, node[V]) bool) bool {
	for i, c := range keys {
		if !visit(c, kids[i]) {
			return false
		}
	}
	return true
}
