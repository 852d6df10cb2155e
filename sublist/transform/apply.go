package transform

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"unicode/utf8"
)

// Apply appends the destination for subject, which is borrowed and taken to match
// the source, to dst and returns the extended slice. Of a subject that does not
// match, missing tokens count as empty.
func (t *Transform) Apply(dst, subject []byte, random Random) []byte {
	if t.identity {
		return append(dst, subject...)
	}
	return t.apply(dst, subject, subject, random)
}

// apply is Apply with the bytes that a partition of the whole subject hashes.
func (t *Transform) apply(dst, subject, whole []byte, random Random) []byte {
	var room [32][]byte
	tokens := split(room[:0], subject)
	for i := range t.pieces {
		if i > 0 {
			dst = append(dst, '.')
		}
		dst = t.pieces[i].append(dst, tokens, whole, random)
	}
	if !t.rest {
		return dst
	}
	if len(t.pieces) > 0 {
		dst = append(dst, '.')
	}
	for i := t.sourceTokens - 1; i < len(tokens); i++ {
		dst = append(dst, tokens[i]...)
		if i < len(tokens)-1 {
			dst = append(dst, '.')
		}
	}
	return dst
}

func split(tokens [][]byte, subject []byte) [][]byte {
	for {
		i := bytes.IndexByte(subject, '.')
		if i < 0 {
			return append(tokens, subject)
		}
		tokens, subject = append(tokens, subject[:i]), subject[i+1:]
	}
}

func (p *piece) append(dst []byte, tokens [][]byte, whole []byte, random Random) []byte {
	switch p.kind {
	case kindText:
		return append(dst, p.text...)
	case kindPartition:
		return p.appendPartition(dst, tokens, whole)
	case kindRandom:
		return p.appendRandom(dst, random)
	}
	token := at(tokens, p.args[0])
	n := int(p.count)
	inside := n > 0 && n < len(token) // otherwise the token stays as it is
	switch {
	case p.kind == kindSplit:
		return appendSplit(dst, token, p.text)
	case !inside:
		return append(dst, token...)
	}
	switch p.kind {
	case kindSplitFromLeft:
		return appendPair(dst, token[:n], token[n:])
	case kindSplitFromRight:
		return appendPair(dst, token[:len(token)-n], token[len(token)-n:])
	case kindSliceFromLeft:
		return appendSlices(dst, token, n)
	case kindSliceFromRight:
		if first := len(token) % n; first > 0 {
			dst = append(append(dst, token[:first]...), '.')
			token = token[first:]
		}
		return appendSlices(dst, token, n)
	case kindLeft:
		return append(dst, token[:n]...)
	case kindRight:
		return append(dst, token[len(token)-n:]...)
	}
	return append(dst, token...) // kindWildcard
}

func at(tokens [][]byte, i int) []byte {
	if i >= len(tokens) {
		return nil
	}
	return tokens[i]
}

func appendPair(dst, left, right []byte) []byte {
	return append(append(append(dst, left...), '.'), right...)
}

// appendSlices appends token in chunks of n, what is left over last.
func appendSlices(dst, token []byte, n int) []byte {
	for len(token) > n {
		dst = append(append(dst, token[:n]...), '.')
		token = token[n:]
	}
	return append(dst, token...)
}

// appendSplit appends the pieces of token between delimiters. Empty pieces get no
// token of their own, but of several at the beginning one leaves a dot behind. An
// empty delimiter splits between characters.
func appendSplit(dst, token []byte, delimiter string) []byte {
	for j := 0; ; j++ {
		cut, skip := bytes.Index(token, []byte(delimiter)), len(delimiter)
		if skip == 0 {
			_, cut = utf8.DecodeRune(token)
		}
		if cut < 0 || skip == 0 && cut >= len(token) {
			return append(dst, token...)
		}
		first := j == 0 && cut == 0
		dst = append(dst, token[:cut]...)
		token = token[cut+skip:]
		if len(token) > 0 && !bytes.HasPrefix(token, []byte(delimiter)) && !first || skip == 0 {
			dst = append(dst, '.')
		}
	}
}

// FNV-1a, 32 bits: what partitions have always been computed with.
const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

func fnv(hash uint32, b []byte) uint32 {
	for _, c := range b {
		hash = (hash ^ uint32(c)) * fnvPrime
	}
	return hash
}

func (p *piece) appendPartition(dst []byte, tokens [][]byte, whole []byte) []byte {
	if p.count == 0 {
		return append(dst, '0')
	}
	hash := uint32(fnvOffset)
	if len(p.args) == 0 {
		hash = fnv(hash, whole)
	}
	for _, i := range p.args {
		hash = fnv(hash, at(tokens, i))
	}
	return strconv.AppendUint(dst, uint64(hash%uint32(p.count)), 10)
}

func (p *piece) appendRandom(dst []byte, random Random) []byte {
	if p.count == 0 {
		return append(dst, '0')
	}
	bound := uint32(p.count)
	if p.count < 0 {
		bound = -bound
	}
	if random == nil {
		random = rand.Uint32N
	}
	return strconv.AppendUint(dst, uint64(random(bound)), 10)
}
