package vfs

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRefusedTransfer: a file system that grants direct I/O at open and refuses
// the first transfer is used through the page cache, which is logged once.
func TestRefusedTransfer(t *testing.T) {
	var logged []string
	d, err := OpenDisk(t.TempDir(), DiskOptions{Logf: func(format string, args ...any) { logged = append(logged, format) }})
	must(t, err)
	f, err := d.Open("a", Create|Direct)
	must(t, err)
	defer f.Close()
	if !f.Direct() {
		t.Skip("no direct I/O here")
	}
	file := f.(*diskFile)
	if file.refused(nil) || file.refused(unix.EIO) {
		t.Fatal("another error taken for a refusal")
	}
	if !file.refused(unix.EINVAL) || file.refused(unix.EINVAL) {
		t.Fatal("a refusal is handled once")
	}
	if f.Direct() || len(logged) != 1 || !strings.Contains(logged[0], "Direct I/O") {
		t.Fatalf("direct %v, logged %q", f.Direct(), logged)
	}
	flags, err := unix.FcntlInt(uintptr(file.fd), unix.F_GETFL, 0)
	must(t, err)
	if flags&unix.O_DIRECT != 0 {
		t.Fatal("still direct")
	}
	must(t, f.WriteSync(Buffer(BlockSize), 0))
	_, err = f.WriteAt(make([]byte, 10), 0)
	wantIs(t, err, ErrUnaligned)
}
