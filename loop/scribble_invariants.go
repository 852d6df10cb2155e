//go:build invariants

package loop

// scribble overwrites memory that is no longer borrowed, so that an escaped
// alias fails on the first run.
func scribble(b []byte) {
	for i := range b {
		b[i] = 0xDB
	}
}
