package script

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestAwaitRead shows that a piece counts as read only when the other side has
// read it.
func TestAwaitRead(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := dial(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.conn.Close()
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()

	if err := near.write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := awaitRead(near.conn, 50*time.Millisecond); err == nil {
		t.Error("bytes count as read that nobody has read")
	}
	if _, err := io.ReadFull(far, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := awaitRead(near.conn, patience); err != nil {
		t.Error(err)
	}
	far.Close()
	if err := near.write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := awaitRead(near.conn, patience); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
