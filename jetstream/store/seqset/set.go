package seqset

import (
	"slices"
	"sort"
)

const pageRanges = 256

// A Range is the numbers First to Last, both included.
type Range struct{ First, Last uint64 }

// Len is how many numbers there are.
func (r Range) Len() uint64 { return r.Last - r.First + 1 }

// A Set is a set of numbers. The zero value is empty.
type Set struct {
	pages [][]Range
	count uint64 // numbers
	parts int    // ranges
}

// Len is how many numbers are in the set.
func (s *Set) Len() uint64 { return s.count }

// Ranges is how many ranges they form.
func (s *Set) Ranges() int { return s.parts }

// Clear empties the set.
func (s *Set) Clear() { *s = Set{} }

// seek finds the first range that ends at or after n; page is len(s.pages) if
// there is none.
func (s *Set) seek(n uint64) (page, i int) {
	page = sort.Search(len(s.pages), func(p int) bool {
		ranges := s.pages[p]
		return ranges[len(ranges)-1].Last >= n
	})
	if page == len(s.pages) {
		return page, 0
	}
	ranges := s.pages[page]
	return page, sort.Search(len(ranges), func(i int) bool { return ranges[i].Last >= n })
}

// Contains tells whether n is in the set.
func (s *Set) Contains(n uint64) bool {
	page, i := s.seek(n)
	return page < len(s.pages) && s.pages[page][i].First <= n
}

// NextAbsent is the first number at or after n that is not in the set.
func (s *Set) NextAbsent(n uint64) uint64 {
	page, i := s.seek(n)
	if page < len(s.pages) && s.pages[page][i].First <= n {
		return s.pages[page][i].Last + 1
	}
	return n
}

// PrevAbsent is the last number at or before n that is not in the set, 0 if that
// is below 1.
func (s *Set) PrevAbsent(n uint64) uint64 {
	page, i := s.seek(n)
	if page < len(s.pages) && s.pages[page][i].First <= n {
		if s.pages[page][i].First == 0 {
			return 0
		}
		return s.pages[page][i].First - 1
	}
	return n
}

// Add puts the numbers first to last in and returns how many were not there.
// last must be below the largest uint64.
func (s *Set) Add(first, last uint64) (added uint64) {
	if first > last {
		return 0
	}
	before := s.count
	// Ranges that overlap or touch are taken out and become one.
	near := first
	if near > 0 {
		near--
	}
	page, i := s.seek(near)
	if page < len(s.pages) {
		ranges := s.pages[page]
		if r := &ranges[i]; r.First <= first && r.Last >= last {
			return 0
		} else if r.Last == near && r.Last+1 == first && s.fits(page, i, last) {
			s.count += last - r.Last // the usual case: a range grows
			r.Last = last
			return last - first + 1
		}
	}
	for page < len(s.pages) && s.pages[page][i].First <= last+1 {
		r := s.pages[page][i]
		first, last = min(first, r.First), max(last, r.Last)
		s.take(page, i)
		if page < len(s.pages) && i == len(s.pages[page]) {
			page, i = page+1, 0
		}
	}
	s.put(page, i, Range{first, last})
	return s.count - before
}

// fits tells whether range i of a page can end at last without touching the next.
func (s *Set) fits(page, i int, last uint64) bool {
	switch {
	case i+1 < len(s.pages[page]):
		return s.pages[page][i+1].First > last+1
	case page+1 < len(s.pages):
		return s.pages[page+1][0].First > last+1
	}
	return true
}

// take removes range i of a page; the page goes when it is empty, and then page
// names the next one and i is 0.
func (s *Set) take(page, i int) {
	s.count -= s.pages[page][i].Len()
	s.parts--
	s.pages[page] = slices.Delete(s.pages[page], i, i+1)
	if len(s.pages[page]) == 0 {
		s.pages = slices.Delete(s.pages, page, page+1)
	}
}

// put inserts a range at a place that seek found.
func (s *Set) put(page, i int, r Range) {
	s.count += r.Len()
	s.parts++
	if page == len(s.pages) {
		if page > 0 && len(s.pages[page-1]) < pageRanges {
			s.pages[page-1] = append(s.pages[page-1], r)
			return
		}
		s.pages = append(s.pages, append(make([]Range, 0, 4), r))
		return
	}
	s.pages[page] = slices.Insert(s.pages[page], i, r)
	if ranges := s.pages[page]; len(ranges) > pageRanges {
		half := len(ranges) / 2
		upper := append(make([]Range, 0, pageRanges), ranges[half:]...)
		s.pages[page] = ranges[:half]
		s.pages = slices.Insert(s.pages, page+1, upper)
	}
}

// Remove takes the numbers first to last out and returns how many were there.
func (s *Set) Remove(first, last uint64) (removed uint64) {
	before := s.count
	for first <= last {
		page, i := s.seek(first)
		if page == len(s.pages) || s.pages[page][i].First > last {
			break
		}
		r := s.pages[page][i]
		s.take(page, i)
		if r.Last > last {
			s.place(Range{last + 1, r.Last})
		}
		if r.First < first {
			s.place(Range{r.First, first - 1})
		}
		if r.Last >= last {
			break
		}
		first = r.Last + 1
	}
	return before - s.count
}

func (s *Set) place(r Range) {
	page, i := s.seek(r.First)
	s.put(page, i, r)
}

// DropBelow takes out all numbers below n, whole pages at a time.
func (s *Set) DropBelow(n uint64) {
	for len(s.pages) > 0 {
		ranges := s.pages[0]
		if ranges[len(ranges)-1].Last >= n {
			break
		}
		for _, r := range ranges {
			s.count -= r.Len()
		}
		s.parts -= len(ranges)
		s.pages = slices.Delete(s.pages, 0, 1)
	}
	if n > 0 {
		s.Remove(0, n-1)
	}
}

// DropAbove takes out all numbers above n.
func (s *Set) DropAbove(n uint64) {
	for len(s.pages) > 0 {
		last := len(s.pages) - 1
		ranges := s.pages[last]
		r := ranges[len(ranges)-1]
		if r.Last <= n {
			return
		}
		s.take(last, len(ranges)-1)
		if r.First <= n {
			s.place(Range{r.First, n})
			return
		}
	}
}

// CountIn is how many of the numbers first to last are in the set.
func (s *Set) CountIn(first, last uint64) (n uint64) {
	s.Each(first, last, func(r Range) bool {
		n += r.Len()
		return true
	})
	return n
}

// Each visits the ranges between first and last in order, cut to those, until
// visit returns false. The set must not be changed meanwhile.
func (s *Set) Each(first, last uint64, visit func(Range) bool) {
	page, i := s.seek(first)
	for ; page < len(s.pages); page, i = page+1, 0 {
		for _, r := range s.pages[page][i:] {
			if r.First > last || first > last {
				return
			}
			if !visit(Range{max(r.First, first), min(r.Last, last)}) {
				return
			}
		}
	}
}
