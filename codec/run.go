package codec

// Run counts the frames that follow the first one of b and have its control
// line, byte for byte: a publisher mostly repeats itself. f is that first frame,
// a whole PUB or HPUB with a Tail, of n bytes. Each frame of the run has n bytes
// too, so frame i, from 1 on, is b[i*n:(i+1)*n], and everything that f says about
// places and sizes holds for it.
//
// At most max bytes are looked at behind the first frame.
func Run(b []byte, f *Frame, n, max int) (frames int) {
	line := string(b[:f.Line]) // compared, never kept: no allocation
	end := min(len(b), n+max)
	for at := n; at+n <= end; at += n {
		if string(b[at:at+len(line)]) != line || b[at+n-2] != '\r' || b[at+n-1] != '\n' {
			break
		}
		frames++
	}
	return frames
}
