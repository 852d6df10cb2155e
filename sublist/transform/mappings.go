package transform

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"peregrine/sublist"
)

// Destination is one place that a mapping may send a subject to.
type Destination struct {
	Subject string
	Weight  uint8  // percent
	Cluster string // counts only in the cluster of that name; empty: elsewhere
}

// Mappings is an account's list of subject mappings; the first whose source
// matches decides. The zero value is empty. Add and Remove must be done before it
// is shared.
type Mappings struct {
	list []*mapping
}

type mapping struct {
	source   string
	wild     bool
	local    []choice            // where no cluster's choices apply
	clusters map[string][]choice // by cluster name
}

// choice is a destination with the sum of weights up to and including its own.
type choice struct {
	transform *Transform
	weight    uint8
	below     uint8 // a number from 0 to 99 below this one picks it
}

// Add maps source to destinations by weight. A source that is already there is
// replaced in place. What is missing to 100 in the destinations of a cluster, or
// in those without one, keeps the original subject; or is dropped, when source
// itself is among the destinations.
//
// Errors: ErrBadSubject, ErrWeight, ErrTotalWeight, a duplicate destination, and
// those of Validate.
func (ms *Mappings) Add(source string, destinations ...Destination) error {
	if !sublist.IsValidSubject(source) {
		return ErrBadSubject
	}
	m := &mapping{source: source, wild: sublist.HasWildcard(source)}
	seen := make(map[string]bool)
	weights := make(map[string]int)
	for _, d := range destinations {
		if seen[d.Subject] {
			return fmt.Errorf("duplicate entry for %q", d.Subject)
		}
		seen[d.Subject] = true
		if d.Weight > 100 {
			return ErrWeight
		}
		if weights[d.Cluster] += int(d.Weight); weights[d.Cluster] > 100 {
			return ErrTotalWeight
		}
		if err := Validate(source, d.Subject); err != nil {
			return err
		}
		t, err := New(source, d.Subject)
		if err != nil {
			return err
		}
		m.put(d, t)
	}
	if err := m.settle(!seen[source]); err != nil {
		return err
	}
	for i := range ms.list {
		if ms.list[i].source == source {
			ms.list[i] = m
			return nil
		}
	}
	ms.list = append(ms.list, m)
	return nil
}

func (m *mapping) put(d Destination, t *Transform) {
	c := choice{transform: t, weight: d.Weight}
	if d.Cluster == "" {
		m.local = append(m.local, c)
		return
	}
	if m.clusters == nil {
		m.clusters = make(map[string][]choice)
	}
	m.clusters[d.Cluster] = append(m.clusters[d.Cluster], c)
}

// settle completes every list of choices; keep says that what is missing to 100
// keeps the original subject.
func (m *mapping) settle(keep bool) (err error) {
	original := m.source
	if m.wild {
		original = WithPlaceholders(original)
	}
	same, err := New(m.source, original)
	if err != nil {
		return err
	}
	m.local = settled(m.local, same, keep)
	for cluster, choices := range m.clusters {
		m.clusters[cluster] = settled(choices, same, keep)
	}
	return nil
}

func settled(choices []choice, same *Transform, keep bool) []choice {
	total := uint8(0)
	for _, c := range choices {
		total += c.weight
	}
	if total != 100 && keep {
		choices = append(choices, choice{transform: same, weight: 100 - total})
	}
	slices.SortStableFunc(choices, func(a, b choice) int { return cmp.Compare(a.weight, b.weight) })
	sum := uint8(0)
	for i := range choices {
		sum += choices[i].weight
		choices[i].below = sum
	}
	return choices
}

// Remove takes a mapping out and reports whether it was there.
func (ms *Mappings) Remove(source string) bool {
	n := len(ms.list)
	ms.list = slices.DeleteFunc(ms.list, func(m *mapping) bool { return m.source == source })
	return len(ms.list) < n
}

// Len returns the number of sources.
func (ms *Mappings) Len() int { return len(ms.list) }

// Sources calls f for each source, in order of precedence.
func (ms *Mappings) Sources(f func(source string)) {
	for _, m := range ms.list {
		f(m.source)
	}
}

// Map appends what subject, which is borrowed, is mapped to, in the cluster of
// that name (empty for none), to dst and returns the extended slice. mapped is
// false when no source matches; dst is then returned as it was. A mapping that
// drops the message appends nothing and says true.
func (ms *Mappings) Map(dst, subject []byte, cluster string, random Random) (_ []byte, mapped bool) {
	for i, m := range ms.list {
		whole := subject
		if !m.wild {
			if !bytes.Equal(subject, []byte(m.source)) {
				continue
			}
			if i == 0 {
				// The server has not cut the subject into tokens by then and
				// hashes none; partitions must come out the same.
				whole = nil
			}
		} else if !sublist.SubsetMatch(subject, m.source) {
			continue
		}
		if t := m.choose(cluster, random); t != nil {
			dst = t.apply(dst, subject, whole, random)
		}
		return dst, true
	}
	return dst, false
}

// choose picks a destination by weight, nil for loss.
func (m *mapping) choose(cluster string, random Random) *Transform {
	choices := m.local
	if len(m.clusters) > 0 {
		if own := m.clusters[cluster]; own != nil {
			choices = own
		}
	}
	if len(choices) == 1 && choices[0].below == 100 {
		return choices[0].transform
	}
	if random == nil {
		random = rand.Uint32N
	}
	n := uint8(random(100))
	for i := range choices {
		if n < choices[i].below {
			return choices[i].transform
		}
	}
	return nil
}
