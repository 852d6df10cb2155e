package grammar

import (
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// end is what next returns behind the last byte. A NUL byte looks the same.
const end = 0

// scanner walks over the runes of one file.
type scanner struct {
	src      string
	newlines []int // offsets of the line feeds
	pos      int   // offset of the next rune
	width    int   // bytes of the last rune taken, 0 at the end
	start    int   // offset where the item being read begins
}

func newScanner(src string) scanner {
	s := scanner{src: src, newlines: make([]int, 0, strings.Count(src, "\n"))}
	for i := range len(src) {
		if src[i] == '\n' {
			s.newlines = append(s.newlines, i)
		}
	}
	return s
}

// next takes a rune.
func (s *scanner) next() rune {
	if s.pos >= len(s.src) {
		s.width = 0
		return end
	}
	r, width := utf8.DecodeRuneInString(s.src[s.pos:])
	s.width = width
	s.pos += width
	return r
}

// backup gives the last rune back; once per next.
func (s *scanner) backup() { s.pos -= s.width }

func (s *scanner) peek() rune {
	r := s.next()
	s.backup()
	return r
}

// begin makes the item start here.
func (s *scanner) begin() { s.start = s.pos }

// text is the item read so far.
func (s *scanner) text() string { return s.src[s.start:s.pos] }

// atEnd says whether the file ended exactly where the item began. Then the
// item is as if it had never begun.
func (s *scanner) atEnd() bool { return s.pos <= s.start }

// line is the line of the next rune, from 1.
func (s *scanner) line() int { return sort.SearchInts(s.newlines, s.pos) + 1 }

// lineStart is the offset that columns of what begins at offset count from.
func (s *scanner) lineStart(offset int) int {
	if n := sort.SearchInts(s.newlines, offset); n > 0 {
		return s.newlines[n-1]
	}
	return 0
}

// place is the line where the item ends and the column of an item of the
// given length that ends here.
func (s *scanner) place(length int) (line, column int) {
	return s.line(), s.pos - s.lineStart(s.start) - length
}

// skipSpace takes white space, line ends included.
func (s *scanner) skipSpace() {
	for unicode.IsSpace(s.next()) {
	}
	s.backup()
}

// skipBlanks takes blanks and tabs.
func (s *scanner) skipBlanks() {
	for isBlank(s.next()) {
	}
	s.backup()
}

// skipComment takes the rest of the line but not its end.
func (s *scanner) skipComment() {
	for {
		if r := s.peek(); isNewline(r) || r == end {
			s.begin()
			return
		}
		s.next()
	}
}

// comment takes a comment if r, the rune just taken, begins one.
func (s *scanner) comment(r rune) bool {
	switch r {
	case '#':
	case '/':
		if s.next() != '/' {
			s.backup()
			// backup is good for one rune: the slash stays taken.
			s.width = 0
			return false
		}
	default:
		return false
	}
	s.skipComment()
	return true
}

func isBlank(r rune) bool     { return r == ' ' || r == '\t' }
func isNewline(r rune) bool   { return r == '\n' || r == '\r' }
func isSeparator(r rune) bool { return r == '=' || r == ':' }

// shown is a rune in a message.
func shown(r rune) string {
	if r == '\n' {
		return `\n`
	}
	return string(r)
}

// fail makes the error of a file that is not in the language.
func (p *parser) fail(format string, args ...any) error {
	line := p.line()
	text := fmt.Sprintf(format, args...)
	return &Error{
		Pos:  Pos{p.file, line, p.pos - p.lineStart(p.pos)},
		Text: fmt.Sprintf("Parse error on line %d: '%s'", line, text),
	}
}
