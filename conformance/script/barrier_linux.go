package script

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// awaitRead returns when the other end of conn, a socket of this machine, has
// read everything sent so far or has gone. The kernel is asked for the length
// of that socket's receive queue (sock_diag(7)), so pieces of a message can be
// told apart by the server without a guess about time.
func awaitRead(conn *net.TCPConn, limit time.Duration) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer unix.Close(fd)
	question, err := diagQuestion(conn)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) {
		queued, err := receiveQueue(fd, question)
		if err != nil {
			return err
		}
		if queued == 0 {
			return nil
		}
		runtime.Gosched()
	}
	return errors.New("the server does not read")
}

// Sizes and places in linux/inet_diag.h and linux/netlink.h.
const (
	nlHeaderLen     = 16
	diagRequestLen  = 56
	diagReplyQueue  = 4 + 48 + 4 // idiag_rqueue: after family…retrans, id, expires
	diagQuestionLen = nlHeaderLen + diagRequestLen
)

// diagQuestion encodes inet_diag_req_v2 for the far end of conn.
func diagQuestion(conn *net.TCPConn) ([]byte, error) {
	near, far := conn.LocalAddr().(*net.TCPAddr), conn.RemoteAddr().(*net.TCPAddr)
	nearIP, farIP := near.IP.To4(), far.IP.To4()
	if nearIP == nil || farIP == nil {
		return nil, errors.New("sock_diag: only IPv4 here")
	}
	q := make([]byte, diagQuestionLen)
	binary.NativeEndian.PutUint32(q[0:], diagQuestionLen)
	binary.NativeEndian.PutUint16(q[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(q[6:], unix.NLM_F_REQUEST)
	r := q[nlHeaderLen:]
	r[0], r[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(r[4:], 0xffffffff) // every state
	id := r[8:]
	binary.BigEndian.PutUint16(id[0:], uint16(far.Port))
	binary.BigEndian.PutUint16(id[2:], uint16(near.Port))
	copy(id[4:], farIP)
	copy(id[20:], nearIP)
	binary.NativeEndian.PutUint64(id[40:], ^uint64(0)) // any cookie
	return q, nil
}

// receiveQueue returns the bytes the socket has not read; none if it has gone.
func receiveQueue(fd int, question []byte) (uint32, error) {
	if err := unix.Sendto(fd, question, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	var buf [4096]byte
	n, _, err := unix.Recvfrom(fd, buf[:], 0)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	if n < nlHeaderLen+diagReplyQueue+4 {
		return 0, nil // an error message: no such socket
	}
	if binary.NativeEndian.Uint16(buf[4:]) == unix.NLMSG_ERROR {
		return 0, nil
	}
	return binary.NativeEndian.Uint32(buf[nlHeaderLen+diagReplyQueue:]), nil
}
