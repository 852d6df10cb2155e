package loop

import "golang.org/x/sys/unix"

// ReadFD and WriteFD are the loop's system calls, for engines.
func ReadFD(fd int, b []byte) (n int, err error)      { return read(fd, b) }
func WriteFD(fd int, iov [][]byte) (n int, err error) { return writev(fd, iov) }

// CloseFD closes a descriptor that no loop has taken.
func CloseFD(fd int) { closeFD(fd) }

func closeFD(fd int) { _ = unix.Close(fd) }

// lastWords makes sure that a final -ERR arrives: closing a socket with unread
// input resets the connection and destroys what the peer has not read yet. So
// the sending side is closed first and a bounded amount of input thrown away.
func lastWords(fd int) {
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	var scratch [8 << 10]byte
	for range 256 {
		if _, err := read(fd, scratch[:]); err != nil {
			return
		}
	}
}
