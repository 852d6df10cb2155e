package loop

import "errors"

// ErrAgain is what Engine.Write returns when the socket took less than it was
// given. Events.Writable follows when it takes more.
var ErrAgain = errors.New("loop: socket full")

// ErrStop ends Engine.Run when Events.Woken returns it.
var ErrStop = errors.New("loop: stop")

// Engine moves bytes for one loop. Only Wake may be called from another
// goroutine; everything else belongs to the goroutine that is in Run.
type Engine interface {
	// Run delivers events until Woken returns ErrStop or the poller fails.
	Run(ev Events) error
	// Wake makes Run call Woken soon.
	Wake() error
	// Add starts reading fd, which is non-blocking.
	Add(fd int) error
	// Remove forgets fd; no event for it follows. The caller closes it.
	Remove(fd int) error
	// Pause stops reading fd, Resume starts again. Writable events go on.
	Pause(fd int) error
	Resume(fd int) error
	// Write sends as much of iov as the socket takes now. n < total comes with
	// ErrAgain, or with the error that broke the connection. iov is borrowed
	// until Write returns.
	Write(fd int, iov [][]byte) (n int, err error)
	// Close frees the poller after Run has returned.
	Close() error
}

// Events is what an engine calls; a loop implements it.
type Events interface {
	// ReadBuffer says where the next bytes of fd go; nil means that the loop
	// does not want fd any more.
	ReadBuffer(fd int) []byte
	// Received reports n bytes in the buffer that ReadBuffer gave. err is
	// io.EOF or the error of the read.
	Received(fd int, n int, err error)
	// Writable reports that fd takes bytes again after ErrAgain.
	Writable(fd int)
	// Woken follows Wake.
	Woken() error
}
